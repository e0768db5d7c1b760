//! A process's whole output, kept in memory up to a bound and in an unlinked file beyond it.

use std::{
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use rustix::pipe::fcntl_setpipe_size;
use tokio::{
    net::unix::pipe,
    task::{JoinError, JoinHandle, coop::consume_budget},
};

use crate::{
    body::Body,
    error::Error,
    file_body::{FileBody, Transfer},
    zero_copy::ZeroCopy,
};

/// How much is gathered before one write to the file: few thread hops, little memory. As
/// much again is read while it is written.
const PIECE: usize = 512 * 1024;
/// What one read of the pipe asks for: the size of a pipe that nobody enlarged (pipe(7)).
const READ: usize = 64 * 1024;
/// Less room than this is not worth a read.
const LEAST_READ: usize = 16 * 1024;
/// What it asks for once the pipe was full, and what the pipe is enlarged to.
const LARGE_READ: usize = 256 * 1024;
/// How many first bytes a content type is sniffed from (WHATWG MIME Sniffing, section 5.2).
const SNIFFED: usize = 512;

/// Bounds of one output.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes kept in memory.
    pub memory: usize,
    /// Bytes in all, after which the call fails; `None` for no limit.
    pub limit: Option<u64>,
    /// Where the unlinked file is made.
    pub directory: PathBuf,
}

/// A complete output.
#[derive(Debug)]
pub enum Output {
    /// All of it.
    Memory(Bytes),
    /// More than `memory` bytes.
    File {
        /// Unlinked, positioned anywhere.
        file: File,
        /// Its length in bytes.
        length: u64,
        /// Its first bytes, enough to sniff a content type from.
        start: Bytes,
    },
}

impl Output {
    /// Its length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// The first bytes, enough to sniff a content type.
    #[must_use]
    pub fn start(&self) -> &[u8] {
        match self {
            Self::Memory(bytes) => bytes,
            Self::File { start, .. } => start,
        }
    }

    /// As a body with a known length, that is read.
    #[must_use]
    pub fn into_body(self) -> Body {
        self.into_response_body(ZeroCopy::Off)
    }

    /// As a body with a known length, that may be sent by the kernel.
    #[must_use]
    pub fn into_response_body(self, zero_copy: ZeroCopy) -> Body {
        match self {
            Self::Memory(bytes) => Body::full(bytes),
            Self::File { file, length, .. } => {
                Body::ranges(FileBody::new(file, 0, length, Transfer::from(zero_copy)))
            }
        }
    }
}

/// Reads `pipe` to its end. `tap` sees every piece as it comes.
///
/// # Errors
/// [`Error::OutputTooLarge`] beyond the limit, [`Error::Io`] when the file cannot be made or
/// written.
pub async fn collect(
    pipe: &pipe::Receiver,
    config: &Config,
    mut tap: impl FnMut(&[u8]),
) -> Result<Output, Error> {
    let doing = Error::io("reading the function's output");
    let mut spool = Spool::new(config);
    let mut ask = READ;
    loop {
        // Most outputs are short: asking for all of it again, to read their end, would move what
        // the allocator cannot extend, bytes that were never written included.
        if spool.memory.capacity() - spool.memory.len() < LEAST_READ {
            spool.memory.reserve(ask);
        }
        let before = spool.memory.len();
        // `readable` alone spends none of tokio's budget: a pipe that is never empty would keep
        // this thread from everything else.
        consume_budget().await;
        pipe.readable().await.map_err(doing)?;
        match pipe.try_read_buf(&mut spool.memory) {
            Ok(0) => return spool.finish().await,
            Ok(got) => {
                tap(&spool.memory[before..]);
                if got >= READ && ask == READ {
                    ask = LARGE_READ;
                    // Refused (EPERM) when the user's pipes hold too much already.
                    let _ = fcntl_setpipe_size(pipe, LARGE_READ);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(doing(error)),
        }
        spool.settle(before).await?;
    }
}

/// Reads a request body to its end, so that its length is known.
///
/// # Errors
/// As [`collect`], and the body's own.
pub async fn collect_body(mut body: Body, config: &Config) -> Result<Output, Error> {
    let mut spool = Spool::new(config);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let before = spool.memory.len();
        spool.memory.extend_from_slice(&data);
        spool.settle(before).await?;
    }
    spool.finish().await
}

/// An output in the making.
struct Spool<'a> {
    config: &'a Config,
    /// What nobody writes to the file yet.
    memory: BytesMut,
    spilled: Option<Spilled>,
    length: u64,
}

/// An output that did not fit.
struct Spilled {
    /// One piece is written while the next is read.
    file: Writing,
    /// The first bytes of all.
    start: Bytes,
}

