//! An order as the engine takes it.

use std::{collections::BTreeMap, path::PathBuf};

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HealthConfig, HostConfig, HostConfigLogConfig, Mount,
    MountType, NetworkingConfig, RestartPolicy, RestartPolicyNameEnum,
};

use super::{labels::Labels, network::Network, resources::Machine};
use crate::{error::Result, function::FunctionSpec};

/// Where watchdogs listen unless `port` says otherwise.
const PORT: u16 = 8080;
/// Processes and threads of one container, in number: a fork bomb ends there.
const MOST_PROCESSES: i64 = 4096;
/// The largest `/tmp` in memory of a function without a limit of its own, in bytes.
const MOST_TMP: u64 = 1 << 30;
/// What is kept of the lines of one instance: three files of this size.
const LOG_FILE: &str = "10m";
const LOG_FILES: &str = "3";

/// What goes into a container beside its order.
pub(super) struct Surroundings<'a> {
    pub(super) gateway: &'a str,
    pub(super) network: &'a Network,
    pub(super) machine: Machine,
    /// Where the gateway listens for functions; 0 if that is not known.
    pub(super) port: u16,
    /// Files and where they are to be.
    pub(super) secrets: Vec<(PathBuf, String)>,
}

/// The whole container.
pub(super) fn container(labels: &Labels, around: &Surroundings<'_>) -> Result<ContainerCreateBody> {
    let spec = &labels.order.spec;
    let network = around.network.name().to_owned();
    let endpoint = endpoint(labels);
    Ok(ContainerCreateBody {
        image: Some(spec.image.trim().to_owned()),
        labels: Some(labels.write(around.gateway)?),
        env: Some(environment(spec, around.port)),
        // What watches it asks the watchdog; the engine would start a process every few seconds.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        host_config: Some(host(labels, around)?),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some([(network, endpoint)].into()),
        }),
        ..ContainerCreateBody::default()
    })
}

/// How others on the network find it.
pub(super) fn endpoint(labels: &Labels) -> EndpointSettings {
    EndpointSettings {
        aliases: Some(vec![labels.order.function.to_string()]),
        ..EndpointSettings::default()
    }
}

fn host(labels: &Labels, around: &Surroundings<'_>) -> Result<HostConfig> {
    let spec = &labels.order.spec;
    let mount = |(from, to): &(PathBuf, String)| Mount {
        typ: Some(MountType::BIND),
        source: Some(from.to_string_lossy().into_owned()),
        target: Some(to.clone()),
        read_only: Some(true),
        ..Mount::default()
    };
    let address = around.network.addresses().into_iter().next();
    let hosts = address.iter().flat_map(|address| {
        ["gateway", "gateway.openfaas"].map(|name| format!("{name}:{address}"))
    });
    let log = [("max-size", LOG_FILE), ("max-file", LOG_FILES)];
    let log = log.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut host = HostConfig {
        network_mode: Some(around.network.name().to_owned()),
        dns_search: Some(vec![labels.order.function.namespace().to_owned()]),
        extra_hosts: Some(hosts.collect()),
        restart_policy: Some(policy(false)),
        mounts: Some(around.secrets.iter().map(mount).collect()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        pids_limit: Some(MOST_PROCESSES),
        log_config: Some(HostConfigLogConfig {
            typ: Some("json-file".to_owned()),
            config: Some(log.into()),
        }),
        ..HostConfig::default()
    };
    let memory = around.machine.limit(spec, &mut host)?;
    if spec.read_only_root_filesystem {
        host.readonly_rootfs = Some(true);
        // Its pages count towards the limit of memory.
        let size = memory.unwrap_or(MOST_TMP).min(MOST_TMP);
        let options = format!("rw,exec,nosuid,nodev,mode=1777,size={size}");
        host.tmpfs = Some([("/tmp".to_owned(), options)].into());
    }
    Ok(host)
}

/// Whether the engine keeps it running.
pub(super) fn policy(should_run: bool) -> RestartPolicy {
    let name = if should_run { RestartPolicyNameEnum::ALWAYS } else { RestartPolicyNameEnum::NO };
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

/// The author's words come last: they win.
fn environment(spec: &FunctionSpec, gateway: u16) -> Vec<String> {
    let mut all = BTreeMap::new();
    all.insert("OPENFAAS_NAME", spec.service.clone());
    all.insert("OPENFAAS_NAMESPACE", spec.namespace().to_owned());
    if gateway != 0 {
        let url = format!("http://gateway:{gateway}");
        all.insert("OPENFAAS_URL", url.clone());
        all.insert("gateway_url", url);
    }
    if let Some(command) = spec.env_process.as_ref().filter(|command| !command.is_empty()) {
        all.insert("fprocess", command.clone());
    }
    for (name, value) in spec.env_vars.iter().flatten() {
        all.insert(name, value.clone());
    }
    all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

/// Where the function listens, as its environment or that of its image says.
pub(super) fn port(spec: &FunctionSpec, image: &[String]) -> u16 {
    let own = spec.env_vars.as_ref().and_then(|all| all.get("port")).map(String::as_str);
    let images = || image.iter().rev().find_map(|entry| entry.strip_prefix("port="));
    own.or_else(images)
        .and_then(|text| text.trim().parse().ok())
        .filter(|n| *n != 0)
        .unwrap_or(PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> FunctionSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn authors_words_win() {
        let json = serde_json::json!({
            "service": "f", "envProcess": "cat",
            "envVars": {"fprocess": "wc", "a": "b=c", "gateway_url": "http://x"},
        });
        let all = environment(&spec(json), 8080);
        for entry in
            ["fprocess=wc", "a=b=c", "gateway_url=http://x", "OPENFAAS_URL=http://gateway:8080"]
        {
            assert!(all.contains(&entry.to_owned()), "{entry}: {all:?}");
        }
        assert_eq!(environment(&spec(serde_json::json!({"service": "f"})), 0).len(), 2);
    }

    #[test]
    fn functions_listen_where_their_environment_says() {
        let image = ["A=b".to_owned(), "port=81".to_owned()];
        let own = spec(serde_json::json!({"envVars": {"port": "82"}}));
        let none = FunctionSpec::default();
        assert_eq!((port(&own, &image), port(&none, &image), port(&none, &[])), (82, 81, 8080));
        let bad = spec(serde_json::json!({"envVars": {"port": "x"}}));
        assert_eq!(port(&bad, &[]), 8080);
    }
}
