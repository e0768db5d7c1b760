//! The settings, dealt out: each part gets its own configuration and nothing else.

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use modes::{
    classic::{self, Flavour},
    logs,
    process::{Launcher, Program, Reaper},
    proxy::Target,
    spare, spool, static_files, streaming, upstream,
};

use crate::{
    auth,
    connection::Timeouts,
    duration,
    env::Environment,
    health, limit,
    log::{self, Log},
    respond::Style,
    router,
    settings::{Mode, Settings, Upstream},
};

/// Where `jwt_auth` finds the issuer's keys, unless it is told to look on this machine.
const AUTHORITY: &str = "http://gateway.openfaas:8080";
const LOCAL_AUTHORITY: &str = "http://127.0.0.1:8000";

/// A line of a function that has no limit is logged in pieces of this many bytes all the same: a
/// function that never writes a newline must not fill the memory.
const LONGEST_LINE: usize = 16 << 20;

/// Everything the server is built from.
#[derive(Debug)]
pub struct Config {
    /// What to serve.
    pub mode: modes::Config,
    /// Its name and program, and the time limits: lines for the log.
    pub banner: [String; 2],
    /// The main port; 0 lets the system choose.
    pub port: u16,
    /// A socket in the file system in its place.
    pub socket: Option<PathBuf>,
    /// Where `/metrics` is served, if it is.
    pub metrics_port: Option<u16>,
    /// Of every connection.
    pub timeouts: Timeouts,
    /// New calls are still served for this long after a signal, while others are in flight.
    pub healthcheck_interval: Duration,
    /// How long calls in flight then have to end.
    pub drain: Duration,
    /// Ends and reaps what calls leave behind.
    pub reaper: Reaper,
    /// The route table's parts.
    pub router: router::Config,
    /// Who may call; `None` for everybody.
    pub auth: Option<auth::Config>,
    /// How many at once.
    pub limit: limit::Config,
    /// What health and ready look at.
    pub health: health::Config,
}

/// How the log looks.
#[must_use]
pub fn log(settings: &Settings) -> log::Config {
    log::Config {
        format: settings.log_format,
        prefix: settings.prefix_logs,
        access: settings.access_log,
        call_id: settings.log_callid,
    }
}

impl Config {
    /// Deals `settings` out. Calls get `environment` as it is.
    #[must_use]
    pub fn new(settings: &Settings, environment: &Environment, log: &Arc<Log>) -> Self {
        let reaper = Reaper::new(settings.grace_period);
        let command = settings.fprocess.join(" ");
        Self {
            mode: mode(settings, environment, log, &reaper),
            banner: [
                format!("Watchdog mode: {}\tfprocess: {command:?}", settings.mode),
                timeouts(settings),
            ],
            port: settings.port,
            socket: settings.socket.clone(),
            metrics_port: settings.metrics_port,
            timeouts: Timeouts {
                head: settings.read_timeout,
                idle: settings.idle_timeout,
                write: settings.write_timeout,
            },
            healthcheck_interval: settings.healthcheck_interval,
            drain: settings.write_timeout.unwrap_or(crate::settings::HEALTHCHECK_INTERVAL),
            reaper,
            router: router::Config {
                exec_timeout: settings.exec_timeout,
                read_timeout: settings.read_timeout,
                head_timeout: settings.write_timeout,
                style: style(settings.mode),
                content_type: settings
                    .content_type
                    .clone()
                    .filter(|_| matches!(settings.mode, Mode::Serializing | Mode::Streaming)),
            },
            auth: settings.jwt().map(|jwt| auth::Config {
                function: jwt.name.to_owned(),
                namespace: jwt.namespace.to_owned(),
                authority: if jwt.local { LOCAL_AUTHORITY } else { AUTHORITY }.to_owned(),
                debug: jwt.debug,
            }),
            limit: limit::Config {
                max_inflight: settings.max_inflight,
                max_queue: settings.max_queue,
                queue_timeout: settings.queue_timeout,
            },
            health: health::Config {
                lock_file: settings.lock_file(),
                ready_path: settings.ready_path.clone(),
                ready_limit: shortest_limit(settings),
                style: style(settings.mode),
            },
        }
    }
}

