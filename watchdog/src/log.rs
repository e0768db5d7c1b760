//! The log: our own lines and the function's, in text or JSON, never blocking whoever writes one.

use std::{
    cell::Cell,
    fmt::Write as _,
    io::{self, Write},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use modes::logs::{Sink, Stream};
use time::OffsetDateTime;

use crate::settings::LogFormat;

mod access;
mod events;
mod lines;

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
            self.err.push(&call.line(&self.config));
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
                push_time(&mut entry);
                entry.extend_from_slice(format!(" {name}: ").as_bytes());
                entry.extend_from_slice(line);
            }
            (true, LogFormat::Json) => {
                let line = String::from_utf8_lossy(line);
                let fields =
                    serde_json::json!({ "time": json_time(), "stream": name, "line": line });
                entry.extend_from_slice(fields.to_string().as_bytes());
            }
        }
        entry.push(b'\n');
        lines.push(&entry);
    }

    fn raw(&self, bytes: &[u8]) {
        self.out.push(bytes);
    }
}

/// `2006/01/02 15:04:05`, the form that both predecessors log with; in UTC.
fn text_time() -> String {
    let now = OffsetDateTime::from(SystemTime::now());
    let mut text = String::with_capacity(19);
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    let month = u8::from(month);
    let _ = write!(text, "{year}/{month:02}/{day:02} {hour:02}:{minute:02}:{second:02}");
    text
}

/// Appends [`text_time`], which changes once a second and is wanted with every line.
fn push_time(line: &mut Vec<u8>) {
    thread_local! {
        static LAST: Cell<(u64, [u8; 19])> = const { Cell::new((u64::MAX, [0; 19])) };
    }
    let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    if LAST.get().0 != second
        && let Ok(text) = text_time().as_bytes().try_into()
    {
        LAST.set((second, text));
    }
    line.extend_from_slice(&LAST.get().1);
}

/// RFC 3339 with milliseconds.
fn json_time() -> String {
    let now = OffsetDateTime::from(SystemTime::now());
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second, milli) = now.to_hms_milli();
    let month = u8::from(month);
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Says something before there is a log: on standard error, ignoring that it may be closed.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
