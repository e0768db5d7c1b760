//! What the replicas of a function wrote, as one stream in the order of time.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream::SelectAll};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use crate::{
    error::{Error, Result},
    function::FunctionId,
    provider::{Line, LineStream, Lines, Provider},
};

/// A line, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The function's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Which replica wrote it.
    pub instance: String,
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub timestamp: OffsetDateTime,
    /// Without the end of line.
    pub text: String,
}

/// Which messages.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Of one replica only.
    pub instance: Option<String>,
    /// Which of its lines.
    pub lines: Lines,
}

/// Lines that are sorted before the first is sent; more are sent as they are read.
const MOST_SORTED: usize = 100_000;
/// Messages that wait for a slow reader.
const WAITING: usize = 256;
/// What is there comes without a pause this long; what comes later is new.
const PAUSE: Duration = Duration::from_millis(300);
/// How often new replicas are looked for beside the provider's word.
const LOOK: Duration = Duration::from_secs(2);

/// Lines and which instance wrote them.
type Tagged = futures_util::stream::BoxStream<'static, (Arc<str>, Result<Line>)>;

/// Sends the messages of `function` until there are no more or nobody listens.
///
/// # Errors
/// [`Error::NotFound`] for an instance that is not the function's; the provider's.
pub async fn open(
    provider: Arc<dyn Provider>,
    function: FunctionId,
    query: Query,
) -> Result<mpsc::Receiver<Message>> {
    let mut reader =
        Reader { provider, function, query, known: HashSet::new(), streams: SelectAll::new() };
    let found = reader.add_new(true).await?;
    if let Some(instance) = reader.query.instance.as_deref().filter(|_| !found) {
        let text = format!("function {} has no replica {instance:?}", reader.function);
        return Err(Error::NotFound(text));
    }
    let (tell, told) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        // An error means that nobody listens any more.
        let _ = reader.run(tell).await;
    });
    Ok(told)
}

struct Reader {
    provider: Arc<dyn Provider>,
    function: FunctionId,
    query: Query,
    known: HashSet<String>,
    streams: SelectAll<Tagged>,
}

type Told = Result<(), mpsc::error::SendError<Message>>;

impl Reader {
    async fn run(mut self, tell: mpsc::Sender<Message>) -> Told {
        let mut past = Vec::new();
        while past.len() < MOST_SORTED {
            match timeout(PAUSE, self.streams.next()).await {
                Ok(Some((instance, Ok(line)))) => past.push((instance, line)),
                Ok(Some((instance, Err(error)))) => self.complain(&instance, &error),
                Ok(None) => break,
                // Without `follow` the end comes, however slowly.
                Err(_) if self.query.lines.follow => break,
                Err(_) => {}
            }
        }
        past.sort_by_key(|(_, line)| line.at);
        let surplus = self.query.lines.tail.map_or(0, |tail| past.len().saturating_sub(tail));
        for (instance, line) in past.drain(..).skip(surplus) {
            tell.send(self.message(&instance, line)).await?;
        }
        self.follow(tell).await
    }

    /// What is left, and what comes.
    async fn follow(mut self, tell: mpsc::Sender<Message>) -> Told {
        let follow = self.query.lines.follow;
        let mut changes = self.provider.changes();
        let mut look = tokio::time::interval_at(Instant::now() + LOOK, LOOK);
        loop {
            if self.streams.is_empty() && (!follow || self.known.is_empty()) {
                return Ok(());
            }
            tokio::select! {
                next = self.streams.next(), if !self.streams.is_empty() => match next {
                    Some((instance, Ok(line))) => tell.send(self.message(&instance, line)).await?,
                    Some((instance, Err(error))) => self.complain(&instance, &error),
                    None => {}
                },
                () = tell.closed() => return Ok(()),
                _ = changes.changed(), if follow => { let _ = self.add_new(false).await; }
                _ = look.tick(), if follow => { let _ = self.add_new(false).await; }
                else => return Ok(()),
            }
        }
    }

    /// Opens the lines of instances that were not there before; whether any is there.
    async fn add_new(&mut self, first: bool) -> Result<bool> {
        let instances = self.provider.list().await?;
        let wanted = self.query.instance.as_deref();
        let of_function: Vec<_> = instances
            .into_iter()
            .filter(|instance| instance.function == self.function)
            .map(|instance| instance.id)
            .filter(|id| wanted.is_none_or(|wanted| wanted == id))
            .collect();
        // Once they are all gone there is nothing to follow.
        self.known.retain(|id| of_function.contains(id));
        let found = !of_function.is_empty();
        for id in of_function {
            if self.known.contains(&id) {
                continue;
            }
            let mut lines = self.query.lines;
            if !first {
                lines.tail = None;
            }
            match self.provider.lines(&id, lines).await {
                Ok(stream) => self.streams.push(tagged(&id, stream)),
                // It may have gone meanwhile.
                Err(Error::NotFound(_)) => {}
                Err(error) if first => return Err(error),
                Err(error) => self.complain(&id, &error),
            }
            self.known.insert(id);
        }
        Ok(found)
    }

    fn complain(&self, instance: &str, error: &Error) {
        tracing::warn!("the log of replica {instance} of {}: {error}", self.function);
    }

    fn message(&self, instance: &str, line: Line) -> Message {
        Message {
            name: self.function.name().to_owned(),
            namespace: self.function.namespace().to_owned(),
            instance: instance.to_owned(),
            timestamp: line.at,
            text: line.text,
        }
    }
}

fn tagged(id: &str, stream: LineStream) -> Tagged {
    let id: Arc<str> = id.into();
    stream.map(move |line| (Arc::clone(&id), line)).boxed()
}
