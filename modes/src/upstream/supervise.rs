//! The life of a long-lived child: start, wait until it listens, notice its end, start again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::State;
use crate::{
    error::Error,
    logs::{Log, Stream},
    process::{Environment, Exit, Input, Launcher, Process, Stderr},
    proxy::Proxy,
};

/// Between looks at a child that does not listen yet: from the first to the last.
const PROBE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// How long a daemon may need to listen after the process that started it has left.
const DAEMON_START: Duration = Duration::from_secs(2);
/// Between looks at a daemon that nobody is the parent of.
const DAEMON_PROBE: Duration = Duration::from_secs(1);
/// Between restarts: from the first to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A child that lived this long has earned a quick restart.
const STABLE: Duration = Duration::from_secs(10);

/// A started child.
pub(super) struct Child {
    process: Process,
    since: Instant,
}

impl Child {
    pub(super) fn start(launcher: &Launcher, log: &Log) -> Result<Self, Error> {
        // The process holds its input open, never written: some servers end when it does.
        let (process, pipes) = launcher.spawn(Environment::new(), Input::Open, Stderr::Pipe)?;
        log.follow(Stream::Stdout, pipes.stdout);
        if let Some(stderr) = pipes.stderr {
            log.follow(Stream::Stderr, stderr);
        }
        tracing::info!(pid = process.id(), "started the function");
        Ok(Self { process, since: Instant::now() })
    }
}

/// What the supervising task works with.
pub(super) struct Duty {
    pub(super) launcher: Launcher,
    pub(super) log: Log,
    pub(super) restart: bool,
    pub(super) proxy: Arc<Proxy>,
    pub(super) stop: Arc<Notify>,
    pub(super) tell: watch::Sender<State>,
}

enum End {
    Stopped,
    Died(String),
}

/// Looks after `child` and its successors until it is stopped or the last of them is dead.
pub(super) async fn run(child: Child, duty: Duty) {
    let mut next: Result<Child, Error> = Ok(child);
    let mut pause = BACK_OFF.0;
    loop {
        let reason = match next {
            Ok(child) => {
                let since = child.since;
                match live(child, &duty).await {
                    End::Stopped => return,
                    End::Died(reason) => {
                        if since.elapsed() >= STABLE {
                            pause = BACK_OFF.0;
                        }
                        reason
                    }
                }
            }
            Err(error) => error.to_string(),
        };
        if !duty.restart {
            duty.tell.send_replace(State::Dead(reason));
            // Whoever waits for a stop must still see this task end.
            return duty.stop.notified().await;
        }
        duty.tell.send_replace(State::Starting);
        tracing::error!("the function {reason}; starting it again in {pause:?}");
        tokio::select! {
            () = sleep(pause) => {}
            () = duty.stop.notified() => return,
        }
        pause = (pause * 2).min(BACK_OFF.1);
        next = Child::start(&duty.launcher, &duty.log);
    }
}

/// One child from its start to its end.
async fn live(mut child: Child, duty: &Duty) -> End {
    let exit = {
        let announce = announce(duty);
        let mut announce = std::pin::pin!(announce);
        let mut announced = false;
        loop {
            tokio::select! {
                exit = child.process.exited() => break exit,
                () = duty.stop.notified() => {
                    child.process.end().await;
                    return End::Stopped;
                }
                () = &mut announce, if !announced => announced = true,
            }
        }
    };
    // A function that puts itself into the background leaves with status 0 and goes on serving.
    if matches!(exit, Ok(Exit::Status(0))) && takes_over(duty).await {
        child.process.release();
        tracing::warn!(
            "the function's process left with status 0, but {} is still served: it runs on as a \
             daemon that the watchdog can neither stop nor restart (keep it in the foreground)",
            duty.proxy.authority()
        );
        duty.tell.send_replace(State::Ready);
        return daemon(duty).await;
    }
    match child.process.wait().await {
        Ok(exit) => End::Died(format!("ended: {exit}")),
        Err(error) => End::Died(error.to_string()),
    }
}

/// Says so once the child accepts connections.
async fn announce(duty: &Duty) {
    let mut pause = PROBE.0;
    while !duty.proxy.accepts().await {
        sleep(pause).await;
        pause = (pause * 2).min(PROBE.1);
    }
    duty.tell.send_replace(State::Ready);
}

/// Whether a daemon is there, which may need a moment between the end of its parent and its
/// listening.
async fn takes_over(duty: &Duty) -> bool {
    timeout(DAEMON_START, async {
        while !duty.proxy.accepts().await {
            sleep(PROBE.1).await;
        }
    })
    .await
    .is_ok()
}

/// A daemon's end can only be seen from outside.
async fn daemon(duty: &Duty) -> End {
    loop {
        tokio::select! {
            () = sleep(DAEMON_PROBE) => {}
            () = duty.stop.notified() => return End::Stopped,
        }
        if !duty.proxy.accepts().await {
            return End::Died("does not accept connections any more".to_owned());
        }
    }
}
