//! The settings of the watchdog: plain data, typed and checked, with one field per setting.
//!
//! `env.rs` fills it in from the environment; everything else takes what it needs from here. "both"
//! below means classic-watchdog and of-watchdog, "classic" and "of" one of them, "new" neither.
//! `docs/configuration.md` says the same for users.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use modes::ZeroCopy;

/// How a call becomes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A process per call; errors, status codes and content types as classic-watchdog has them.
    Classic,
    /// A process per call; errors, status codes and content types as of-watchdog has them.
    Serializing,
    /// A process per call; its output leaves while it runs.
    Streaming,
    /// One long-lived process that is itself an HTTP server.
    Http,
    /// Files under one directory, no process.
    Static,
}

/// Where the server of `mode=http` listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// `http://host:port/base`.
    Tcp {
        /// A name or an address; an IPv6 address without its brackets.
        host: String,
        /// Never 0; 80 when the URL names none.
        port: u16,
        /// Put before the path of every request: empty, or with a leading and without a trailing
        /// slash.
        base_path: String,
    },
    /// `unix:/path`: a stream socket in the file system.
    Unix {
        /// Absolute, and short enough for `sockaddr_un` (unix(7): 108 bytes with the final NUL).
        path: PathBuf,
    },
}

/// How the watchdog writes its own log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A time and a message.
    Text,
    /// One JSON object a line.
    Json,
}

/// What token authentication needs to know; made by [`Settings::jwt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jwt<'a> {
    /// The function's name, as permissions in a token name it.
    pub name: &'a str,
    /// The namespace the function runs in.
    pub namespace: &'a str,
    /// Ask the authority on this machine instead of the gateway.
    pub local: bool,
    /// Log what was checked and why a token was refused.
    pub debug: bool,
}

/// Everything the environment decides. A `None` duration is a limit that is off.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "one field per setting, and the settings are switches"
)]
pub struct Settings {
    /// How a call becomes work. Default classic, or streaming with the feature `streaming-default`.
    /// (of)
    pub mode: Mode,
    /// The command to run: the program, then its arguments. Empty in static mode only. (both)
    pub fprocess: Vec<String>,
    /// Where the server of `mode=http` listens. Present in that mode. (of)
    pub upstream: Option<Upstream>,
    /// Start the process of `mode=http` again when it dies, instead of ending with it. Default off.
    /// (new)
    pub upstream_restart: bool,
    /// Tell the upstream the length of every request body, even of one that came chunked. Default
    /// off. (of)
    pub buffer_request_body: bool,
    /// The directory of `mode=static`. Default `/home/app/public`. (of)
    pub static_path: PathBuf,

    /// The port calls arrive at; 0 lets the system choose. Default 8080. (both)
    pub port: u16,
    /// A socket in the file system where calls arrive instead. Default none. (new)
    pub socket: Option<PathBuf>,
    /// The port of `/metrics`, never the same as `port`; `None` is off. Default 8081. (new)
    pub metrics_port: Option<u16>,

    /// Bounds the arrival of the request head, and any stretch in which no byte of the body
    /// arrives. Default 30 s. (both)
    pub read_timeout: Option<Duration>,
    /// Bounds the time to the response head, and any stretch in which the client takes no byte;
    /// also the drain at a stop. Default 30 s. (both)
    pub write_timeout: Option<Duration>,
    /// Bounds a whole call. Default off in classic mode, 30 s in the others. (both)
    pub exec_timeout: Option<Duration>,
    /// How long a connection may stay open between two calls. Default 3 min. (new)
    pub idle_timeout: Option<Duration>,
    /// How long new calls are still served after a stop signal while others are in flight; may be
    /// zero. Default `write_timeout`, or 30 s if that is off. (both)
    pub healthcheck_interval: Duration,
    /// The time between TERM and KILL when a process is ended; zero is KILL at once. Default 2 s.
    /// (new)
    pub grace_period: Duration,

