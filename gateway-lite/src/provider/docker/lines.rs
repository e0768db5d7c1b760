//! What containers wrote, from the engine's logs.

use std::{pin::pin, sync::Arc, time::Duration};

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use futures_util::{StreamExt as _, stream};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::mpsc, time::timeout};

use super::{Shared, engine::Engine, state::Found};
use crate::{
    error::{Error, Result},
    provider::{Line, LineStream, Lines},
};

/// Lines that wait for a slow reader.
const WAITING: usize = 256;
/// The longest line, in bytes; a longer one comes in pieces.
const LONGEST: usize = 1 << 20;
/// How often a container that wrote nothing more is looked at again, if no event comes.
const LOOK: Duration = Duration::from_secs(2);
/// For the last line of one that failed: an adornment.
const LAST: Duration = Duration::from_secs(5);

/// The lines of an instance.
pub(super) async fn open(all: &Arc<Shared>, id: &str, lines: Lines) -> Result<LineStream> {
    let found = all.find(id).await?;
    let mut wanted = lines;
    if lines.follow && lines.tail == Some(0) {
        // What is written before the engine has heard the question is to come as well.
        let now = OffsetDateTime::now_utc();
        wanted.since = Some(lines.since.map_or(now, |since| since.max(now)));
        wanted.tail = None;
    }
    let (tell, told) = mpsc::channel(WAITING);
    let reader = Reader { all: Arc::clone(all), found, wanted, last: None, tell };
    tokio::spawn(reader.run());
    Ok(Box::pin(stream::unfold(told, async |mut told| Some((told.recv().await?, told)))))
}

/// The last line of a container, if it is to be had.
pub(super) async fn last(engine: &Engine, container: &str) -> Option<String> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).tail("1").build();
    let mut output = pin!(engine.api().logs(container, Some(options)));
    let mut text = String::new();
    let reading = async {
        while let Some(Ok(piece)) = output.next().await {
            text.push_str(&String::from_utf8_lossy(&piece.into_bytes()));
        }
    };
    timeout(LAST, reading).await.ok()?;
    Some(text)
}

struct Reader {
    all: Arc<Shared>,
    found: Found,
    wanted: Lines,
    /// When the last line was written that was told, and how many were at that moment.
    last: Option<(OffsetDateTime, usize)>,
    tell: mpsc::Sender<Result<Line>>,
}

impl Reader {
    async fn run(mut self) {
        let tell = self.tell.clone();
        tokio::select! {
            () = self.read() => {}
            // Nobody listens any more.
            () = tell.closed() => {}
        }
    }

    /// The engine's stream ends with each life of a container.
    async fn read(&mut self) {
        let mut changes = self.all.changes.subscribe();
        loop {
            let outcome = self.life().await;
            if !self.wanted.follow {
                if let Err(error) = outcome {
                    let _ = self.tell.send(Err(error)).await;
                }
                return;
            }
            // Without an event after that long, too: the engine may have been away.
            let _ = timeout(LOOK, changes.changed()).await;
            if matches!(self.all.find(&self.found.labels.instance).await, Err(Error::NotFound(_))) {
                return;
            }
        }
    }

    async fn life(&mut self) -> Result<()> {
        let mut options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .timestamps(true)
            .follow(self.wanted.follow);
        let since = self.last.map(|(at, _)| at).or(self.wanted.since);
        if let Some(since) = since {
            // Whole seconds; the rest is left out below.
            options = options.since(since.unix_timestamp().try_into().unwrap_or(i32::MAX));
        }
        if let Some(tail) = self.wanted.tail.filter(|_| self.last.is_none()) {
            options = options.tail(&tail.to_string());
        }
        let engine = self.all.engine.clone();
        let mut output = pin!(engine.api().logs(&self.found.container, Some(options.build())));
        let mut pieces = Pieces::default();
        let mut known = self.last;
        while let Some(piece) = output.next().await {
            let piece = piece.map_err(|error| engine.error("read the log", &error))?;
            let Some(line) = pieces.add(piece) else { continue };
            if let Some((at, count)) = known.as_mut() {
                if line.at < *at {
                    continue;
                }
                if line.at == *at && *count > 0 {
                    *count -= 1;
                    continue;
                }
            }
            if self.wanted.since.is_some_and(|since| line.at < since) {
                continue;
            }
            self.last = match self.last {
                Some((at, count)) if at == line.at => Some((at, count + 1)),
                _ => Some((line.at, 1)),
            };
            if self.tell.send(Ok(line)).await.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Lines that the engine cut into pieces of 16 KB, each with a time of its own.
#[derive(Debug, Default)]
struct Pieces {
    outputs: [Option<(OffsetDateTime, Vec<u8>)>; 2],
}

impl Pieces {
    /// One more piece; a line when that is its end.
    fn add(&mut self, piece: LogOutput) -> Option<Line> {
        let output = usize::from(matches!(piece, LogOutput::StdErr { .. }));
        let bytes = piece.into_bytes();
        let space = bytes.iter().position(|byte| *byte == b' ').unwrap_or(bytes.len());
        let at = std::str::from_utf8(&bytes[..space]).ok();
        let at = at.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        // What has no time is none of the engine's words.
        let text = at.map_or(&bytes[..], |_| bytes.get(space + 1..).unwrap_or_default());
        let kept = self.outputs.get_mut(output)?;
        let begun = at.unwrap_or_else(OffsetDateTime::now_utc);
        let (_, line) = kept.get_or_insert_with(|| (begun, Vec::new()));
        line.extend_from_slice(text);
        if !line.ends_with(b"\n") && line.len() < LONGEST {
            return None;
        }
        let (at, line) = kept.take()?;
        let line = line.strip_suffix(b"\n").unwrap_or(&line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        Some(Line { at, text: String::from_utf8_lossy(line).into_owned() })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn pieces_of_long_lines_are_put_together() {
        let mut pieces = Pieces::default();
        let line = pieces.add(out("2026-11-23T16:31:24.425430531Z a b \r\n")).unwrap();
        assert_eq!((line.text.as_str(), line.at.nanosecond()), ("a b ", 425_430_531));
        assert!(pieces.add(out("2026-11-23T16:31:24Z one ")).is_none());
        let err = LogOutput::StdErr { message: Bytes::from_static(b"2026-11-23T16:31:24Z e\n") };
        assert_eq!(pieces.add(err).unwrap().text, "e");
        let line = pieces.add(out("2026-11-23T16:31:25Z two\n")).unwrap();
        assert_eq!((line.text.as_str(), line.at.second()), ("one two", 24));
        assert_eq!(pieces.add(out("2026-11-23T16:31:25Z \n")).unwrap().text, "");
    }

    #[test]
    fn endless_line_comes_in_pieces() {
        let mut pieces = Pieces::default();
        let piece = format!("2026-11-23T16:31:25Z {}", "x".repeat(16 << 10));
        let told: Vec<_> = (0..130).filter_map(|_| pieces.add(out(&piece))).collect();
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|line| line.text.len() == LONGEST));
    }

    proptest! {
        #[test]
        fn no_piece_is_too_strange(bytes: Vec<u8>) {
            let mut pieces = Pieces::default();
            let ends = bytes.ends_with(b"\n");
            let line = pieces.add(LogOutput::StdOut { message: bytes.into() });
            prop_assert_eq!(line.is_some(), ends);
        }
    }
}
