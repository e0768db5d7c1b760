//! What there is, and what it does.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use bollard::{
    models::{
        ContainerInspectResponse, ContainerState, ContainerStateStatusEnum as Status,
        ContainerSummary, ContainerSummaryStateEnum as Summary, EndpointSettings,
        RestartPolicyNameEnum,
    },
    query_parameters::ListContainersOptionsBuilder,
};
use futures_util::{StreamExt as _, stream};
use modes::proxy::Target;

use super::{
    Shared,
    engine::ASK,
    labels::{GATEWAY, INSTANCE, Labels},
    lines,
    specification::policy,
};
use crate::{
    error::{Error, Result},
    provider::{Instance, State},
};

/// Containers that are looked at more closely at the same time.
const AT_ONCE: usize = 16;
/// What is left of its grace to what was to end before the gateway did.
const LAST_GRACE: Duration = Duration::from_secs(2);
/// How often a change of the restart policy is tried, and the pause in between.
const POLICY_TRIES: u32 = 40;
const POLICY_PAUSE: Duration = Duration::from_millis(50);
/// What is shown of the last line of one that failed, in characters.
const LONGEST_WORDS: usize = 300;

/// A container of ours.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The engine's name for it, which nothing else ever has.
    pub(super) container: String,
    /// What it is.
    pub(super) labels: Labels,
    /// What the engine says in short.
    summary: Option<Summary>,
    address: Option<String>,
    /// Whether it is on the network of functions.
    pub(super) is_attached: bool,
}

impl Shared {
    /// Every instance.
    pub(super) async fn list(&self) -> Result<Vec<Instance>> {
        let found = self.containers(None).await?.into_iter();
        let looking = found.map(|found| async move { self.look(found).await.transpose() });
        // A copy made of each at once would be as many connections.
        let all: Vec<_> = stream::iter(looking).buffer_unordered(AT_ONCE).collect().await;
        all.into_iter().flatten().collect()
    }

    /// One instance, which is looked for by its mark so that it is never somebody else's.
    pub(super) async fn find(&self, id: &str) -> Result<Found> {
        let found = self.containers(Some(id)).await?.into_iter().next();
        found.ok_or_else(|| Error::NotFound(format!("there is no instance {id}")))
    }

    async fn containers(&self, id: Option<&str>) -> Result<Vec<Found>> {
        let found = self.marked(id).await?;
        Ok(found.into_iter().filter_map(|container| ours(container, self.network.name())).collect())
    }

    /// Those that carry the mark, some of which may be made from an image of ours.
    async fn marked(&self, id: Option<&str>) -> Result<Vec<ContainerSummary>> {
        let mut labels = vec![format!("{GATEWAY}={}", self.own.gateway())];
        labels.extend(id.map(|id| format!("{INSTANCE}={id}")));
        let filters = HashMap::from([("label", labels)]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let question = self.engine.api().list_containers(Some(options));
        self.engine.ask(ASK, "list the containers of functions", question).await
    }

    /// What it does; `None` if it is gone meanwhile.
    pub(super) async fn look(&self, found: Found) -> Result<Option<Instance>> {
        let state = match (found.summary, found.address) {
            (Some(Summary::REMOVING), _) => return Ok(None),
            (Some(Summary::RUNNING), Some(address)) => running(&address, found.labels.port),
            _ => match self.inspect(&found.container).await {
                Err(Error::NotFound(_)) => return Ok(None),
                inspected => match self.state(&found.labels, &inspected?).await {
                    Some(state) => state,
                    None => return Ok(None),
                },
            },
        };
        let death = self.deaths.of(&found.labels.instance);
        let how = |status| how("ended", status, death.was_out_of_memory, &found.labels);
        let last_death = death.status.map(how);
        let Labels { instance, order, .. } = found.labels;
        Ok(Some(Instance {
            deaths: death.count,
            last_death,
            id: instance,
            function: order.function,
            spec: order.spec,
            revision: order.revision,
            deployed: order.deployed,
            state,
        }))
    }

    /// Everything that the engine knows of a container.
    pub(super) async fn inspect(&self, container: &str) -> Result<ContainerInspectResponse> {
        let question = self.engine.api().inspect_container(container, None);
        self.engine.ask(ASK, "look at a container", question).await
    }

    /// `None` for one that is being removed.
    async fn state(&self, labels: &Labels, found: &ContainerInspectResponse) -> Option<State> {
        let state = found.state.clone().unwrap_or_default();
        let should_run = should_run(found);
        let why = async |how: &str| {
            let container = found.id.as_deref().unwrap_or_default();
            let last = lines::last(&self.engine, container).await;
            let death = self.deaths.of(&labels.instance);
            words(how, &state, death.was_out_of_memory, labels, last.as_deref())
        };
        Some(match state.status {
            Some(Status::REMOVING) => return None,
            Some(Status::RUNNING | Status::STOPPING) => {
                let networks =
                    found.network_settings.as_ref().and_then(|all| all.networks.as_ref());
                let name = self.network.name();
                let is_attached = networks.is_some_and(|all| all.contains_key(name));
                match address(networks, name) {
                    Some(address) => running(&address, labels.port),
                    None if !is_attached => State::Ended {
                        why: format!("taken off the network {name} by somebody else"),
                    },
                    None => {
                        State::Failing { why: format!("it has no address in the network {name}") }
                    }
                }
            }
            Some(Status::PAUSED) => State::Ended { why: "paused by somebody else".to_owned() },
            Some(Status::RESTARTING) => State::Failing { why: why("ended").await },
            _ if !should_run => State::Parked,
            Some(Status::CREATED) => State::Ended { why: "it was not started".to_owned() },
            _ => State::Ended { why: why("ended by somebody else").await },
        })
    }

    /// Clears up after a gateway that was killed: what it was about to park is parked, and copies
    /// of secrets whose container is gone are deleted.
    pub(super) async fn settle(&self) -> Result<()> {
        let containers = self.containers(None).await?.into_iter();
        let parking = containers.filter(Found::has_process).map(|found| async move {
            let is_wanted = match self.inspect(&found.container).await {
                Err(Error::NotFound(_)) => true,
                inspected => should_run(&inspected?),
            };
            if is_wanted {
                return Ok(());
            }
            let id = &found.labels.instance;
            // Its calls broke with the gateway that made them.
            if let Err(error) = self.park(id, LAST_GRACE).await {
                tracing::warn!(instance = id, "it was to end before the gateway did: {error}");
            }
            Ok(())
        });
        let looked: Vec<_> = stream::iter(parking).buffer_unordered(AT_ONCE).collect().await;
        looked.into_iter().collect::<Result<()>>()?;
        self.sweep().await
    }

    /// Deletes copies of secrets whose container is gone.
    pub(super) async fn sweep(&self) -> Result<()> {
        let _nobody_makes = self.making.write().await;
        let labels = self.marked(None).await?.into_iter().filter_map(|one| one.labels);
        let instances: HashSet<_> = labels.filter_map(|mut all| all.remove(INSTANCE)).collect();
        self.copies.keep(&instances);
        Ok(())
    }

    /// Tells the engine whether to keep it running.
    pub(super) async fn set_policy(&self, found: &Found, should_run: bool) -> Result<()> {
        let doing = format!("change whether {} is kept running", found.labels.order.function);
        let mut tries = POLICY_TRIES;
        loop {
            let body = bollard::models::ContainerUpdateBody {
                restart_policy: Some(policy(should_run)),
                ..Default::default()
            };
            let question = self.engine.api().update_container(&found.container, body);
            match self.engine.ask(ASK, &doing, question).await {
                // A container that ends at this moment runs to the engine, but not to what it asks
                // ("cannot update a stopped container"): soon they agree again.
                Err(Error::Failed(_)) if tries > 1 => tries -= 1,
                answer => return answer,
            }
            tokio::time::sleep(POLICY_PAUSE).await;
        }
    }
}

impl Found {
    /// Whether it runs, or would without further ado.
    fn has_process(&self) -> bool {
        matches!(self.summary, Some(Summary::RUNNING | Summary::PAUSED | Summary::RESTARTING))
    }

