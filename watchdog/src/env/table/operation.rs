//! What is logged, who may call, and what the start depends on.

use super::{BOOLEAN, Group, RUNS, Variable, show_count, show_text, store};
use crate::env::parsers;
use crate::settings::Mode;

pub(super) const LOGS: Group = Group {
    title: "Logs",
    variables: &[
        Variable {
            names: &["prefix_logs"],
            modes: RUNS,
            help: "put time and stream name before each line the function writes",
            default: "true",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.prefix_logs, parsers::boolean(v)),
            show: |s| s.prefix_logs.to_string(),
        },
        Variable {
            names: &["log_buffer_size"],
            modes: RUNS,
            help: "bytes of the longest line logged in one piece; negative = 16 MiB",
            default: "65536",
            accepts: "a whole number other than 0",
            set: |s, v| store(&mut s.log_buffer_size, parsers::line_limit(v)),
            show: |s| show_count(s.log_buffer_size),
        },
        Variable {
            names: &["log_callid", "log_call_id"],
            modes: &Mode::ALL,
            help: "put the X-Call-Id into the access line",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.log_callid, parsers::boolean(v)),
            show: |s| s.log_callid.to_string(),
        },
        Variable {
            names: &["log_format"],
            modes: &Mode::ALL,
            help: "form of the watchdog's own lines",
            default: "text",
            accepts: "text or json",
            set: |s, v| store(&mut s.log_format, parsers::log_format(v)),
            show: |s| s.log_format.to_string(),
        },
        Variable {
            names: &["access_log"],
            modes: &Mode::ALL,
            help: "write one line per call",
            default: "true",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.access_log, parsers::boolean(v)),
            show: |s| s.access_log.to_string(),
        },
    ],
};

pub(super) const START: Group = Group {
    title: "Authentication and start",
    variables: &[
        Variable {
            names: &["jwt_auth"],
            modes: &Mode::ALL,
            help: "check a token on every call",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.jwt_auth, parsers::boolean(v)),
            show: |s| s.jwt_auth.to_string(),
        },
        Variable {
            names: &["jwt_auth_debug"],
            modes: &Mode::ALL,
            help: "log why a token was taken or refused",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.jwt_auth_debug, parsers::boolean(v)),
            show: |s| s.jwt_auth_debug.to_string(),
        },
        Variable {
            names: &["jwt_auth_local"],
            modes: &Mode::ALL,
            help: "ask the authority on this machine instead of the gateway",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.jwt_auth_local, parsers::boolean(v)),
            show: |s| s.jwt_auth_local.to_string(),
        },
        Variable {
            names: &["OPENFAAS_NAME"],
            modes: &Mode::ALL,
            help: "the function's name; required with jwt_auth",
            default: "none",
            accepts: "a name",
            set: |s, v| store(&mut s.function_name, Ok(Some(v.to_owned()))),
            show: |s| show_text(s.function_name.as_deref()),
        },
        Variable {
            names: &["OPENFAAS_NAMESPACE"],
            modes: &Mode::ALL,
            help: "the function's namespace; required with jwt_auth",
            default: "the service account's",
            accepts: "a name",
            set: |s, v| store(&mut s.function_namespace, Ok(Some(v.to_owned()))),
            show: |s| show_text(s.function_namespace.as_deref()),
        },
        Variable {
            names: &["suppress_lock"],
            modes: &Mode::ALL,
            help: "work without the lock file $TMPDIR/.lock",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.suppress_lock, parsers::boolean(v)),
            show: |s| s.suppress_lock.to_string(),
        },
        Variable {
            names: &["TMPDIR"],
            modes: &Mode::ALL,
            help: "directory of the lock file and of stored bodies",
            default: "/tmp",
            accepts: "a directory",
            set: |s, v| store(&mut s.temp_dir, Ok(v.into())),
            show: |s| s.temp_dir.display().to_string(),
        },
        Variable {
            names: &["strict_config"],
            modes: &Mode::ALL,
            help: "refuse to start when any variable has a mistake",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.strict_config, parsers::boolean(v)),
            show: |s| s.strict_config.to_string(),
        },
    ],
};
