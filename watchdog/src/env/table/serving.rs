//! Where calls arrive, how long they may take, and how many there may be.

use super::{DURATION, FORKS, Group, LIMIT, PORT, RUNS, Variable, show_count, show_limit, store};
use crate::duration::render;
use crate::env::{parsers, upstream};
use crate::settings::{HEALTHCHECK_INTERVAL, Mode};

pub(super) const LISTENERS: Group = Group {
    title: "Listeners",
    variables: &[
        Variable {
            names: &["port"],
            modes: &Mode::ALL,
            help: "the port calls arrive at; 0 = any free port",
            default: "8080",
            accepts: PORT,
            set: |s, v| store(&mut s.port, parsers::port(v)),
            show: |s| s.port.to_string(),
        },
        Variable {
            names: &["listen_address"],
            modes: &Mode::ALL,
            help: "a socket in the file system calls arrive at, in the place of the port",
            default: "none",
            accepts: "unix:/path",
            set: |s, v| store(&mut s.socket, upstream::socket(v)),
            show: |s| {
                let path = s.socket.as_ref();
                path.map_or_else(|| "none".to_owned(), |path| format!("unix:{}", path.display()))
            },
        },
        Variable {
            names: &["metrics_port"],
            modes: &Mode::ALL,
            help: "the port of /metrics; 0 = off",
            default: "8081",
            accepts: PORT,
            set: |s, v| store(&mut s.metrics_port, parsers::optional_port(v)),
            show: |s| s.metrics_port.map_or_else(|| "off".to_owned(), |port| port.to_string()),
        },
    ],
};

pub(super) const TIMEOUTS: Group = Group {
    title: "Timeouts",
    variables: &[
        Variable {
            names: &["read_timeout"],
            modes: &Mode::ALL,
            help: "time for the request head, and for any pause in its body",
            default: "30s",
            accepts: LIMIT,
            set: |s, v| store(&mut s.read_timeout, parsers::limit(v)),
            show: |s| show_limit(s.read_timeout),
        },
        Variable {
            names: &["write_timeout"],
            modes: &Mode::ALL,
            help: "time to the response head, for any pause in taking the body, and to drain",
            default: "30s",
            accepts: LIMIT,
            set: |s, v| {
                store(&mut s.write_timeout, parsers::limit(v))?;
                // The default of `healthcheck_interval`, whose own row comes later.
                s.healthcheck_interval = s.write_timeout.unwrap_or(HEALTHCHECK_INTERVAL);
                Ok(())
            },
            show: |s| show_limit(s.write_timeout),
        },
        Variable {
            names: &["exec_timeout"],
            modes: &Mode::ALL,
            help: "time for a whole call; a request can shorten it with X-Timeout",
            default: "30s; classic: off",
            accepts: LIMIT,
            set: |s, v| store(&mut s.exec_timeout, parsers::limit(v)),
            show: |s| show_limit(s.exec_timeout),
        },
        Variable {
            names: &["idle_timeout"],
            modes: &Mode::ALL,
            help: "time a connection may stay open between two calls",
            default: "3m",
            accepts: LIMIT,
            set: |s, v| store(&mut s.idle_timeout, parsers::limit(v)),
            show: |s| show_limit(s.idle_timeout),
        },
        Variable {
            names: &["healthcheck_interval"],
            modes: &Mode::ALL,
            help: "time a busy replica still takes new calls after a stop signal",
            default: "write_timeout, or 30s if that is off",
            accepts: DURATION,
            set: |s, v| store(&mut s.healthcheck_interval, parsers::interval(v)),
            show: |s| render(s.healthcheck_interval),
        },
        Variable {
            names: &["grace_period"],
            modes: RUNS,
            help: "time between TERM and KILL when a process is ended",
            default: "2s",
            accepts: DURATION,
            set: |s, v| store(&mut s.grace_period, parsers::wait(v)),
            show: |s| render(s.grace_period),
        },
    ],
};

pub(super) const CONCURRENCY: Group = Group {
    title: "Concurrency",
    variables: &[
        Variable {
            names: &["max_inflight"],
            modes: &Mode::ALL,
            help: "calls at one time, beyond which the answer is 429; 0 = no limit",
            default: "0",
            accepts: "a whole number",
            set: |s, v| store(&mut s.max_inflight, parsers::count_limit(v)),
            show: |s| show_count(s.max_inflight),
        },
        Variable {
            names: &["max_queue"],
            modes: &Mode::ALL,
            help: "calls beyond max_inflight that wait for a place before the answer is 429",
            default: "0",
            accepts: "a whole number, zero or more",
            set: |s, v| store(&mut s.max_queue, parsers::count(v)),
            show: |s| s.max_queue.to_string(),
        },
        Variable {
            names: &["queue_timeout"],
            modes: &Mode::ALL,
            help: "time a call waits for a place before the answer is 429",
            default: "10s",
            accepts: DURATION,
            set: |s, v| store(&mut s.queue_timeout, parsers::wait(v)),
            show: |s| render(s.queue_timeout),
        },
        Variable {
            names: &["warm_spares"],
            modes: FORKS,
            help: "processes started ahead of calls, which wait for input; needs cgi_headers=false",
            default: "0",
            accepts: "a whole number, 0 to 64",
            set: |s, v| store(&mut s.warm_spares, parsers::spares(v)),
            show: |s| s.warm_spares.to_string(),
        },
        Variable {
            names: &["warm_spares_max_age"],
            modes: FORKS,
            help: "time such a process waits before another takes its place",
            default: "5m",
            accepts: LIMIT,
            set: |s, v| store(&mut s.warm_spares_max_age, parsers::limit(v)),
            show: |s| show_limit(s.warm_spares_max_age),
        },
    ],
};
