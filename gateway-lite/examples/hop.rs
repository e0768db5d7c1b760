//! `hop PORT SOCKET`: the gateway's way from a client to one replica, without a provider.
//!
//! `benches/run gates` counts the instructions of a call with it: valgrind's kernel has no
//! `pidfd_open`, and without that the process provider starts and adopts nothing.

#![expect(clippy::print_stderr, reason = "a program for the terminal")]

use std::{error::Error, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use gateway_lite::{
    function::{DEFAULT_NAMESPACE, FunctionId, Policy},
    invoke::{Invoker, Origin, Settings},
    registry::{Endpoint, Function, Registry, Revision},
    secrets::Secrets,
    server::{self, Front, Loops},
};
use modes::proxy::Target;
use tokio::runtime::Handle;
use watchdog::{
    account::Ledger,
    connection::Timeouts,
    doors::Doors,
    log::{Config, Log},
    metrics::Metrics,
    runtimes,
    settings::LogFormat,
    signal::Stop,
};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, socket] = &arguments[..] else {
        eprintln!("usage: hop PORT SOCKET");
        return ExitCode::from(2);
    };
    match serve(port, socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hop: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Function `hop` has one replica, at `socket`; until a signal.
fn serve(port: &str, socket: &str) -> Result<(), Box<dyn Error>> {
    let minute = Duration::from_secs(60);
    let log = Config { format: LogFormat::Text, prefix: true, access: true, call_id: true };
    let log = Log::start(log)?;
    let (registry, _asked) = Registry::new();
    let revision = Revision {
        number: 1,
        spec: Arc::default(),
        policy: Policy::default(),
        deployed: time::OffsetDateTime::UNIX_EPOCH,
    };
    let function = Arc::new(Function::new(FunctionId::new("hop", DEFAULT_NAMESPACE)?, revision));
    let endpoint = Endpoint::new("hop".to_owned(), 1, Target::Unix(socket.into()));
    function.serve_by(vec![Arc::new(endpoint)]);
    registry.insert(&function);
    let doors = Doors::default();
    let settings =
        Settings { timeout: minute, wait: minute, most_waiting: 1000, read_timeout: Some(minute) };
    let data = tempfile::tempdir()?;
    let invoker = Invoker {
        settings,
        registry: Arc::new(registry),
        secrets: Arc::new(Secrets::open(data.path())?),
        ledger: Arc::new(Ledger::new(Metrics::default(), log, doors.cut.clone())),
    };
    runtimes::current()?.block_on(async {
        let mut stop = Stop::listen()?;
        let front = Front {
            invoker,
            api: axum::Router::new(),
            first: Handle::current(),
            inner: Vec::new(),
            control_inside: false,
            control_log: true,
        };
        let listener = server::bind(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))?;
        let timeouts = Timeouts { head: Some(minute), idle: Some(minute), write: Some(minute) };
        let loops = Loops::new(runtimes::Runtimes::start(runtimes::Work::Any)?.into());
        let front = Arc::new(front);
        tokio::select! {
            () = server::accept(listener, Origin::Outside, front, timeouts, doors, loops) => {}
            _ = stop.asked() => {}
        }
        Ok(())
    })
}
