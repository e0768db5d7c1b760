//! Why something asked of the control plane was not done, and whose doing that is.

/// Names the thing and what to do about it: its text is the body of the answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The request makes no sense (400).
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing (404).
    #[error("{0}")]
    NotFound(String),
    /// It is there already, or being worked on (409).
    #[error("{0}")]
    Conflict(String),
    /// The back end cannot be reached, or did not answer in time (503).
    #[error("{0}")]
    Unavailable(String),
    /// The back end refused or failed (500).
    #[error("{0}")]
    Failed(String),
}

/// The usual result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
