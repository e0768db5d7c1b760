//! Why a call failed, and who has to change something about it.
//!
//! A function that ran and exited with a status other than 0 is not an error of classic mode (its
//! output is the answer); in streaming mode, where nothing else can carry the news, it is
//! [`Error::Exited`]. What is learnt after the response head went out travels as the last item of
//! the body, in this same type, and cuts the connection.

use std::{io, time::Duration};

use crate::process::Exit;

/// Who can do something about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The request cannot be served as it was sent.
    Client,
    /// The function, or the way it is configured.
    Function,
    /// The machine: out of descriptors, memory or disk.
    Host,
}

/// One failed call. Texts are sentence fragments that fit behind "call failed: ".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client left before the request body was complete.
    #[error("the client left before its request was complete")]
    ClientGone(#[source] hyper::Error),
    /// The request body breaks HTTP's framing (RFC 9112 section 7.1).
    #[error("malformed request body: {0}")]
    BodyMalformed(#[source] hyper::Error),
    /// No byte of the request body arrived for this long.
    #[error("no byte of the request body arrived for {0:?} (read_timeout)")]
    BodyStalled(Duration),
    /// A header, the path or the query cannot be put into a process's environment.
    #[error("{what} cannot be passed to the function's environment: {why}")]
    Environment {
        /// The part of the request, such as `header X-Big`.
        what: String,
        /// What is wrong with it.
        why: &'static str,
        /// Too large (431), as opposed to impossible to represent (400).
        too_large: bool,
    },
    /// The program could not be started.
    #[error("could not start {program}: {source}")]
    Spawn {
        /// The resolved path of the program.
        program: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The process ended before the response could be called complete.
    #[error("the function failed: {0}")]
    Exited(Exit),
    /// The call took longer than it was given, and was ended.
    #[error("the call took longer than {0:?} and was ended")]
    TimedOut(Duration),
    /// The response did not begin in time, and the call was ended.
    #[error("the function did not begin to answer within {0:?} (write_timeout) and was ended")]
    HeadTimedOut(Duration),
    /// The output went over `spool_limit`.
    #[error("the function's output is larger than spool_limit ({0} bytes)")]
    OutputTooLarge(u64),
    /// A request body that had to be stored went over `spool_limit`.
    #[error("the request body is larger than spool_limit ({0} bytes)")]
    RequestTooLarge(u64),
    /// The long-lived function cannot be reached, or broke the connection.
    #[error("the function at {authority} {reason}")]
    Upstream {
        /// Where it was expected.
        authority: String,
        /// What it did, such as `refused the connection`.
        reason: String,
    },
    /// Something of the host failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, such as `writing the output to a temporary file`.
        doing: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl Error {
    /// Who can do something about it.
    #[must_use]
    pub fn blame(&self) -> Blame {
        match self {
            Self::ClientGone(_)
            | Self::BodyMalformed(_)
            | Self::BodyStalled(_)
            | Self::RequestTooLarge(_)
            | Self::Environment { .. } => Blame::Client,
            Self::Exited(_)
            | Self::TimedOut(_)
            | Self::HeadTimedOut(_)
            | Self::OutputTooLarge(_)
            | Self::Upstream { .. } => Blame::Function,
            Self::Spawn { source, .. } => match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => Blame::Function,
                _ => Blame::Host,
            },
            Self::Io { .. } => Blame::Host,
        }
    }

    /// For `map_err`: an [`Error::Io`] that says what was being done.
    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self::Io { doing, source }
    }
}
