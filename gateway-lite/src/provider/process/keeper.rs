//! Keeps one instance running: waits for its end, starts it again after a growing pause.

use std::{sync::Arc, time::Duration};

use modes::process::{Exit, detached::Detached};
use tokio::{
    task::JoinHandle,
    time::{Instant, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    log,
    slot::{Slot, blocking},
};
use crate::provider::State;

/// The pause before the first new start, and the longest.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);
/// Whoever lived for so long begins with the first pause again.
const SETTLED: Duration = Duration::from_secs(60);
/// How often the length of the log is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The task that does it.
#[derive(Debug)]
pub(super) struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<Option<Detached>>,
}

impl Keeper {
    /// Keeps `slot` running, whose process is `process`; without one it is started first.
    pub(super) fn of(slot: &Arc<Slot>, process: Option<Detached>) -> Self {
        let stop = slot.shared.closing.child_token();
        let task = tokio::spawn(keep(Arc::clone(slot), process, stop.clone()));
        Self { stop, task }
    }

    /// Ends the keeping, and gives back the process that still runs.
    pub(super) async fn stop(self) -> Option<Detached> {
        self.stop.cancel();
        self.task.await.ok().flatten()
    }
}

async fn keep(
    slot: Arc<Slot>,
    mut process: Option<Detached>,
    stop: CancellationToken,
) -> Option<Detached> {
    let mut pause = Duration::ZERO;
    loop {
        if let Some(running) = &process {
            let began = Instant::now();
            let exit = tokio::select! {
                biased;
                () = stop.cancelled() => return process,
                exit = exited(running, &slot) => exit,
            };
            process = None;
            let how = exit.map_or_else(|| "ended".to_owned(), |exit| format!("ended ({exit})"));
            let dead = Arc::clone(&slot);
            let had_settled = began.elapsed() >= SETTLED;
            // Where nothing can be written, the next start says so.
            let _ = blocking(move || dead.died(&how, had_settled)).await;
            if had_settled {
                pause = Duration::ZERO;
            }
            pause = pause.max(FIRST);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return None,
            () = sleep(pause) => {}
        }
        pause = (pause * 2).clamp(FIRST, LONGEST);
        let starting = Arc::clone(&slot);
        match blocking(move || starting.launch()).await {
            Ok(started) => process = Some(started),
            Err(error) => slot.is(State::Failing { why: error.to_string() }),
        }
    }
}

/// Waits for the end of a process, and keeps its log short meanwhile.
async fn exited(process: &Detached, slot: &Slot) -> Option<Exit> {
    let mut looks = interval(LOOK);
    let end = process.exited();
    tokio::pin!(end);
    loop {
        tokio::select! {
            exit = &mut end => return exit,
            _ = looks.tick() => {
                let path = slot.place.log();
                if let Err(error) = blocking(move || log::bound(&path)).await {
                    tracing::warn!("{error}");
                }
            }
        }
    }
}