impl<'a> Spool<'a> {
    fn new(config: &'a Config) -> Self {
        Self { config, memory: BytesMut::new(), spilled: None, length: 0 }
    }

    /// Accounts for what `memory` gained beyond `before`, and makes room.
    async fn settle(&mut self, before: usize) -> Result<(), Error> {
        self.length += (self.memory.len() - before) as u64;
        if let Some(limit) = self.config.limit.filter(|limit| self.length > *limit) {
            return Err(Error::OutputTooLarge(limit));
        }
        let bound = if self.spilled.is_some() { PIECE } else { self.config.memory };
        if self.memory.len() <= bound {
            return Ok(());
        }
        let memory = std::mem::take(&mut self.memory);
        match &mut self.spilled {
            Some(spilled) => self.memory = spilled.file.write(memory).await?,
            None => {
                let start = Bytes::copy_from_slice(&memory[..memory.len().min(SNIFFED)]);
                let file = Writing::begin(create(self.config).await?, memory);
                self.spilled = Some(Spilled { file, start });
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Output, Error> {
        match self.spilled.take() {
            None => Ok(Output::Memory(self.memory.freeze())),
            Some(Spilled { file, start }) => {
                let file = file.finish(self.memory).await?;
                Ok(Output::File { file, length: self.length, start })
            }
        }
    }
}

/// A file that a piece is written to. Dropped, it is closed when that is done.
struct Writing {
    /// Hands the file and the emptied buffer back.
    piece: JoinHandle<io::Result<(File, BytesMut)>>,
}

impl Writing {
    fn begin(mut file: File, mut bytes: BytesMut) -> Self {
        let piece = tokio::task::spawn_blocking(move || {
            file.write_all(&bytes)?;
            bytes.clear();
            Ok((file, bytes))
        });
        Self { piece }
    }

    /// Waits for the piece before, begins this one, and gives a buffer for the next.
    async fn write(&mut self, bytes: BytesMut) -> Result<BytesMut, Error> {
        let (file, room) = written(&mut self.piece).await?;
        *self = Self::begin(file, bytes);
        // From here on pieces are small: the room that the memory's bound took is given back.
        Ok(if room.capacity() > 2 * PIECE { BytesMut::new() } else { room })
    }

    async fn finish(mut self, bytes: BytesMut) -> Result<File, Error> {
        self.write(bytes).await?;
        Ok(written(&mut self.piece).await?.0)
    }
}

/// What the pool hands back.
async fn written<T>(work: &mut JoinHandle<io::Result<T>>) -> Result<T, Error> {
    done("writing the output to a temporary file", work.await)
}

/// The directory may be slow, so the file is made and written on the blocking pool.
async fn create(config: &Config) -> Result<File, Error> {
    let directory = config.directory.clone();
    let work = tokio::task::spawn_blocking(move || tempfile::tempfile_in(directory));
    done("making a temporary file for the output", work.await)
}

fn done<T>(doing: &'static str, result: Result<io::Result<T>, JoinError>) -> Result<T, Error> {
    result.unwrap_or_else(|panic| Err(io::Error::other(panic))).map_err(Error::io(doing))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _};

    use super::*;

    async fn collected(input: Vec<u8>, memory: usize, limit: Option<u64>) -> Result<Output, Error> {
        let (ours, mut theirs) = io::pipe().unwrap();
        let writer = std::thread::spawn(move || theirs.write_all(&input));
        let pipe = pipe::Receiver::from_owned_fd(ours.into()).unwrap();
        let config = Config { memory, limit, directory: std::env::temp_dir() };
        let mut tapped = 0;
        let output = collect(&pipe, &config, |piece| tapped += piece.len() as u64).await;
        drop(pipe);
        let _ = writer.join();
        if let Ok(output) = &output {
            assert_eq!(tapped, output.length());
        }
        output
    }

    #[tokio::test]
    async fn small_outputs_stay_in_memory_and_large_ones_go_to_a_file_byte_for_byte() {
        let input: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 251) as u8).collect();
        let output = collected(input[..1000].to_vec(), 1000, None).await.unwrap();
        assert!(matches!(&output, Output::Memory(bytes) if bytes[..] == input[..1000]));
        let Output::File { mut file, length, start } =
            collected(input.clone(), 1000, None).await.unwrap()
        else {
            panic!("must be a file")
        };
        assert_eq!(length, input.len() as u64);
        assert_eq!(start[..], input[..512]);
        let mut copy = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut copy).unwrap();
        assert!(copy == input);
    }

    #[tokio::test]
    async fn outputs_beyond_the_limit_fail() {
        assert!(collected(vec![0; 100], 1000, Some(100)).await.is_ok());
        let error = collected(vec![0; 101], 1000, Some(100)).await.unwrap_err();
        assert!(error.to_string().contains("spool_limit (100 bytes)"), "{error}");
    }
}
