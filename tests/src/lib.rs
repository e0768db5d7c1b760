//! A black-box harness for the programs of this workspace: it starts them as anyone would, with an
//! environment, arguments and signals, and talks to them over sockets.
//!
//! It uses blocking sockets and threads only, and nothing of the programs' own code, so that a
//! mistake in them cannot hide itself. Waiting is always for a condition with a deadline
//! ([`eventually`]), never for a time. A broken expectation panics, with the program's log.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a harness reports what went wrong by failing the test"
)]

mod capture;
mod client;
mod eventually;
mod framing;
mod launch;
mod left_out;
mod message;
mod ports;
mod prometheus;
mod running;

pub mod gateway;
pub mod issuer;
pub mod play;
pub mod procfs;

pub use client::{Client, ReadError};
pub use eventually::{DEADLINE, eventually};
pub use framing::{End, Piece};
pub use launch::{Ended, Launch, everywhere};
pub use left_out::left_out;
pub use message::{Head, Request, Response};
pub use ports::free_port;
pub use prometheus::Metrics;
pub use running::Watchdog;