    /// Calls at one time; one more waits or gets 429. Default no limit. (both)
    pub max_inflight: Option<NonZeroUsize>,
    /// Calls that may wait for a place. Default 0, that is 429 at once. (new)
    pub max_queue: usize,
    /// How long a call waits for a place; zero is 429 at once. Default 10 s. (new)
    pub queue_timeout: Duration,

    /// The content type of every response of a forking mode. Default `application/octet-stream`; in
    /// classic mode the request's type or a guess. `None` in http and static mode unless set, where
    /// it has no meaning. (both)
    pub content_type: Option<HeaderValue>,
    /// Give the process the request head as `Http_*` variables. Default on. (classic)
    pub cgi_headers: bool,
    /// Give the process the request as one JSON document. Default off. (classic)
    pub marshal_request: bool,
    /// Send stderr with stdout as the response, instead of logging it. Default on in classic mode,
    /// off in serializing mode as in of-watchdog. (classic)
    pub combine_output: bool,
    /// Log the response body and the facts of each call. Default off. (classic)
    pub write_debug: bool,
    /// Log request and response headers. Default off. (classic)
    pub debug_headers: bool,
    /// Bytes of one body kept in memory before the rest goes to an unlinked file. Default 1 MiB.
    /// (new)
    pub spool_memory: usize,
    /// Bytes one body may have in memory and file together; `None` is no limit. Default 4 GiB.
    /// (new)
    pub spool_limit: Option<NonZeroU64>,
    /// Whether the kernel moves the bytes of files and pipes to the client by itself. Default auto.
    /// (new)
    pub zero_copy: ZeroCopy,

    /// Processes that are started ahead of calls and wait for their input; not with `cgi_headers`.
    /// Default 0. (new)
    pub warm_spares: usize,
    /// How long one of them waits before another takes its place. Default 5 min. (new)
    pub warm_spares_max_age: Option<Duration>,

    /// Directory of the lock file and of spooled bodies (`TMPDIR`). Default `/tmp`. (both)
    pub temp_dir: PathBuf,
    /// Work without a lock file. Default off. (both)
    pub suppress_lock: bool,
    /// Path and query that `/_/ready` calls on the function, with its leading slash. Default none.
    /// (of)
    pub ready_path: Option<String>,

    /// Put time and stream name before each line of the function. Default on. (of)
    pub prefix_logs: bool,
    /// Bytes of the longest line of the function that is logged in one piece; `None` is no limit.
    /// Default 65536. (of)
    pub log_buffer_size: Option<NonZeroUsize>,
    /// Put the `X-Call-Id` into the access line. Default off. (of)
    pub log_callid: bool,
    /// Form of the watchdog's own lines. Default text. (new)
    pub log_format: LogFormat,
    /// Write one line per call. Default on. (new)
    pub access_log: bool,

    /// Check a token on every call. Default off. (both)
    pub jwt_auth: bool,
    /// Log what was checked. Default off. (both)
    pub jwt_auth_debug: bool,
    /// Ask the authority on this machine. Default off. (both)
    pub jwt_auth_local: bool,
    /// The function's name (`OPENFAAS_NAME`); present with `jwt_auth`. (both)
    pub function_name: Option<String>,
    /// The function's namespace (`OPENFAAS_NAMESPACE`, else the service account's); present with
    /// `jwt_auth`. (both)
    pub function_namespace: Option<String>,

    /// Any mistake in the configuration ends the start. Default off. (new)
    pub strict_config: bool,
}

// === impl Mode ===

impl Mode {
    /// Every mode there is.
    pub const ALL: [Mode; 5] =
        [Mode::Classic, Mode::Serializing, Mode::Streaming, Mode::Http, Mode::Static];

    /// The mode when none is set; a build-time choice, so that an image can stand in for either
    /// predecessor.
    pub const DEFAULT: Mode =
        if cfg!(feature = "streaming-default") { Mode::Streaming } else { Mode::Classic };

