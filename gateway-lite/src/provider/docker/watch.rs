//! The engine's events: what happened to our containers, whoever did it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bollard::{models::EventMessage, query_parameters::EventsOptionsBuilder};
use futures_util::{StreamExt as _, stream};

use super::{
    Shared,
    labels::{GATEWAY, INSTANCE},
};
use crate::error::Result;

/// The first pause before an engine that went away is looked for again, and the longest.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// What changes the answer of `list`; others, such as those of health checks and `docker exec`,
/// do not.
const CHANGES: [&str; 13] = [
    "create", "start", "restart", "die", "oom", "kill", "stop", "pause", "unpause", "rename",
    "update", "destroy", "remove",
];

/// How each instance died since the gateway started.
#[derive(Debug, Default)]
pub(super) struct Deaths(Mutex<HashMap<String, Death>>);

/// How one did.
#[derive(Clone, Debug, Default)]
pub(super) struct Death {
    /// How often.
    pub(super) count: u64,
    /// The exit status that it left last.
    pub(super) status: Option<i64>,
    /// Whether that was for want of memory.
    pub(super) was_out_of_memory: bool,
    /// Something of it was killed for want of memory, and it did not die yet.
    is_out_of_memory: bool,
}

impl Deaths {
    pub(super) fn of(&self, instance: &str) -> Death {
        self.lock().get(instance).cloned().unwrap_or_default()
    }

    /// Takes an event into account.
    fn note(&self, instance: &str, action: &str, status: Option<i64>) {
        let mut all = self.lock();
        match action {
            "oom" => all.entry(instance.to_owned()).or_default().is_out_of_memory = true,
            "die" => {
                let death = all.entry(instance.to_owned()).or_default();
                (death.count, death.status) = (death.count + 1, status);
                death.was_out_of_memory = std::mem::take(&mut death.is_out_of_memory);
            }
            "destroy" => drop(all.remove(instance)),
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Death>> {
        // Nothing that panics runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of changes until it is dropped.
pub(super) async fn run(all: Arc<Shared>) {
    let mut pause = SHORTEST;
    let mut is_away = false;
    let mut since = now();
    loop {
        match begin(&all).await {
            Ok(()) => {
                if is_away {
                    tracing::info!("The Docker engine is back");
                }
                (is_away, pause) = (false, SHORTEST);
                // Whatever happened meanwhile.
                tell(&all);
                since = follow(&all, since).await;
            }
            Err(error) => {
                if !is_away {
                    tracing::error!("{error}");
                    tell(&all);
                }
                is_away = true;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Whether there is an engine. It may be another one than before.
async fn begin(all: &Shared) -> Result<()> {
    all.engine.negotiate().await?;
    all.sweep().await
}

/// Follows the events from `since` on until the engine goes away. Returns when that was.
async fn follow(all: &Shared, since: u64) -> u64 {
    let mark = format!("{GATEWAY}={}", all.own.gateway());
    let told = |kind: &str, more: (&'static str, String)| {
        let filters = HashMap::from([("type", vec![kind.to_owned()]), (more.0, vec![more.1])]);
        let options =
            EventsOptionsBuilder::default().since(&since.to_string()).filters(&filters).build();
        all.engine.api().events(Some(options)).boxed()
    };
    // Those of networks do not carry the labels of their containers.
    let networks = told("network", ("event", "disconnect".to_owned()));
    let end = |events: stream::BoxStream<'static, _>| events.map(Some).chain(stream::iter([None]));
    let mut events = stream::select(end(told("container", ("label", mark))), end(networks)).boxed();
    // Neither is heard without the other.
    while let Some(Some(event)) = events.next().await {
        match event {
            Ok(event) => take(all, event).await,
            Err(error) => {
                tracing::debug!("Docker's events end: {error}");
                break;
            }
        }
    }
    now()
}

async fn take(all: &Shared, event: EventMessage) {
    // Some have details behind a colon.
    let action = event.action.unwrap_or_default();
    let action = action.split(':').next().unwrap_or_default();
    let mut about = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
    if action == "disconnect" {
        if about.get("name").is_some_and(|name| name == all.network.name()) {
            tell(all);
        }
        return;
    }
    let status = about.get("exitCode").and_then(|status| status.parse().ok());
    let instance = about.remove(INSTANCE);
    if let Some(instance) = &instance {
        all.deaths.note(instance, action, status);
    }
    if action == "destroy"
        && let Some(instance) = instance
    {
        all.meter.forget(&instance);
        // Also what somebody else removed leaves no secrets behind.
        if all.copies.has(&instance)
            && let Err(error) = all.sweep().await
        {
            tracing::warn!("{error}");
        }
    }
    if CHANGES.contains(&action) {
        tell(all);
    }
}

fn tell(all: &Shared) {
    all.changes.send_modify(|count| *count = count.wrapping_add(1));
}

/// Seconds since 1970, the latest that has passed.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
