//! Lines of a log file as a stream: those that are there, then those to come.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::Path,
    time::Duration,
};

use futures_util::stream;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::entry::Entry;
use crate::{
    error::{Error, Result},
    provider::{Line, LineStream, Lines, process::slot::blocking},
};

/// Bytes that are read at once, and after which a line without an end is one.
const PIECE: usize = 64 * 1024;
const LONGEST: usize = 1 << 20;

/// How often a file that is followed is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// A place in a log.
#[derive(Debug)]
struct Reader {
    file: File,
    at: u64,
    /// The beginning of a line whose end was not there yet.
    rest: Vec<u8>,
    /// When the line before was written.
    before: OffsetDateTime,
}

/// What [`follow`] has left to do.
struct Following {
    reader: Option<Reader>,
    ready: VecDeque<Line>,
    lines: Lines,
    gone: CancellationToken,
}

/// The lines of the log at `path`, until `gone` when they are followed.
pub(in super::super) async fn follow(
    path: &Path,
    lines: Lines,
    gone: CancellationToken,
) -> Result<LineStream> {
    let path = path.to_owned();
    let (reader, ready) = blocking(move || {
        let told =
            |error: io::Error| Error::Failed(format!("cannot read {}: {error}", path.display()));
        let mut reader = Reader::open(&path).map_err(told)?;
        let mut ready = VecDeque::new();
        if let Some(most) = lines.tail {
            while let Some(more) = reader.read().map_err(told)? {
                ready.extend(more.into_iter().filter(|line| lines.take(line)));
                ready.drain(..ready.len().saturating_sub(most));
            }
            if !lines.follow {
                ready.extend(reader.last().filter(|line| lines.take(line)));
                ready.drain(..ready.len().saturating_sub(most));
            }
        }
        Ok((reader, ready))
    })
    .await?;
    let reader = (lines.follow || lines.tail.is_none()).then_some(reader);
    let following = Following { reader, ready, lines, gone };
    let lines = stream::unfold(following, |mut following| async {
        following.next().await.map(|line| (line, following))
    });
    Ok(Box::pin(lines))
}

impl Following {
    async fn next(&mut self) -> Option<Result<Line>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            let mut reader = self.reader.take()?;
            let was_gone = self.gone.is_cancelled();
            let read = blocking(move || Ok((reader.read(), reader))).await;
            let (read, mut reader) = match read {
                Ok(read) => read,
                Err(error) => return Some(Err(error)),
            };
            match read {
                Err(error) => {
                    return Some(Err(Error::Failed(format!("cannot read the log: {error}"))));
                }
                Ok(Some(more)) => {
                    self.ready.extend(more.into_iter().filter(|line| self.lines.take(line)));
                    self.reader = Some(reader);
                }
                Ok(None) if self.lines.follow && !was_gone => {
                    self.reader = Some(reader);
                    tokio::select! {
                        () = tokio::time::sleep(LOOK) => {}
                        () = self.gone.cancelled() => {}
                    }
                }
                Ok(None) => {
                    // What `tail` counted is complete.
                    let last = reader.last().filter(|line| self.lines.take(line));
                    self.ready.extend(last);
                    if self.ready.is_empty() {
                        return None;
                    }
                }
            }
        }
    }
}

impl Lines {
    fn take(&self, line: &Line) -> bool {
        self.since.is_none_or(|since| line.at >= since)
    }
}