fn style(mode: Mode) -> Style {
    match mode {
        Mode::Classic => Style::Classic,
        Mode::Serializing | Mode::Streaming | Mode::Http | Mode::Static => Style::Of,
    }
}

/// The line that of-watchdog writes at start; `0s` where there is no limit.
fn timeouts(settings: &Settings) -> String {
    let render = |limit: Option<Duration>| duration::render(limit.unwrap_or_default());
    format!(
        "Timeouts: read: {} write: {} hard: {} health: {}",
        render(settings.read_timeout),
        render(settings.write_timeout),
        render(settings.exec_timeout),
        duration::render(settings.healthcheck_interval),
    )
}

fn mode(
    settings: &Settings,
    environment: &Environment,
    log: &Arc<Log>,
    reaper: &Reaper,
) -> modes::Config {
    let launcher = || launcher(settings, environment, reaper);
    let log = logs::Log {
        sink: Arc::clone(log) as Arc<dyn logs::Sink>,
        longest_line: settings.log_buffer_size.map_or(LONGEST_LINE, usize::from),
    };
    let spool = spool::Config {
        memory: settings.spool_memory,
        limit: settings.spool_limit.map(u64::from),
        directory: settings.temp_dir.clone(),
    };
    let spares = (settings.warm_spares > 0).then_some(spare::Config {
        count: settings.warm_spares,
        max_age: settings.warm_spares_max_age,
    });
    match settings.mode {
        Mode::Classic | Mode::Serializing => modes::Config::Classic(classic::Config {
            launcher: launcher(),
            log,
            flavour: if settings.mode == Mode::Classic {
                Flavour::Classic
            } else {
                Flavour::Serializing
            },
            content_type: settings.content_type.clone(),
            combine_output: settings.combine_output,
            cgi_headers: settings.cgi_headers,
            marshal_request: settings.marshal_request,
            write_debug: settings.write_debug,
            debug_headers: settings.debug_headers,
            spool,
            spares,
            zero_copy: settings.zero_copy,
        }),
        Mode::Streaming => modes::Config::Streaming(streaming::Config {
            launcher: launcher(),
            log,
            content_type: settings.content_type.clone(),
            cgi_headers: settings.cgi_headers,
            spares,
            zero_copy: settings.zero_copy,
        }),
        Mode::Http => {
            let (target, base) = match settings.upstream.clone() {
                Some(Upstream::Tcp { host, port, base_path }) => {
                    (Target::Tcp { host, port }, base_path)
                }
                Some(Upstream::Unix { path }) => (Target::Unix(path), String::new()),
                // `env` refuses the mode without an upstream.
                None => (Target::Unix(PathBuf::new()), String::new()),
            };
            modes::Config::Upstream(upstream::Config {
                launcher: launcher(),
                log,
                target,
                base,
                restart: settings.upstream_restart,
                buffer_requests: settings.buffer_request_body.then_some(spool),
                patience: patience(settings),
                zero_copy: settings.zero_copy,
            })
        }
        Mode::Static => modes::Config::Static(static_files::Config {
            root: settings.static_path.clone(),
            zero_copy: settings.zero_copy,
        }),
    }
}

fn launcher(settings: &Settings, environment: &Environment, reaper: &Reaper) -> Launcher {
    let argv: Vec<OsString> = settings.fprocess.iter().map(OsString::from).collect();
    let path = environment.base().iter().find(|(name, _)| name == "PATH");
    let program = Program::new(&argv, path.map(|(_, path)| path.clone()));
    if let Some(obstacle) = program.obstacle() {
        // A volume may bring it later, so calls are answered with 500 rather than not at all. In
        // http mode the start fails by itself.
        let outlook =
            if settings.mode.forks() { "; calls will fail until that has changed" } else { "" };
        tracing::error!("fprocess {:?}: {obstacle}{outlook}", program.name());
    }
    Launcher::new(program, environment.base(), reaper.clone())
}

/// A call waits for a child that does not listen yet a little less long than its own time-outs
/// allow, so that the answer says what it waited for.
fn patience(settings: &Settings) -> Duration {
    shortest_limit(settings) * 9 / 10
}

fn shortest_limit(settings: &Settings) -> Duration {
    let limits = [settings.write_timeout, settings.exec_timeout];
    limits.into_iter().flatten().min().unwrap_or(crate::settings::HEALTHCHECK_INTERVAL)
}
