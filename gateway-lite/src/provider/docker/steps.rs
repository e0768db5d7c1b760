//! Making, starting, parking and removing one instance. Each step leaves something that the list
//! shows, so that whoever is killed between two of them can be followed by another.

use std::{sync::atomic::Ordering, time::Duration};

use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};

use super::{
    Shared,
    engine::{ACT, ASK},
    labels::Labels,
    specification::{self, Surroundings},
    state::Found,
};
use crate::{
    error::{Error, Result},
    provider::{Instance, Order},
};

/// Letters and digits that make an instance's name unlike all others of its function.
const SUFFIX: usize = 8;

impl Shared {
    /// A container that does not run.
    pub(super) async fn create(&self, order: &Order) -> Result<Instance> {
        let image = order.spec.image.trim();
        let doing = format!("make a replica of {}", order.function);
        let known = self.engine.ask(ASK, &doing, self.engine.api().inspect_image(image)).await;
        let known = known.map_err(unknown_image)?;
        let environment = known.config.and_then(|config| config.env).unwrap_or_default();
        let suffix = (0..SUFFIX).map(|_| fastrand::alphanumeric().to_ascii_lowercase());
        let instance = format!("{}-{}", order.function.name(), suffix.collect::<String>());
        let port = specification::port(&order.spec, &environment);
        let labels = Labels { instance, order: order.clone(), port };
        self.network.ensure(&self.engine).await?;
        let making = self.making.read().await;
        let (copies, from, to) =
            (self.copies.clone(), order.secrets.clone(), labels.instance.clone());
        let copied = tokio::task::spawn_blocking(move || copies.make(&to, &from)).await;
        let secrets =
            copied.unwrap_or_else(|error| Err(Error::Failed(format!("ended early: {error}"))))?;
        let made = self.make(&labels, secrets, &doing).await;
        if made.is_err() {
            self.copies.remove(&labels.instance);
        }
        drop(making);
        made?;
        self.instance(&labels.instance).await
    }

    async fn make(
        &self,
        labels: &Labels,
        secrets: Vec<(std::path::PathBuf, String)>,
        doing: &str,
    ) -> Result<()> {
        let around = Surroundings {
            gateway: self.own.gateway(),
            network: &self.network,
            machine: self.machine,
            port: self.gateway.load(Ordering::Relaxed),
            secrets,
        };
        let body = specification::container(labels, &around)?;
        let options = CreateContainerOptionsBuilder::default().name(&labels.container()).build();
        let question = self.engine.api().create_container(Some(options), body);
        let made = self.engine.ask(ACT, doing, question).await.map_err(unknown_image)?;
        for warning in made.warnings {
            tracing::debug!(instance = labels.instance, "Docker: {warning}");
        }
        Ok(())
    }

    /// One that runs, and is kept running.
    pub(super) async fn start(&self, id: &str) -> Result<Instance> {
        let found = self.find(id).await?;
        let doing = format!("start {}", found.labels.order.function);
        if found.is_paused() {
            self.wake(&found, &doing).await?;
        }
        self.network.ensure(&self.engine).await?;
        if !found.is_attached {
            self.network.attach(&self.engine, &found.labels, &found.container, &doing).await?;
        }
        self.set_policy(&found, true).await?;
        let question = self.engine.api().start_container(&found.container, None);
        if let Err(error) = self.engine.ask(ACT, &doing, question).await {
            // It may run in the end where the engine was late: then it is found running.
            if let Err(second) = self.set_policy(&found, false).await {
                tracing::warn!(instance = id, "{second}");
            }
            return Err(error);
        }
        self.instance(id).await
    }

    /// One that runs until it is parked, by us or by the next gateway.
    pub(super) async fn dismiss(&self, id: &str) -> Result<()> {
        let found = self.find(id).await?;
        self.set_policy(&found, false).await
    }

    /// One that does not run, and is left alone.
    pub(super) async fn park(&self, id: &str, grace: Duration) -> Result<()> {
        let found = self.find(id).await?;
        let doing = format!("stop {}", found.labels.order.function);
        self.set_policy(&found, false).await?;
        if found.is_paused() {
            self.wake(&found, &doing).await?;
        }
        // The engine counts whole seconds, and takes what is negative for no end.
        let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
        let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::default().t(seconds).build();
        let question = self.engine.api().stop_container(&found.container, Some(options));
        self.engine.ask(grace.saturating_add(ACT), &doing, question).await
    }

    /// One that is gone.
    pub(super) async fn remove(&self, id: &str) -> Result<()> {
        let found = match self.find(id).await {
            Err(Error::NotFound(_)) => return Ok(()),
            found => found?,
        };
        let doing = format!("remove a replica of {}", found.labels.order.function);
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let question = self.engine.api().remove_container(&found.container, Some(options));
        match self.engine.ask(ACT, &doing, question).await {
            // A conflict: somebody else is removing it.
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(Error::Conflict(_)) => self.wait_until_gone(id, &doing).await?,
            Err(error) => return Err(error),
        }
        self.meter.forget(id);
        let (copies, id) = (self.copies.clone(), id.to_owned());
        // A task that is not run any more has nobody to tell.
        let _ = tokio::task::spawn_blocking(move || copies.remove(&id)).await;
        Ok(())
    }

    async fn wait_until_gone(&self, id: &str, doing: &str) -> Result<()> {
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < ACT {
            match self.find(id).await {
                Err(Error::NotFound(_)) => return Ok(()),
                other => drop(other?),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(self.engine.late(doing, ACT))
    }

    async fn wake(&self, found: &Found, doing: &str) -> Result<()> {
        match self
            .engine
            .ask(ASK, doing, self.engine.api().unpause_container(&found.container))
            .await
        {
            // Somebody else did it.
            Err(Error::Conflict(_)) | Ok(()) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn instance(&self, id: &str) -> Result<Instance> {
        let found = self.find(id).await?;
        let looked = self.look(found).await?;
        looked.ok_or_else(|| Error::NotFound(format!("there is no instance {id}")))
    }
}

/// What there is no image for is the author's to change.
fn unknown_image(error: Error) -> Error {
    match error {
        Error::NotFound(text) => Error::Invalid(text),
        other => other,
    }
}