impl Reader {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // Old lines may have become a hole, which ends in the middle of a line.
        let at = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)).unwrap_or_default();
        // A first line that does not say when it was written begins the file.
        let written = file.metadata().and_then(|log| log.created().or_else(|_| log.modified()));
        let before = written.map_or_else(|_| OffsetDateTime::now_utc(), Into::into);
        let mut reader = Self { file, at, rest: Vec::new(), before };
        if at > 0 {
            reader.skip_line()?;
        }
        Ok(reader)
    }

    fn skip_line(&mut self) -> io::Result<()> {
        let mut bytes = vec![0; PIECE];
        let length = self.take(&mut bytes)?;
        let end = bytes[..length].iter().position(|byte| *byte == b'\n');
        self.at = self.at - length as u64 + end.map_or(length, |end| end + 1) as u64;
        Ok(())
    }

    fn take(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.file.metadata()?.len() < self.at {
            // It was cut, which file systems without holes need.
            self.at = 0;
            self.rest.clear();
        }
        self.file.seek(SeekFrom::Start(self.at))?;
        let length = self.file.read(bytes)?;
        self.at += length as u64;
        Ok(length)
    }

    /// The next complete lines, maybe none; `None` at the end of what is there.
    fn read(&mut self) -> io::Result<Option<Vec<Line>>> {
        let mut bytes = vec![0; PIECE];
        let length = self.take(&mut bytes)?;
        if length == 0 {
            return Ok(None);
        }
        let mut lines = Vec::new();
        for piece in bytes[..length].split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() >= LONGEST {
                lines.extend(self.last());
            }
        }
        Ok(Some(lines))
    }

    /// What is there of a line.
    fn last(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.rest);
        let text = String::from_utf8_lossy(&bytes);
        // A hole that was made meanwhile reads as zeros.
        let text = text.trim_start_matches('\0').trim_end_matches('\n').trim_end_matches('\r');
        if bytes.is_empty() || (text.is_empty() && bytes[0] == 0) {
            return None;
        }
        let entry = Entry::parse(text, self.before);
        self.before = entry.at;
        Some(Line { at: entry.at, text: entry.text })
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use futures_util::StreamExt as _;
    use time::macros::datetime;

    use super::*;

    fn logged(n: u8) -> String {
        format!(
            "{{\"line\":\"{n}\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:{n:02}Z\"}}\n"
        )
    }

    async fn texts(path: &Path, lines: Lines) -> Vec<String> {
        let stream = follow(path, lines, CancellationToken::new()).await.unwrap();
        stream.map(|line| line.unwrap().text).collect().await
    }

    #[tokio::test]
    async fn lines_are_chosen_by_time_and_number() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let all: String = (0..5).map(logged).collect();
        fs::write(&path, all + "no end").unwrap();
        let since = Some(datetime!(2026-01-01 00:00:03 UTC));
        assert_eq!(texts(&path, Lines::default()).await, ["0", "1", "2", "3", "4", "no end"]);
        let tail = Lines { tail: Some(2), ..Lines::default() };
        assert_eq!(texts(&path, tail).await, ["4", "no end"]);
        let tail = Lines { tail: Some(0), ..Lines::default() };
        assert_eq!(texts(&path, tail).await, [""; 0]);
        assert_eq!(texts(&path, Lines { since, ..Lines::default() }).await, ["3", "4", "no end"]);
    }

    #[tokio::test]
    async fn followers_see_lines_that_come_until_it_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, logged(1) + &logged(2) + "{\"line\":").unwrap();
        let gone = CancellationToken::new();
        let lines = Lines { tail: Some(1), follow: true, since: None };
        let mut stream = follow(&path, lines, gone.clone()).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().text, "2");
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"\"x\",\"stream\":\"stderr\"}\n").unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap().text, "x");
        file.write_all(b"last").unwrap();
        gone.cancel();
        assert_eq!(stream.next().await.unwrap().unwrap().text, "last");
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn holes_are_not_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let all: String = (0..60).cycle().take(10_000).map(logged).collect();
        fs::write(&path, &all).unwrap();
        super::super::shorten(&path, 100_000).unwrap();
        let kept = texts(&path, Lines::default()).await;
        assert!((1000..5000).contains(&kept.len()), "{}", kept.len());
        assert!(kept.iter().all(|line| line.len() <= 2), "{kept:?}");
    }
}
