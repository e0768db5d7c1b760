//! One instance: what is known of it, and the changes of what it does, one at a time.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use modes::{
    process::detached::{Detached, Launch, kill_marked},
    proxy::Target,
};
use rustix::process::Signal;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    directory::Place,
    environment::{self, MARK},
    folder,
    keeper::Keeper,
    limits::Limits,
    log,
    record::{Desired, Process, Record},
    usage::Meter,
};
use crate::{
    error::{Error, Result},
    function::FunctionId,
    provider::{Instance, State},
};

/// How long a killed process may take to be gone: it has to leave the kernel first.
const KILLED: Duration = Duration::from_secs(10);

/// What all instances have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) program: PathBuf,
    pub(super) base: Vec<(std::ffi::OsString, std::ffi::OsString)>,
    /// Where the gateway listens; 0 while that is not known.
    pub(super) gateway: AtomicU16,
    pub(super) limits: Limits,
    pub(super) changes: watch::Sender<u64>,
    /// The provider is being dropped: leave everything as it is.
    pub(super) closing: CancellationToken,
    /// Locked for as long as anybody looks after an instance.
    pub(super) _lock: std::fs::File,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) function: FunctionId,
    pub(super) place: Place,
    pub(super) shared: Arc<Shared>,
    pub(super) meter: Meter,
    /// It was removed.
    pub(super) gone: CancellationToken,
    known: Mutex<Known>,
    /// Held by who writes the record: it is changed as a whole.
    writing: Mutex<()>,
    /// Whoever keeps it running. Held by who changes what the instance does.
    keeper: tokio::sync::Mutex<Option<Keeper>>,
    /// Where the lines of the present process begin in the log.
    said: AtomicU64,
}

#[derive(Debug)]
struct Known {
    record: Record,
    state: State,
    /// How its last process ended by itself.
    last_death: Option<String>,
}