    /// Whether somebody froze it.
    pub(super) fn is_paused(&self) -> bool {
        self.summary == Some(Summary::PAUSED)
    }
}

/// One that carries our mark and the name that we gave it.
fn ours(container: ContainerSummary, network: &str) -> Option<Found> {
    let names = container.names.unwrap_or_default();
    let Some(labels) = container.labels.as_ref().and_then(Labels::read) else {
        tracing::error!("Container {names:?} carries the mark of this gateway and no instance");
        return None;
    };
    let name = labels.container();
    // The engine writes a slash before it. A copy, or a renamed one, is somebody else's.
    if !names.iter().any(|one| one.strip_prefix('/') == Some(&name)) {
        return None;
    }
    let networks = container.network_settings.as_ref().and_then(|all| all.networks.as_ref());
    let address = address(networks, network);
    let is_attached = networks.is_some_and(|all| all.contains_key(network));
    Some(Found { container: container.id?, labels, summary: container.state, address, is_attached })
}

fn address(networks: Option<&HashMap<String, EndpointSettings>>, name: &str) -> Option<String> {
    let address = networks?.get(name)?.ip_address.clone();
    address.filter(|address| !address.is_empty())
}

fn running(address: &str, port: u16) -> State {
    State::Running { target: Target::Tcp { host: address.to_owned(), port } }
}

fn should_run(found: &ContainerInspectResponse) -> bool {
    let policy = found.host_config.as_ref().and_then(|host| host.restart_policy.as_ref());
    policy.and_then(|policy| policy.name) == Some(RestartPolicyNameEnum::ALWAYS)
}

/// Why one does not run, for its author. The engine forgets that something was killed for want of
/// memory with the next start.
fn words(
    doing: &str,
    state: &ContainerState,
    was_out_of_memory: bool,
    labels: &Labels,
    last: Option<&str>,
) -> String {
    let is_out_of_memory = was_out_of_memory || state.oom_killed == Some(true);
    let mut text = how(doing, state.exit_code.unwrap_or_default(), is_out_of_memory, labels);
    if let Some(error) = state.error.as_deref().filter(|error| !error.is_empty()) {
        text = format!("{text}; {error}");
    }
    if let Some(last) = last.map(str::trim).filter(|last| !last.is_empty()) {
        let last: String = last.chars().take(LONGEST_WORDS).collect();
        text = format!("{text}; its last line: {last}");
    }
    text
}

/// How it ended.
fn how(doing: &str, status: i64, is_out_of_memory: bool, labels: &Labels) -> String {
    if !is_out_of_memory {
        return format!("{doing}: exit status {status}");
    }
    let limit = labels.order.spec.limits.as_ref().and_then(|limits| limits.memory.as_deref());
    let limit = limit.map(|limit| format!(" (its limit is {limit})")).unwrap_or_default();
    format!("{doing}: out of memory{limit}")
}
