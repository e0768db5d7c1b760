//! What containers use, of which the engine tells the sum.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bollard::{models::ContainerStatsResponse, query_parameters::StatsOptionsBuilder};
use futures_util::StreamExt as _;

use super::engine::{ASK, Engine};
use crate::{
    error::{Error, Result},
    function::Usage,
};

/// Between two readings, if there is none of the last minute.
const PAUSE: Duration = Duration::from_millis(200);
const NEWEST: Duration = Duration::from_millis(100);
const OLDEST: Duration = Duration::from_secs(60);

/// Remembers the last reading of each instance.
#[derive(Debug, Default)]
pub(super) struct Meter {
    last: Mutex<HashMap<String, Reading>>,
}

#[derive(Clone, Copy, Debug)]
struct Reading {
    at: Instant,
    /// Processor time since the container started, in nanoseconds.
    spent: u64,
    /// In bytes.
    memory: u64,
}

impl Meter {
    /// What it uses now.
    pub(super) async fn read(&self, engine: &Engine, id: &str, container: &str) -> Result<Usage> {
        let known = self.last().get(id).copied();
        let known = known.filter(|last| (NEWEST..OLDEST).contains(&last.at.elapsed()));
        let before = match known {
            Some(known) => known,
            None => {
                let Some(first) = read(engine, container).await? else {
                    return Ok(Usage::default());
                };
                tokio::time::sleep(PAUSE).await;
                first
            }
        };
        let Some(after) = read(engine, container).await? else { return Ok(Usage::default()) };
        self.last().insert(id.to_owned(), after);
        Ok(usage(before, after))
    }

    /// It is gone.
    pub(super) fn forget(&self, id: &str) {
        self.last().remove(id);
    }

    fn last(&self) -> MutexGuard<'_, HashMap<String, Reading>> {
        // Nothing that can panic runs under the lock.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn usage(before: Reading, after: Reading) -> Usage {
    let elapsed = after.at.saturating_duration_since(before.at).as_nanos().max(1) as f64;
    // Started anew, it has spent less than before.
    let spent = after.spent.checked_sub(before.spent).unwrap_or(after.spent) as f64;
    Usage { cpu: spent / elapsed * 1000.0, memory: after.memory as f64 }
}

/// `None` for one that does not run.
async fn read(engine: &Engine, container: &str) -> Result<Option<Reading>> {
    let options = StatsOptionsBuilder::default().stream(false).one_shot(true).build();
    let doing = "ask what a container uses";
    let mut stats = std::pin::pin!(engine.api().stats(container, Some(options)));
    let answer = tokio::time::timeout(ASK, stats.next()).await;
    match answer.map_err(|_| engine.late(doing, ASK))? {
        Some(Ok(stats)) => Ok(reading(&stats)),
        Some(Err(error)) => Err(engine.error(doing, &error)),
        None => Err(Error::Failed(format!("cannot {doing}: the engine says nothing"))),
    }
}

fn reading(stats: &ContainerStatsResponse) -> Option<Reading> {
    let memory = stats.memory_stats.as_ref()?;
    let used = memory.usage?;
    // Pages of files that are not used are there for whoever needs them: what `docker stats` leaves
    // out, under its names in version 1 and 2 of control groups.
    let idle = memory.stats.as_ref().and_then(|all| {
        all.get("total_inactive_file").or_else(|| all.get("inactive_file")).copied()
    });
    let spent = stats.cpu_stats.as_ref()?.cpu_usage.as_ref()?.total_usage?;
    let memory = used.saturating_sub(idle.unwrap_or_default());
    Some(Reading { at: Instant::now(), spent, memory })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_what_was_spent_between_two_readings() {
        let at = Instant::now();
        let reading =
            |seconds, spent| Reading { at: at + Duration::from_secs(seconds), spent, memory: 7 };
        let used = usage(reading(0, 1_000_000_000), reading(2, 2_000_000_000));
        assert!((used.cpu - 500.0).abs() < 1e-6 && (used.memory - 7.0).abs() < 1e-6);
        assert!(
            (usage(reading(0, 9_000_000_000), reading(1, 100_000_000)).cpu - 100.0).abs() < 1e-6
        );
    }

    #[test]
    fn what_does_not_run_has_no_reading() {
        assert!(reading(&ContainerStatsResponse::default()).is_none());
    }
}
