//! The network on which functions find each other, and the gateway.
//!
//! Each answers to `NAME.NAMESPACE`; what it calls `NAME` is looked for in its own namespace (its
//! DNS search list), so functions of the same name in two namespaces are not mixed up.

use std::{
    net::IpAddr,
    sync::{PoisonError, RwLock},
};

use bollard::models::{Ipam, NetworkConnectRequest, NetworkCreateRequest, NetworkInspect};

use super::{
    engine::{ACT, ASK, Engine},
    labels::{GATEWAY, Labels},
    specification,
};
use crate::error::{Error, Result};

/// The engine's own.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// The network.
#[derive(Debug)]
pub(super) struct Network {
    name: String,
    /// Whose it is if it was made by a gateway.
    gateway: String,
    known: RwLock<Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    addresses: Vec<IpAddr>,
    /// To make it again as it was: functions know the gateway's address.
    ipam: Option<Ipam>,
}

impl Network {
    /// Finds or makes it.
    pub(super) async fn open(engine: &Engine, name: String, gateway: &str) -> Result<Self> {
        if BUILT_IN.contains(&name.as_str()) {
            let text = format!(
                "docker_network is {name:?}: functions do not find each other by name on the \
                 engine's own networks. Choose another name; the network is made if it is not there"
            );
            return Err(Error::Invalid(text));
        }
        let network = Self { name, gateway: gateway.to_owned(), known: RwLock::default() };
        network.ensure(engine).await?;
        Ok(network)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The addresses of this machine on it; IPv4 first.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).addresses.clone()
    }

    /// Makes it if it is not there (any more).
    pub(super) async fn ensure(&self, engine: &Engine) -> Result<()> {
        let found = match self.inspect(engine).await {
            Err(Error::NotFound(_)) => {
                self.make(engine).await?;
                self.inspect(engine).await?
            }
            other => other?,
        };
        let made_by = found.labels.as_ref().and_then(|labels| labels.get(GATEWAY));
        if let Some(other) = made_by.filter(|mark| **mark != self.gateway) {
            let name = &self.name;
            let text = format!(
                "the network {name:?} is that of a gateway with another data directory: its \
                 functions would be taken for this one's. Set docker_network to another name; or, \
                 if that gateway is no more, remove what it left: docker rm -f $(docker ps -aq \
                 --filter label={GATEWAY}={other}); docker network rm {name}"
            );
            return Err(Error::Failed(text));
        }
        let mut addresses = gateways(&found);
        addresses.sort_by_key(IpAddr::is_ipv6);
        if addresses.is_empty() {
            let text = format!(
                "the network {:?} (driver {}) has no gateway address of this machine: functions \
                 could not call the gateway. Set docker_network to a bridge, or to a new name",
                self.name,
                found.driver.unwrap_or_default()
            );
            return Err(Error::Failed(text));
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) =
            Known { addresses, ipam: found.ipam };
        Ok(())
    }

    /// Puts a container on it that somebody took off.
    pub(super) async fn attach(
        &self,
        engine: &Engine,
        labels: &Labels,
        container: &str,
        doing: &str,
    ) -> Result<()> {
        let request = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(specification::endpoint(labels)),
        };
        let question = engine.api().connect_network(&self.name, request);
        engine.ask(ACT, doing, question).await
    }

    async fn inspect(&self, engine: &Engine) -> Result<NetworkInspect> {
        let doing = format!("look for the network {}", self.name);
        engine.ask(ASK, &doing, engine.api().inspect_network(&self.name, None)).await
    }

    async fn make(&self, engine: &Engine) -> Result<()> {
        let ipam = self.known.read().unwrap_or_else(PoisonError::into_inner).ipam.clone();
        let request = NetworkCreateRequest {
            name: self.name.clone(),
            driver: Some("bridge".to_owned()),
            labels: Some([(GATEWAY.to_owned(), self.gateway.clone())].into()),
            ipam,
            ..NetworkCreateRequest::default()
        };
        let doing = format!("make the network {}", self.name);
        match engine.ask(ACT, &doing, engine.api().create_network(request)).await {
            // Somebody else was faster.
            Ok(_) | Err(Error::Conflict(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn gateways(network: &NetworkInspect) -> Vec<IpAddr> {
    let configs = network.ipam.iter().filter_map(|ipam| ipam.config.as_ref()).flatten();
    let texts = configs.filter_map(|config| config.gateway.as_deref());
    // Some engines write the length of the prefix behind it.
    texts.filter_map(|text| text.split('/').next()?.parse().ok()).collect()
}