impl Slot {
    /// One that does not run.
    pub(super) fn new(
        function: FunctionId,
        place: Place,
        record: Record,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            function,
            place,
            shared,
            meter: Meter::default(),
            gone: CancellationToken::new(),
            known: Mutex::new(Known { record, state: State::Parked, last_death: None }),
            writing: Mutex::new(()),
            keeper: tokio::sync::Mutex::new(None),
            said: AtomicU64::new(0),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Nothing that can panic runs under the lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn instance(&self) -> Instance {
        let known = self.known();
        Instance {
            id: self.place.id.clone(),
            function: self.function.clone(),
            spec: Arc::clone(&known.record.spec),
            revision: known.record.revision,
            deployed: known.record.deployed,
            state: known.state.clone(),
            deaths: known.record.restarts,
            last_death: known.last_death.clone(),
        }
    }

    /// The process that runs now.
    pub(super) fn pid(&self) -> Option<i32> {
        let known = self.known();
        let runs = matches!(known.state, State::Running { .. });
        known.record.process.as_ref().filter(|_| runs).map(|process| process.pid)
    }

    /// Changes the record, on the disk as well.
    fn note(&self, change: impl FnOnce(&mut Record)) -> Result<()> {
        // A keeper notes what died while somebody notes what is wanted.
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut record = self.known().record.clone();
        change(&mut record);
        record.save(&self.place.directory).map_err(|error| {
            let directory = self.place.directory.display();
            Error::Failed(format!("cannot write the record in {directory}: {error}"))
        })?;
        self.known().record = record;
        Ok(())
    }

    /// Says what it does now.
    pub(super) fn is(&self, state: State) {
        let is_new = {
            let mut known = self.known();
            let is_new = known.state != state;
            known.state = state;
            is_new
        };
        if is_new {
            self.shared.changes.send_modify(|count| *count += 1);
        }
    }

    /// Starts a process and writes down which. What a process before left behind is ended first.
    /// Blocks for some milliseconds; must be called within a runtime.
    pub(super) fn launch(&self) -> Result<Detached> {
        self.sweep()?;
        let spec = Arc::clone(&self.known().record.spec);
        let directory = folder(&spec)?;
        let failed = |error: std::io::Error| {
            Error::Failed(format!("cannot start an instance of {}: {error}", self.function))
        };
        let gateway = self.shared.gateway.load(Ordering::Relaxed);
        let environment = environment::of(
            &self.shared.base,
            &spec,
            &self.place,
            Some(gateway).filter(|port| *port != 0),
            environment::free_port(),
        );
        let log = self.place.open_log().map_err(failed)?;
        self.said.store(log.metadata().map_or(0, |log| log.len()), Ordering::Relaxed);
        let process = Detached::start(&Launch {
            program: &self.shared.program,
            arguments: &["gateway-lite".as_ref(), "watchdog".as_ref()],
            directory: &directory,
            environment: &environment,
            log: &log,
        })
        .map_err(failed)?;
        let identity = process.identity();
        let limited = self.shared.limits.apply(&self.place.id, identity.pid, spec.limits.as_ref());
        let noted = limited
            .map_err(failed)
            .and_then(|()| self.note(|record| record.process = Some(Process::new(identity))));
        if let Err(error) = noted {
            let _ = process.signal(Signal::KILL);
            return Err(error);
        }
        self.meter.reset();
        self.is(State::Running { target: Target::Unix(self.place.socket.clone()) });
        Ok(process)
    }

    /// Its process has ended and another one is to follow. `is_new`: it had lived for long.
    pub(super) fn died(&self, how: &str, is_new: bool) -> Result<()> {
        let words = log::last_words(&self.place.log(), self.said.load(Ordering::Relaxed));
        // What its watchdog says of the function is how it ended itself.
        let said = how.replace("ended (", "the function ended: ");
        let words = words.strip_suffix(said.trim_end_matches(')')).unwrap_or(&words);
        let words = words.trim_end_matches("; ");
        let why = if words.is_empty() { how.to_owned() } else { format!("{how}: {words}") };
        let before = self.known().last_death.replace(why.clone());
        // Whoever dies of the same again and again is told of once.
        if is_new || before.as_ref() != Some(&why) {
            let (function, instance) = (&self.function, &self.place.id);
            tracing::warn!(%function, %instance, "an instance {why}; it is started again");
        }
        // The next start writes it again.
        self.is(State::Failing { why });
        self.note(|record| {
            record.process = None;
            record.restarts += 1;
        })
    }

    /// Ends every process of the instance that its first one did not end.
    pub(super) fn sweep(&self) -> Result<()> {
        // One that is found may just be making another.
        for _ in 0..400 {
            if kill_marked(MARK, &self.place.id) == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(Error::Unavailable(format!("processes of {} do not end", self.function)))
    }

    /// See [`Provider::start`](crate::provider::Provider::start).
    pub(super) async fn start(self: Arc<Self>) -> Result<Instance> {
        let mut keeper = self.keeper.lock().await;
        if self.gone.is_cancelled() {
            return Err(self.is_gone());
        }
        let slot = Arc::clone(&self);
        if keeper.is_some() {
            // It may have been dismissed.
            blocking(move || slot.wants(Desired::Running)).await?;
        } else {
            let started = blocking(move || {
                slot.note(|record| record.desired = Desired::Running)?;
                slot.launch().inspect_err(|_| {
                    let _ = slot.note(|record| record.desired = Desired::Parked);
                })
            });
            *keeper = Some(Keeper::of(&self, Some(started.await?)));
        }
        Ok(self.instance())
    }

    /// Looks after an instance that a gateway before this one made.
    pub(super) async fn adopt(self: Arc<Self>) -> Result<()> {
        let mut keeper = self.keeper.lock().await;
        let (desired, process, had_process) = {
            let known = self.known();
            let process = known.record.process.as_ref();
            let identity = process.and_then(Process::identity);
            (known.record.desired, identity, process.is_some())
        };
        if desired == Desired::Parked {
            // That gateway may have been killed while it parked it.
            let slot = Arc::clone(&self);
            return blocking(move || slot.sweep()).await;
        }
        let process = match process.map(Detached::adopt) {
            None => None,
            Some(Ok(process)) => process,
            Some(Err(error)) => return Err(Error::Failed(format!("cannot adopt: {error}"))),
        };
        match &process {
            Some(_) => self.is(State::Running { target: Target::Unix(self.place.socket.clone()) }),
            None => {
                let why = if had_process {
                    "ended while no gateway ran"
                } else {
                    "it did not run when the gateway started, and is started now"
                };
                self.is(State::Failing { why: why.to_owned() });
            }
        }
        *keeper = Some(Keeper::of(&self, process));
        Ok(())
    }

    /// See [`Provider::dismiss`](crate::provider::Provider::dismiss).
    pub(super) async fn dismiss(self: Arc<Self>) -> Result<()> {
        let _unchanged = self.keeper.lock().await;
        if self.gone.is_cancelled() {
            return Ok(());
        }
        let slot = Arc::clone(&self);
        blocking(move || slot.wants(Desired::Parked)).await
    }

    /// Notes what it is meant to do, unless that is what the record says.
    fn wants(&self, desired: Desired) -> Result<()> {
        if self.known().record.desired == desired {
            return Ok(());
        }
        self.note(|record| record.desired = desired)
    }

    /// See [`Provider::park`](crate::provider::Provider::park).
    pub(super) async fn park(self: Arc<Self>, grace: Duration) -> Result<()> {
        let mut keeper = self.keeper.lock().await;
        if self.gone.is_cancelled() {
            return Ok(());
        }
        let slot = Arc::clone(&self);
        blocking(move || slot.wants(Desired::Parked)).await?;
        if let Some(keeper) = keeper.take() {
            self.end(keeper, Some(grace)).await?;
        }
        let slot = Arc::clone(&self);
        blocking(move || {
            slot.sweep()?;
            slot.note(|record| record.process = None)
        })
        .await?;
        self.is(State::Parked);
        Ok(())
    }

    /// Ends it, to be started again by the next gateway.
    pub(super) async fn rest(self: Arc<Self>, grace: Duration) -> Result<()> {
        let mut keeper = self.keeper.lock().await;
        if let Some(keeper) = keeper.take() {
            self.end(keeper, Some(grace)).await?;
            let slot = Arc::clone(&self);
            blocking(move || {
                slot.sweep()?;
                // So that the next gateway does not take it for one that died.
                slot.note(|record| record.process = None)
            })
            .await?;
            self.is(State::Failing { why: "the gateway stops".to_owned() });
        }
        Ok(())
    }

    /// See [`Provider::remove`](crate::provider::Provider::remove).
    pub(super) async fn remove(self: Arc<Self>) -> Result<()> {
        let mut keeper = self.keeper.lock().await;
        if self.gone.is_cancelled() {
            return Ok(());
        }
        if let Some(keeper) = keeper.take() {
            self.end(keeper, None).await?;
        }
        let slot = Arc::clone(&self);
        blocking(move || {
            slot.sweep()?;
            slot.shared.limits.release(&slot.place.id);
            slot.place.remove().map_err(|error| {
                let directory = slot.place.directory.display();
                Error::Failed(format!("cannot delete {directory}: {error}"))
            })
        })
        .await?;
        self.gone.cancel();
        self.shared.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Ends what a keeper kept, at once without `grace`.
    async fn end(&self, keeper: Keeper, grace: Option<Duration>) -> Result<()> {
        let Some(process) = keeper.stop().await else { return Ok(()) };
        let failed =
            |error| Error::Failed(format!("cannot end an instance of {}: {error}", self.function));
        if let Some(grace) = grace {
            process.signal(Signal::TERM).map_err(failed)?;
            if timeout(grace, process.exited()).await.is_ok() {
                return Ok(());
            }
        }
        process.signal(Signal::KILL).map_err(failed)?;
        if timeout(KILLED, process.exited()).await.is_err() {
            let pid = process.identity().pid;
            let text = format!(
                "process {pid} of {} was killed and is still there after {KILLED:?}: a device or \
                 file system may hold it",
                self.function
            );
            return Err(Error::Unavailable(text));
        }
        Ok(())
    }

    pub(super) fn is_gone(&self) -> Error {
        Error::NotFound(format!("there is no instance {} of {}", self.place.id, self.function))
    }
}

/// Runs what touches files on a thread that may wait for them.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::Failed(format!("work on files ended early: {error}"))))
}
