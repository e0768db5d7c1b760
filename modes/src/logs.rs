//! The function's own output lines → our log, of any length, without ever blocking the function.

use std::{io, sync::Arc};

use bytes::{Buf as _, BytesMut};
use tokio::{net::unix::pipe, task::JoinHandle};

/// Which of a function's streams a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where a function's lines go. Implementations must not block: they drop when their reader does
/// not keep up.
pub trait Sink: Send + Sync {
    /// One line, or one piece of an overlong one, without its newline.
    fn line(&self, stream: Stream, line: &[u8]);

    /// Bytes that are copied to standard output as they are (`write_debug`).
    fn raw(&self, bytes: &[u8]);
}

/// The log of one function.
#[derive(Clone)]
pub struct Log {
    /// Where lines go.
    pub sink: Arc<dyn Sink>,
    /// The longest line in bytes; what is longer arrives in pieces of this size.
    pub longest_line: usize,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("longest_line", &self.longest_line).finish_non_exhaustive()
    }
}

impl Log {
    /// Copies lines in the background until every writer of the pipe is gone. The task is for who
    /// has to know when that was.
    pub fn follow(&self, stream: Stream, pipe: impl Into<Arc<pipe::Receiver>>) -> JoinHandle<()> {
        let (log, pipe) = (self.clone(), pipe.into());
        tokio::spawn(async move {
            if let Err(error) = log.copy(stream, &pipe).await {
                tracing::warn!(%error, ?stream, "could not read the function's output");
            }
        })
    }

    /// Copies the lines that are in the pipe now, and leaves what comes later.
    pub(crate) fn take(&self, stream: Stream, pipe: &pipe::Receiver) {
        // As much as a pipe holds that nobody enlarged (pipe(7)): its writer may go on meanwhile.
        const MOST: usize = 64 * 1024;
        let mut lines = Lines { longest: self.longest_line.max(1), scanned: 0 };
        let (mut buffer, mut taken) = (BytesMut::new(), 0);
        let mut piece = [0; 4 * 1024];
        while taken < MOST
            && let Ok(length @ 1..) = rustix::io::read(pipe, &mut piece[..])
        {
            taken += length;
            buffer.extend_from_slice(&piece[..length]);
            lines.take(&mut buffer, |line| self.sink.line(stream, line));
        }
        if !buffer.is_empty() {
            self.sink.line(stream, &buffer);
        }
    }

    async fn copy(&self, stream: Stream, pipe: &pipe::Receiver) -> io::Result<()> {
        let mut lines = Lines { longest: self.longest_line.max(1), scanned: 0 };
        let mut buffer = BytesMut::with_capacity(4 * 1024);
        loop {
            pipe.readable().await?;
            match pipe.try_read_buf(&mut buffer) {
                Ok(0) => break,
                Ok(_) => {
                    lines.take(&mut buffer, |line| self.sink.line(stream, line));
                    // A pipe that is never empty would keep this thread from everything else:
                    // tokio's budget is not spent by `readable`.
                    tokio::task::yield_now().await;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            if buffer.is_empty() && buffer.capacity() > 64 * 1024 {
                buffer = BytesMut::new();
            }
            buffer.reserve(4 * 1024);
        }
        if !buffer.is_empty() {
            self.sink.line(stream, &buffer);
        }
        Ok(())
    }
}

/// Cuts complete lines off the front of a buffer.
struct Lines {
    longest: usize,
    /// How much of the buffer is known to hold no newline.
    scanned: usize,
}

impl Lines {
    fn take(&mut self, buffer: &mut BytesMut, mut line: impl FnMut(&[u8])) {
        loop {
            let newline = buffer[self.scanned..].iter().position(|&byte| byte == b'\n');
            match newline.map(|at| self.scanned + at) {
                Some(at) if at <= self.longest => {
                    line(&buffer[..at]);
                    buffer.advance(at + 1);
                }
                _ if buffer.len() > self.longest => {
                    line(&buffer[..self.longest]);
                    buffer.advance(self.longest);
                }
                _ => {
                    self.scanned = buffer.len();
                    return;
                }
            }
            self.scanned = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    fn lines(longest: usize, pieces: &[&str]) -> (Vec<String>, String) {
        let mut lines = Lines { longest, scanned: 0 };
        let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece.as_bytes());
            lines.take(&mut buffer, |line| out.push(String::from_utf8_lossy(line).into_owned()));
        }
        (out, String::from_utf8_lossy(&buffer).into_owned())
    }

    #[test]
    fn lines_are_cut_at_newlines_and_at_the_limit() {
        for (longest, pieces, expected, rest) in [
            (80, &["a\nb\n", "c"][..], &["a", "b"][..], "c"),
            (80, &["a", "b\n", "\n"], &["ab", ""], ""),
            (3, &["abcdefgh"], &["abc", "def"], "gh"),
            (3, &["abc\n"], &["abc"], ""),
            (3, &["ab", "cd\n"], &["abc", "d"], ""),
            (1, &["xyz"], &["x", "y"], "z"),
        ] {
            let (got, left) = lines(longest, pieces);
            assert_eq!(got, expected, "{pieces:?}");
            assert_eq!(left, rest, "{pieces:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(
            bytes in vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..200),
            cuts in vec(any::<Index>(), 0..8),
            longest in 1_usize..40,
        ) {
            // Every line in pieces of the longest length; what follows the last newline waits, but
            // never more than one piece of it.
            let mut expected: Vec<Vec<u8>> = Vec::new();
            let mut all: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
            let last = all.pop().unwrap();
            for line in all {
                if line.is_empty() {
                    expected.push(Vec::new());
                }
                expected.extend(line.chunks(longest).map(<[u8]>::to_vec));
            }
            let kept = last.len() - last.len().saturating_sub(1) / longest * longest;
            let (gone, kept) = last.split_at(last.len() - kept);
            expected.extend(gone.chunks(longest).map(<[u8]>::to_vec));

            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let mut lines = Lines { longest, scanned: 0 };
            let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
            for cut in cuts.windows(2) {
                buffer.extend_from_slice(&bytes[cut[0]..cut[1]]);
                lines.take(&mut buffer, |line| got.push(line.to_vec()));
                prop_assert!(buffer.len() <= longest);
            }
            prop_assert!(got.iter().all(|line| line.len() <= longest && !line.contains(&b'\n')));
            prop_assert_eq!(got, expected);
            prop_assert_eq!(&buffer[..], kept);
        }
    }
}
