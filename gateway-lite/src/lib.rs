//! `gateway-lite`: which functions exist, where, and how many.
//!
//! From the top down: `cli` ▶ `env` (the only reader of the environment) ▶ `config` ▶ `serve`
//! (puts the parts together) ▶ `server` (listeners, connections) ▶ `invoke` (one call: look up,
//! wait, pick, forward, account) and `api` (the control plane) ▶ `control` (writes what is wanted
//! and makes it true) ▶ [`provider`] (starts and ends replicas) and [`registry`] (what a call
//! reads) ▶ [`function`] (plain data).

pub mod api;
pub mod auth;
pub mod cli;
pub mod control;
pub mod counts;
pub mod env;
pub mod error;
pub mod function;
pub mod invoke;
pub mod logs;
pub mod metrics;
pub mod namespaces;
mod private_file;
pub mod provider;
pub mod registry;
pub mod respond;
pub mod secrets;
pub mod settings;
mod up;

use std::process::ExitCode;

/// The whole program.
#[must_use]
pub fn main_impl() -> ExitCode {
    ExitCode::SUCCESS
}
