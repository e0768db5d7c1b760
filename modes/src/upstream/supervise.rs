//! The life of a long-lived child: start, wait until it listens, notice its end, start again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
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
/// For the rest of a dead child's output to reach the log.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Between restarts: from the first to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A child that lived this long has earned a quick restart.
const STABLE: Duration = Duration::from_secs(10);

/// A started child.
pub(super) struct Child {
    process: Process,
    /// Who copies its output to the log.
    listeners: Vec<JoinHandle<()>>,
    since: Instant,
}

impl Child {
    pub(super) fn start(launcher: &Launcher, log: &Log) -> Result<Self, Error> {
        // The process holds its input open, never written: some servers end when it does.
        let (process, pipes) = launcher.spawn(Environment::new(), Input::Open, Stderr::Pipe)?;
        let mut listeners = vec![log.follow(Stream::Stdout, pipes.stdout)];
        listeners.extend(pipes.stderr.map(|stderr| log.follow(Stream::Stderr, stderr)));
        tracing::info!(pid = process.id(), "started the function");
        Ok(Self { process, listeners, since: Instant::now() })
    }
}

/// What the supervising task works with.
pub(super) struct Duty {
    pub(super) launcher: Launcher,
    pub(super) log: Log,
    pub(super) restart: bool,
    pub(super) proxy: Arc<Proxy>,
    pub(super) stop: Arc<Notify>,
    /// A call found the function unreachable, or was cut off.
    pub(super) doubt: Arc<Notify>,
    pub(super) tell: watch::Sender<State>,
    /// Whether calls need not wait: what `tell` says, without its lock.
    pub(super) open: Arc<AtomicBool>,
}

impl Duty {
    fn tell(&self, state: State) {
        self.open.store(matches!(state, State::Ready | State::Silent), Ordering::Relaxed);
        self.tell.send_replace(state);
    }
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
            duty.tell(State::Dead(reason));
            // Whoever waits for a stop must still see this task end.
            return duty.stop.notified().await;
        }
        duty.tell(State::Starting);
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
    let exit = loop {
        let ready = *duty.tell.borrow() == State::Ready;
        tokio::select! {
            exit = child.process.exited() => break exit,
            () = duty.stop.notified() => {
                child.process.end().await;
                return End::Stopped;
            }
            () = listens(duty, PROBE.0), if !ready => {
                duty.tell(State::Ready);
            }
            // Probes should know before the next call does.
            () = duty.doubt.notified(), if ready => {
                duty.tell(State::Silent);
            }
        }
    };
    // What becomes of it is not known yet: calls wait.
    duty.tell(State::Starting);
    // A function that puts itself into the background leaves with status 0 and goes on serving.
    if matches!(exit, Ok(Exit::Status(0))) {
        let taken = tokio::select! {
            taken = timeout(DAEMON_START, listens(duty, PROBE.1)) => taken.is_ok(),
            () = duty.stop.notified() => {
                child.process.end().await;
                return End::Stopped;
            }
        };
        if taken {
            return daemon(child.process, duty).await;
        }
    }
    let ended = child.process.wait().await;
    // Its last words say why. Whoever else has its pipes, in another session, may keep them.
    let heard = async {
        for listener in child.listeners {
            let _ = listener.await;
        }
    };
    let _ = timeout(LAST_WORDS, heard).await;
    match ended {
        Ok(exit) => End::Died(format!("ended: {exit}")),
        Err(error) => End::Died(error.to_string()),
    }
}

/// Done once the function accepts connections; the first look but one comes after `pause`.
async fn listens(duty: &Duty, mut pause: Duration) {
    while !duty.proxy.accepts().await {
        sleep(pause).await;
        pause = (pause * 2).min(PROBE.1);
    }
}

/// The function serves on, but the process that we started has left. A daemon's end can only be
/// seen from outside.
async fn daemon(process: Process, duty: &Duty) -> End {
    duty.tell(State::Ready);
    let authority = duty.proxy.authority();
    // The number of the group is ours as long as its leader is not reaped.
    let group = process.leads_others().then_some(process);
    let control = if group.is_some() { "stop but not watch" } else { "neither stop nor watch" };
    tracing::warn!(
        "the function's process left with status 0, but {authority} is still served: it runs on \
         as a daemon that the watchdog can {control} (keep it in the foreground)"
    );
    loop {
        tokio::select! {
            () = sleep(DAEMON_PROBE) => {}
            () = duty.doubt.notified() => {}
            () = duty.stop.notified() => {
                if let Some(process) = group {
                    process.end().await;
                }
                return End::Stopped;
            }
        }
        if !duty.proxy.accepts().await {
            if let Some(mut process) = group {
                let _ = process.wait().await;
            }
            return End::Died("does not accept connections any more".to_owned());
        }
    }
}
