//! The table: one row a setting, read by the parser and by `--help` alike.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use watchdog::{duration::GoDuration, settings::LogFormat};

use super::Environment;
use crate::settings::{ProviderKind, Settings};

/// One setting as the environment knows it.
#[derive(Debug)]
pub struct Variable {
    /// Its names, the one that wins first.
    pub names: &'static [&'static str],
    /// What it does.
    pub help: &'static str,
    /// Its default, in words where it depends on something.
    pub default: &'static str,
    /// What a value may look like.
    pub accepts: &'static str,
    /// Takes a value; false when it cannot.
    pub(super) set: fn(&mut Settings, &str) -> bool,
}

pub(super) fn defaults(environment: &Environment) -> Settings {
    Settings {
        provider: ProviderKind::Docker,
        docker_host: "unix:///var/run/docker.sock".to_owned(),
        docker_network: "kennel".to_owned(),
        docker_config: environment.get("HOME").map(|home| PathBuf::from(home).join(".docker")),
        data: environment.data(),
        control_groups: true,
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port: 8080,
        metrics_port: Some(8082),
        basic_auth: true,
        credentials: None,
        allow_open: false,
        read_timeout: Some(Duration::from_secs(60)),
        write_timeout: Some(Duration::from_secs(60)),
        idle_timeout: Some(Duration::from_secs(120)),
        upstream_timeout: Duration::from_secs(60),
        wait_timeout: Duration::from_secs(30),
        most_waiting: 1000,
        drain_timeout: Duration::from_secs(30),
        log_format: LogFormat::Text,
        access_log: true,
        control_log: true,
    }
}

const BOOLEAN: &str = "true or false";
const DURATION: &str = "a duration such as 500ms, 30s or 5m, or whole seconds";
const OFF: &str = "a duration such as 500ms, 30s or 5m, or whole seconds; 0 for no limit";