    /// The value of `mode` that selects it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Classic => "classic",
            Mode::Serializing => "serializing",
            Mode::Streaming => "streaming",
            Mode::Http => "http",
            Mode::Static => "static",
        }
    }

    /// Whether it runs a process at all, and so needs `fprocess`.
    #[must_use]
    pub const fn has_process(self) -> bool {
        !matches!(self, Mode::Static)
    }

    /// Whether it starts a process for every call.
    #[must_use]
    pub const fn forks(self) -> bool {
        matches!(self, Mode::Classic | Mode::Serializing | Mode::Streaming)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Upstream ===

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Upstream::Tcp { host, port, base_path } if host.contains(':') => {
                write!(f, "http://[{host}]:{port}{base_path}")
            }
            Upstream::Tcp { host, port, base_path } => write!(f, "http://{host}:{port}{base_path}"),
            Upstream::Unix { path } => write!(f, "unix:{}", path.display()),
        }
    }
}

// === impl LogFormat ===

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

// === impl Settings ===

/// The limit of reads, writes and, outside classic mode, whole calls.
const TIMEOUT: Duration = Duration::from_secs(30);

/// `healthcheck_interval` when it has no `write_timeout` to follow.
pub(crate) const HEALTHCHECK_INTERVAL: Duration = TIMEOUT;

/// The name of the lock file within [`Settings::temp_dir`]; probes and templates look for
/// `/tmp/.lock`.
pub const LOCK_FILE: &str = ".lock";

impl Settings {
    /// What holds in a mode when nothing else is set. It is not complete: most modes need
    /// `fprocess` too.
    #[must_use]
    pub fn defaults(mode: Mode) -> Self {
        let octet_stream = HeaderValue::from_static("application/octet-stream");
        Self {
            mode,
            fprocess: Vec::new(),
            upstream: None,
            upstream_restart: false,
            buffer_request_body: false,
            static_path: PathBuf::from("/home/app/public"),
            port: 8080,
            socket: None,
            metrics_port: Some(8081),
            read_timeout: Some(TIMEOUT),
            write_timeout: Some(TIMEOUT),
            exec_timeout: (mode != Mode::Classic).then_some(TIMEOUT),
            idle_timeout: Some(Duration::from_secs(180)),
            healthcheck_interval: HEALTHCHECK_INTERVAL,
            grace_period: Duration::from_secs(2),
            max_inflight: None,
            max_queue: 0,
            queue_timeout: Duration::from_secs(10),
            content_type: matches!(mode, Mode::Serializing | Mode::Streaming)
                .then_some(octet_stream),
            cgi_headers: true,
            marshal_request: false,
            combine_output: mode != Mode::Serializing,
            write_debug: false,
            debug_headers: false,
            spool_memory: 1 << 20,
            spool_limit: NonZeroU64::new(4 << 30),
            warm_spares: 0,
            warm_spares_max_age: Some(Duration::from_secs(300)),
            zero_copy: ZeroCopy::Auto,
            temp_dir: PathBuf::from("/tmp"),
            suppress_lock: false,
            ready_path: None,
            prefix_logs: true,
            log_buffer_size: NonZeroUsize::new(65_536),
            log_callid: false,
            log_format: LogFormat::Text,
            access_log: true,
            jwt_auth: false,
            jwt_auth_debug: false,
            jwt_auth_local: false,
            function_name: None,
            function_namespace: None,
            strict_config: false,
        }
    }

    /// The lock file, or `None` when `suppress_lock` says to work without one.
    #[must_use]
    pub fn lock_file(&self) -> Option<PathBuf> {
        (!self.suppress_lock).then(|| self.temp_dir.join(LOCK_FILE))
    }

    /// What token authentication needs, or `None` when it is off.
    #[must_use]
    pub fn jwt(&self) -> Option<Jwt<'_>> {
        // `env::parse` refuses settings that lack one of the two names. Were one missing all the
        // same, the empty name fits no permission, so calls would be refused rather than let
        // through.
        self.jwt_auth.then(|| Jwt {
            name: self.function_name.as_deref().unwrap_or_default(),
            namespace: self.function_namespace.as_deref().unwrap_or_default(),
            local: self.jwt_auth_local,
            debug: self.jwt_auth_debug,
        })
    }
}
