//! `Expect: 100-continue` from end to end (RFC 9110 section 10.1.1).
//!
//! hyper tells the client to go on when the body is first asked for. So nobody asks for it until
//! the function says 100 itself: one that refuses with a final status is never sent the body, and
//! its client is never told to send it.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderMap, header::EXPECT};
use tokio::time::{Sleep, sleep};

/// For functions that answer neither 100 nor anything else before they have the body.
const PATIENCE: Duration = Duration::from_millis(300);

/// Before a body that waits for the function's 100, and for no longer than [`PATIENCE`].
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// From the first time somebody wanted the body.
    patience: Option<Pin<Box<Sleep>>>,
}

impl Gate {
    /// For a request that has a body.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let expected = headers.get(EXPECT)?;
        expected.as_bytes().eq_ignore_ascii_case(b"100-continue").then(Self::default)
    }

    pub(super) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.patience.get_or_insert_with(|| Box::pin(sleep(PATIENCE))).as_mut().poll(cx)
    }
}
