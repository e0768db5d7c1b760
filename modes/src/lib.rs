//! One request in, one function call, one response out.
//!
//! A [`Mode`] is a way to make an HTTP function of a program: a process per call ([`classic`],
//! [`streaming`]), a reverse proxy to a long-lived child ([`upstream`]), or files of a directory
//! ([`static_files`]). Modes know nothing of environment variables, listeners, metrics or
//! gateways; whoever builds one hands down all it needs in its [`Config`].
//!
//! [`spare`] starts processes ahead of their calls.
//!
//! Below the modes: [`process`] is the only spawner of the workspace, [`proxy`] forwards requests,
//! [`cgi`] turns a request head into variables, [`spool`] keeps outputs, [`logs`] copies lines.
//! Below those: [`http1`], [`body`], [`zero_copy`] and [`error`].

pub mod body;
pub mod cgi;
pub mod classic;
pub mod deadline;
pub mod decimal;
pub mod error;
mod file_body;
pub mod http1;
pub mod lanes;
pub mod logs;
mod mode;
pub mod process;
pub mod proxy;
mod sniff;
pub mod spare;
pub mod spool;
pub mod static_files;
pub mod streaming;
pub mod upstream;
pub mod zero_copy;

pub use self::{
    body::Body,
    deadline::Deadline,
    error::{Blame, Error},
    mode::{Config, Mode, StartError},
    proxy::Context,
    zero_copy::{Data, ZeroCopy},
};