/// Every setting, in the order they are listed.
pub const VARIABLES: &[Variable] = &[
    Variable {
        names: &["provider"],
        help: "who starts replicas: docker, or process (programs run as the gateway's own user)",
        default: "docker; process for `up`",
        accepts: "docker or process",
        set: |settings, value| {
            let kind = match value {
                "docker" => ProviderKind::Docker,
                "process" => ProviderKind::Process,
                _ => return false,
            };
            into(&mut settings.provider, Some(kind))
        },
    },
    Variable {
        names: &["docker_host", "DOCKER_HOST"],
        help: "where the Docker engine listens",
        default: "unix:///var/run/docker.sock",
        accepts: "a socket of this machine such as unix:///var/run/docker.sock",
        set: |settings, value| {
            let is_socket = value.strip_prefix("unix://").unwrap_or(value).starts_with('/');
            into(&mut settings.docker_host, is_socket.then(|| value.to_owned()))
        },
    },
    Variable {
        names: &["docker_network"],
        help: "the Docker network of functions; made if it is not there",
        default: "kennel",
        accepts: "a letter or digit, then also '.', '_' and '-'",
        set: |settings, value| {
            let inner = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            let is_name =
                value.starts_with(|c: char| c.is_ascii_alphanumeric()) && value.chars().all(inner);
            into(&mut settings.docker_network, is_name.then(|| value.to_owned()))
        },
    },
    Variable {
        names: &["docker_config", "DOCKER_CONFIG"],
        help: "the folder with Docker's config.json, for its credentials of registries",
        default: "~/.docker",
        accepts: "a path",
        set: |settings, value| into(&mut settings.docker_config, Some(Some(PathBuf::from(value)))),
    },
    Variable {
        names: &["data_dir"],
        help: "where functions, secrets and credentials are kept",
        default: "/var/lib/kennel for root, else ~/.local/share/kennel",
        accepts: "a path",
        set: |settings, value| into(&mut settings.data, Some(PathBuf::from(value))),
    },
    Variable {
        names: &["control_groups"],
        help: "keep limits of processes by control groups, where those can be made",
        default: "true",
        accepts: BOOLEAN,
        set: |settings, value| into(&mut settings.control_groups, boolean(value)),
    },
    Variable {
        names: &["listen_address"],
        help: "the address to listen on; 0.0.0.0 or :: for all",
        default: "127.0.0.1",
        accepts: "an IP address",
        set: |settings, value| into(&mut settings.address, value.parse().ok()),
    },
    Variable {
        names: &["port"],
        help: "the port for calls and the control plane; 0 for any free one",
        default: "8080",
        accepts: "a port from 0 to 65535",
        set: |settings, value| into(&mut settings.port, value.parse().ok()),
    },
    Variable {
        names: &["metrics_port"],
        help: "the port for /metrics; 0 for none",
        default: "8082",
        accepts: "a port from 0 to 65535",
        set: |settings, value| {
            let port = value.parse().ok().map(|port: u16| Some(port).filter(|port| *port != 0));
            into(&mut settings.metrics_port, port)
        },
    },
    Variable {
        names: &["basic_auth"],
        help: "whether the control plane asks for a name and a password",
        default: "true",
        accepts: BOOLEAN,
        set: |settings, value| into(&mut settings.basic_auth, boolean(value)),
    },
    Variable {
        names: &["secret_mount_path"],
        help: "where the files basic-auth-user and basic-auth-password are",
        default: "the data directory, where they are made on the first start",
        accepts: "a path",
        set: |settings, value| into(&mut settings.credentials, Some(Some(PathBuf::from(value)))),
    },
    Variable {
        names: &["allow_open"],
        help: "allow basic_auth=false on addresses that other machines reach",
        default: "false",
        accepts: BOOLEAN,
        set: |settings, value| into(&mut settings.allow_open, boolean(value)),
    },
    Variable {
        names: &["upstream_timeout"],
        help: "the longest a call may take, unless its function's annotation says otherwise",
        default: "60s",
        accepts: DURATION,
        set: |settings, value| into(&mut settings.upstream_timeout, duration(value)),
    },
    Variable {
        names: &["wait_timeout"],
        help: "the longest a call waits for a replica that starts",
        default: "30s",
        accepts: DURATION,
        set: |settings, value| into(&mut settings.wait_timeout, duration(value)),
    },
    Variable {
        names: &["max_waiting"],
        help: "how many calls of one function may wait for a replica",
        default: "1000",
        accepts: "a number",
        set: |settings, value| into(&mut settings.most_waiting, value.parse().ok()),
    },
    Variable {
        names: &["read_timeout"],
        help: "for a request head, and for any stretch in which no byte of a body arrives",
        default: "60s",
        accepts: OFF,
        set: |settings, value| limit(&mut settings.read_timeout, value),
    },
    Variable {
        names: &["write_timeout"],
        help: "for any stretch in which a client takes no byte",
        default: "60s",
        accepts: OFF,
        set: |settings, value| limit(&mut settings.write_timeout, value),
    },
    Variable {
        names: &["idle_timeout"],
        help: "between two requests of a connection",
        default: "2m",
        accepts: OFF,
        set: |settings, value| limit(&mut settings.idle_timeout, value),
    },
    Variable {
        names: &["drain_timeout"],
        help: "for calls under way to end, before the gateway does",
        default: "30s",
        accepts: DURATION,
        set: |settings, value| into(&mut settings.drain_timeout, duration(value)),
    },
    Variable {
        names: &["log_format"],
        help: "form of log lines",
        default: "text",
        accepts: "text or json",
        set: |settings, value| {
            let format = match value {
                "text" => LogFormat::Text,
                "json" => LogFormat::Json,
                _ => return false,
            };
            into(&mut settings.log_format, Some(format))
        },
    },
    Variable {
        names: &["access_log"],
        help: "write one line a call",
        default: "true",
        accepts: BOOLEAN,
        set: |settings, value| into(&mut settings.access_log, boolean(value)),
    },
];

fn into<T>(field: &mut T, value: Option<T>) -> bool {
    value.map(|value| *field = value).is_some()
}

fn boolean(value: &str) -> Option<bool> {
    match value {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

fn duration(value: &str) -> Option<Duration> {
    watchdog::duration::parse_setting(value).and_then(GoDuration::positive)
}

/// A limit, or `0` for none.
fn limit(field: &mut Option<Duration>, value: &str) -> bool {
    let read = watchdog::duration::parse_setting(value).and_then(GoDuration::not_negative);
    into(field, read.map(|read| Some(read).filter(|read| !read.is_zero())))
}
