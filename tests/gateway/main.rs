//! Black-box suites of the gateway, one module a contract. Every test runs for each provider that
//! can run here; they start the real program (or the one that `GATEWAY_BIN` names) and talk to it
//! over sockets. Test names read `subject_condition_result`.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

/// Makes a test of each function here for each provider.
macro_rules! on_every_provider {
    ($($name:ident)*) => {
        mod process {
            $(#[test]
            fn $name() {
                super::$name(e2e::gateway::Provider::Process);
            })*
        }
        mod docker {
            $(#[test]
            fn $name() {
                if let Some(docker) = e2e::gateway::Provider::docker() {
                    super::$name(docker);
                }
            })*
        }
    };
}

/// Makes a test of each function for the one provider that it is about.
macro_rules! on_docker {
    ($($name:ident)*) => {
        mod docker_only {
            $(#[test]
            fn $name() {
                if let Some(docker) = e2e::gateway::Provider::docker() {
                    super::$name(docker);
                }
            })*
        }
    };
}

/// The same for plain processes.
macro_rules! on_processes {
    ($($name:ident)*) => {
        mod process_only {
            $(#[test]
            fn $name() {
                super::$name(e2e::gateway::Provider::Process);
            })*
        }
    };
}

mod access;
mod api;
mod bodies;
mod calls;
mod door;
mod engine;
mod failures;
mod fields;
mod headers;
mod logs;
mod many;
mod metrics;
mod namespaces;
mod pages;
mod promises;
mod recovery;
mod removal;
mod restarts;
mod retries;
mod scaling;
mod secrets;
mod status;
mod stop;
mod streams;
mod up;
mod updates;

use e2e::gateway::{Gateway, GatewayLaunch, Provider};

/// A gateway about to be started.
fn launch(provider: Provider) -> GatewayLaunch {
    let program = env!("CARGO_BIN_EXE_gateway-lite-e2e");
    GatewayLaunch::new(program, env!("CARGO_BIN_EXE_upstream"), provider)
}

/// A gateway.
#[track_caller]
fn gateway(provider: Provider) -> Gateway {
    launch(provider).start()
}
