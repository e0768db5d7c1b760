//! The log: our own lines and the function's, in text or JSON, never blocking whoever writes one.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Instant,
};

use modes::logs::{Sink, Stream};

use crate::settings::LogFormat;

mod access;
mod clock;
mod events;
mod lines;
mod printable;
mod size;

pub use self::access::Call;
use self::lines::Lines;

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Form of the watchdog's own lines, and of the function's unless they stay bare.
    pub format: LogFormat,
    /// Time and stream name before each line of the function (`prefix_logs`).
    pub prefix: bool,
    /// One line a call.
    pub access: bool,
    /// `X-Call-Id` at the end of the access line.
    pub call_id: bool,
}

/// Standard output and standard error, each written by a thread of its own.
#[derive(Debug)]
pub struct Log {
    config: Config,
    out: Lines,
    err: Lines,
}

impl Log {
    /// Starts the writing threads, and makes this the place where `tracing`'s events go.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start(config: Config) -> io::Result<Arc<Self>> {
        let log = Arc::new(Self {
            config,
            out: Lines::start("log-out", io::stdout())?,
            err: Lines::start("log-err", io::stderr())?,
        });
        // Only a test that starts twice in one process finds a subscriber in place.
        let _ = tracing::subscriber::set_global_default(events::Events(Arc::clone(&log)));
        Ok(log)
    }

    /// Waits, not long, until all lines are written: the last ones say why we end.
    pub fn flush(&self) {
        self.out.flush();
        self.err.flush();
    }

    /// The access line of one call.
    pub fn call(&self, call: &Call<'_>) {
        if self.config.access {
            call.write(&self.config, |line| self.err.push(line));
        }
    }
}

/// The function's lines. Bare lines (`prefix_logs=false`) stay bare in JSON too: such functions
/// write JSON of their own.
impl Sink for Log {
    fn line(&self, stream: Stream, line: &[u8]) {
        let (name, lines) = match stream {
            Stream::Stdout => ("stdout", &self.out),
            Stream::Stderr => ("stderr", &self.err),
        };
        let mut entry = Vec::with_capacity(line.len() + 64);
        match (self.config.prefix, self.config.format) {
            (false, _) => entry.extend_from_slice(line),
            (true, LogFormat::Text) => {
                clock::text(&mut entry, Instant::now());
                entry.extend_from_slice(format!(" {name}: ").as_bytes());
                entry.extend_from_slice(line);
            }
            (true, LogFormat::Json) => {
                let line = String::from_utf8_lossy(line);
                let fields = serde_json::json!({ "time": clock::json(Instant::now()), "stream": name, "line": line });
                printable::push_json(&mut entry, &fields);
            }
        }
        entry.push(b'\n');
        lines.push(&entry);
    }

    fn raw(&self, bytes: &[u8]) {
        self.out.push(bytes);
    }
}

/// Says something before there is a log: on standard error, ignoring that it may be closed.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
