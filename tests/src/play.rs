//! What the `upstream` program does with one request, told to it by the request itself.
//!
//! A test writes the steps down, sends them in the header [`Play::HEADER`], and so decides byte for
//! byte and moment for moment how the function behaves. File names are relative to `TMPDIR`, which
//! the function inherits from the watchdog.

use std::{fmt, str::FromStr};

use crate::Request;

/// One step. Without any, `upstream` does `[Body, Echo]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads the request body to its end.
    Body,
    /// Answers 200 with a Content-Length; the body is the request as it came: head, and the body
    /// read so far with its chunk framing.
    Echo,
    /// Answers 200 with a Content-Length; the body is the request body without its framing.
    Reply,
    /// Writes these bytes, all at once.
    Send(Vec<u8>),
    /// Writes this many bytes of [`pattern`].
    Fill(usize),
    /// Waits until the file exists.
    Wait(String),
    /// Creates the file.
    Touch(String),
    /// Does nothing for this many milliseconds.
    Pause(u64),
    /// Closes the connection in an orderly way (FIN).
    Close,
    /// Breaks the connection (RST).
    Reset,
    /// Sends back whatever comes, until the client closes its side; then closes.
    Copy,
    /// Reads until the client has closed or broken the connection.
    Eof,
    /// Closes the connection, unless this is the first request on it.
    CloseIfReused,
    /// Stops listening; returns once new connections are refused.
    Unlisten,
    /// Writes bytes to standard output.
    Stdout(Vec<u8>),
    /// Writes bytes to standard error.
    Stderr(Vec<u8>),
    /// Writes a line of this many `x` to standard output.
    LongLine(usize),
    /// Ends the program with this status.
    Exit(u8),
}

/// Steps in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Play(Vec<Step>);

impl Play {
    /// The request header that carries it.
    pub const HEADER: &str = "X-Play";

    /// # Panics
    /// Never; the steps come from a test.
    #[must_use]
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(steps.into_iter().collect())
    }

    /// The steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// `GET /` that carries it.
    #[must_use]
    pub fn get(&self) -> Request {
        self.with(Request::get("/"))
    }

    /// `POST /` with a Content-Length that carries it.
    #[must_use]
    pub fn post(&self, body: impl AsRef<[u8]>) -> Request {
        self.with(Request::post("/", body))
    }

    /// Puts it into a request.
    #[must_use]
    pub fn with(&self, request: Request) -> Request {
        request.header(Self::HEADER, self.to_string())
    }
}

/// Reads the body, then writes these bytes: the usual answer.
#[must_use]
pub fn answer(response: &str) -> Play {
    Play::new([Step::Body, send(response)])
}

/// [`Step::Send`] of a text.
#[must_use]
pub fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// [`Step::Send`] of one chunk (RFC 9112 section 7.1).
#[must_use]
pub fn send_chunk(data: &str) -> Step {
    send(&format!("{:x}\r\n{data}\r\n", data.len()))
}

/// [`Step::Wait`].
#[must_use]
pub fn wait(file: &str) -> Step {
    Step::Wait(file.to_owned())
}

/// [`Step::Touch`].
#[must_use]
pub fn touch(file: &str) -> Step {
    Step::Touch(file.to_owned())
}

/// Bytes in which a piece that is lost, doubled or moved shows.
#[must_use]
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|index| u8::try_from((index ^ (index >> 8) ^ (index >> 16) ^ (index >> 24)) & 0xff))
        .map(|byte| byte.expect("masked to eight bits"))
        .collect()
}

// === the header value: `name=argument` joined by `;`, the argument in hexadecimal ===

impl fmt::Display for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            let (name, argument) = step.parts();
            let separator = if index == 0 { "" } else { ";" };
            write!(f, "{separator}{name}={}", hexadecimal(&argument))?;
        }
        Ok(())
    }
}

impl FromStr for Play {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(';')
            .map(|part| {
                let (name, argument) = part.split_once('=').ok_or("a step without =")?;
                Step::from_parts(name, &from_hexadecimal(argument)?)
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Step {
    fn parts(&self) -> (&'static str, Vec<u8>) {
        match self {
            Self::Body => ("body", Vec::new()),
            Self::Echo => ("echo", Vec::new()),
            Self::Reply => ("reply", Vec::new()),
            Self::Send(bytes) => ("send", bytes.clone()),
            Self::Fill(size) => ("fill", size.to_string().into_bytes()),
            Self::Wait(file) => ("wait", file.clone().into_bytes()),
            Self::Touch(file) => ("touch", file.clone().into_bytes()),
            Self::Pause(millis) => ("pause", millis.to_string().into_bytes()),
            Self::Close => ("close", Vec::new()),
            Self::Reset => ("reset", Vec::new()),
            Self::Copy => ("copy", Vec::new()),
            Self::Eof => ("eof", Vec::new()),
            Self::CloseIfReused => ("close-if-reused", Vec::new()),
            Self::Unlisten => ("unlisten", Vec::new()),
            Self::Stdout(bytes) => ("stdout", bytes.clone()),
            Self::Stderr(bytes) => ("stderr", bytes.clone()),
            Self::LongLine(size) => ("long-line", size.to_string().into_bytes()),
            Self::Exit(code) => ("exit", code.to_string().into_bytes()),
        }
    }

    fn from_parts(name: &str, argument: &[u8]) -> Result<Self, String> {
        fn number<T: FromStr>(argument: &[u8]) -> Result<T, String> {
            let text = String::from_utf8_lossy(argument);
            text.parse().map_err(|_| format!("no number: {text}"))
        }
        let text = || String::from_utf8_lossy(argument).into_owned();
        Ok(match name {
            "body" => Self::Body,
            "echo" => Self::Echo,
            "reply" => Self::Reply,
            "send" => Self::Send(argument.to_vec()),
            "fill" => Self::Fill(number(argument)?),
            "wait" => Self::Wait(text()),
            "touch" => Self::Touch(text()),
            "pause" => Self::Pause(number(argument)?),
            "close" => Self::Close,
            "reset" => Self::Reset,
            "copy" => Self::Copy,
            "eof" => Self::Eof,
            "close-if-reused" => Self::CloseIfReused,
            "unlisten" => Self::Unlisten,
            "stdout" => Self::Stdout(argument.to_vec()),
            "stderr" => Self::Stderr(argument.to_vec()),
            "long-line" => Self::LongLine(number(argument)?),
            "exit" => Self::Exit(number(argument)?),
            other => return Err(format!("unknown step {other:?}")),
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| {
            let pair = str::from_utf8(pair).map_err(|error| error.to_string())?;
            u8::from_str_radix(pair, 16).map_err(|error| format!("{pair:?}: {error}"))
        })
        .collect()
}
