//! Brings a version of a function into service, or leaves everything as it was.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt, future::join_all};
use tokio::time::Instant;

use super::{
    Control,
    cell::{Cell, Life},
    replica::Replica,
};
use crate::{
    error::{Error, Result},
    function::NOT_YET,
    provider::Lines,
    registry::Revision,
};

/// A replica that failed so often will do it again.
const ENOUGH_FAILURES: u32 = 3;
/// So will one that does not get up for so long.
const LONG_DOWN: Duration = Duration::from_secs(5);

/// What a failed replica wrote last: so many lines, so many characters, waited for so long.
const LAST_LINES: usize = 5;
const LAST_CHARS: usize = 1000;
const LAST_WAIT: Duration = Duration::from_secs(1);

impl Control {
    /// The first version. Returns when its replicas are started; on failure there are none.
    pub(super) async fn begin(self: &Arc<Self>, cell: &Arc<Cell>) -> Result<()> {
        let begun = tokio::select! {
            begun = async {
                let spec = Arc::clone(&cell.function.revision.load().spec);
                self.provider.prepare(&spec).await?;
                let text = format!("{NOT_YET}its replicas are being made");
                cell.change(|known| known.trouble = Some(text));
                self.settle(cell).await
            } => begun,
            () = cell.doomed() => Err(removed(cell)),
        };
        match begun {
            Ok(()) => {
                cell.stay_awake();
                cell.change(|known| {
                    if known.life == Life::Unborn {
                        known.life = Life::Live;
                    }
                });
                Ok(())
            }
            Err(error) => {
                // Who removes it lets those that are ready finish their calls.
                if !*cell.doom.borrow() {
                    self.drop_all(cell, |_| true).await;
                }
                Err(error)
            }
        }
    }

    /// Another version in the place of the one that serves, which goes on serving when the other
    /// does not get ready.
    pub(super) async fn roll(
        self: &Arc<Self>,
        cell: &Arc<Cell>,
        goal: Arc<Revision>,
    ) -> Result<()> {
        let number = goal.number;
        let reached = tokio::select! {
            reached = async {
                self.provider.prepare(&goal.spec).await?;
                cell.change(|known| known.goal = Some(goal));
                self.reach(cell, number).await
            } => reached,
            () = cell.doomed() => Err(removed(cell)),
        };
        // Once it serves it has calls, for who removes the function to wait for.
        if reached.is_err() && cell.serving() != number {
            cell.change(|known| known.goal = None);
            self.drop_all(cell, |revision| revision == number).await;
        }
        reached
    }

    async fn reach(self: &Arc<Self>, cell: &Arc<Cell>, number: u64) -> Result<()> {
        let mut news = cell.news.subscribe();
        let mut deadline = None;
        loop {
            news.mark_unchanged();
            let settled = self.settle(cell).await;
            if cell.serving() == number {
                // Whatever of the version before does not go is the loop's to remove.
                return settled.or_else(|error| {
                    Self::note(cell, &error);
                    Ok(())
                });
            }
            settled?;
            let now = Instant::now();
            let deadline = *deadline.get_or_insert(now + self.settings.ready_within);
            if let Some((id, why)) = hopeless(cell, number) {
                let words = self.last_words(&id).await;
                return Err(Error::Failed(format!("the new version does not run: {why}{words}")));
            }
            if now >= deadline {
                let within = self.settings.ready_within.as_secs_f64();
                let words = match starting(cell, number) {
                    Some(id) => self.last_words(&id).await,
                    None => String::new(),
                };
                let text = format!("the new version was not ready within {within} s{words}");
                return Err(Error::Failed(text));
            }
            // Time passes for `hopeless` too.
            let look_again = deadline.min(now + Duration::from_millis(500));
            let _ = tokio::time::timeout_at(look_again, news.changed()).await;
        }
    }

    /// Removes the instances of versions that never served: nobody calls them.
    async fn drop_all(self: &Arc<Self>, cell: &Arc<Cell>, which: impl Fn(u64) -> bool) {
        let is_one = |one: &&Replica| which(one.instance.revision);
        let ids = cell.ids(is_one);
        let removals = ids.iter().map(|id| self.remove_one(cell, id));
        for error in join_all(removals).await.into_iter().filter_map(Result::err) {
            // The loop will remove it: it belongs to no version that is wanted.
            tracing::warn!("{}: a replica of a failed version is still there: {error}", cell.id());
        }
    }

    /// What an instance wrote last, behind a line feed; nothing when it cannot be had.
    async fn last_words(&self, id: &str) -> String {
        let lines = Lines { tail: Some(LAST_LINES), ..Lines::default() };
        let read = async {
            let stream = self.provider.lines(id, lines).await.ok()?;
            Some(stream.take(LAST_LINES).filter_map(|line| async { line.ok() }).collect().await)
        };
        let read = tokio::time::timeout(LAST_WAIT, read).await;
        let lines: Vec<crate::provider::Line> = read.ok().flatten().unwrap_or_default();
        let text: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        let text = text.join("\n");
        let skipped = text.chars().count().saturating_sub(LAST_CHARS);
        let text: String = text.chars().skip(skipped).collect();
        if text.is_empty() { text } else { format!("; it wrote last:\n{text}") }
    }
}

/// A replica of a version that will not get ready, and why.
fn hopeless(cell: &Cell, number: u64) -> Option<(String, String)> {
    let known = cell.known();
    let mut mine = known.replicas.values().filter(|one| one.instance.revision == number);
    mine.find_map(|replica| {
        let why = replica.complaint()?;
        let is_down = replica.failing_since.is_some_and(|since| since.elapsed() >= LONG_DOWN);
        let is_hopeless = replica.failures >= ENOUGH_FAILURES || is_down;
        is_hopeless.then(|| (replica.instance.id.clone(), why.to_owned()))
    })
}

fn starting(cell: &Cell, number: u64) -> Option<String> {
    let is_one = |one: &&Replica| one.instance.revision == number && one.endpoint.is_none();
    cell.ids(is_one).into_iter().next()
}

fn removed(cell: &Cell) -> Error {
    Error::Conflict(format!("function {} was removed meanwhile", cell.id()))
}
