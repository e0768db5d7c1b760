//! Puts the parts together, and takes them apart again.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, runtime::Handle, task::JoinSet};
use watchdog::{
    account::Ledger,
    connection::Timeouts,
    doors::Doors,
    log::{self, Log},
    metrics::Metrics,
    runtimes::{Runtimes, Work},
};

use crate::{
    api::{self, Api},
    auth::Credentials,
    control::{self, Control},
    env::Environment,
    invoke::{Invoker, Origin},
    metrics,
    namespaces::Namespaces,
    private_file,
    promises::Promises,
    provider::{
        Provider,
        docker::{self, Containers},
        process::{self, Processes},
    },
    registry::Registry,
    secrets::Secrets,
    server::{self, Front, Loops},
    settings::{ProviderKind, Settings},
};

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The provider, or what it knows.
    #[error("{0}")]
    Provider(#[from] crate::error::Error),
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    front: Arc<Front>,
    control: Arc<Control>,
    provider: Arc<dyn Provider>,
    doors: Doors,
    drain: Duration,
    listeners: JoinSet<io::Result<()>>,
    /// They end with this.
    _loops: Loops,
}

/// How log lines look.
#[must_use]
pub fn log_config(settings: &Settings) -> log::Config {
    let (format, access) = (settings.log_format, settings.access_log);
    log::Config { format, prefix: true, access, call_id: true }
}

impl Gateway {
    /// Finds every function again and serves.
    ///
    /// # Errors
    /// What is in the way, and what to do about it.
    pub async fn start(
        settings: &Settings,
        environment: &Environment,
        log: Arc<Log>,
    ) -> Result<Self, Error> {
        let data = &settings.data;
        private_file::directory(data)?;
        let credentials = credentials(settings)?;
        let secrets = Arc::new(Secrets::open(data)?);
        let namespaces = Arc::new(Namespaces::open(data)?);
        let promises = Promises::open(data)?;
        let listener = server::bind(SocketAddr::new(settings.address, settings.port))?;
        let address = listener.local_addr()?;
        let metrics_listener =
            settings.metrics_port.map(|port| server::bind(SocketAddr::new(settings.address, port)));
        let metrics_listener = metrics_listener.transpose()?;

        let provider = provider(settings, environment).await?;
        provider.gateway_at(address.port());
        let (registry, asked) = Registry::new();
        let registry = Arc::new(registry);
        let control = Control::start(
            Arc::clone(&provider),
            Arc::clone(&registry),
            asked,
            Arc::clone(&secrets),
            promises,
            control::Settings { longest_call: settings.upstream_timeout, ..Default::default() },
        )
        .await?;

        let doors = Doors::default();
        let ledger = Arc::new(Ledger::new(Metrics::default(), log, doors.cut.clone()));
        let invoker = Invoker {
            settings: settings.into(),
            registry: Arc::clone(&registry),
            secrets: Arc::clone(&secrets),
            ledger,
        };
        let inner = provider.inner_addresses();
        let control_inside = credentials.is_some();
        let api = api::router(Api {
            local_only: credentials.is_none() && !settings.allow_open,
            credentials: credentials.map(Arc::new),
            control: Arc::clone(&control),
            registry: Arc::clone(&registry),
            provider: Arc::clone(&provider),
            secrets,
            namespaces,
            closing: doors.closing.token(),
        });
        let front = Arc::new(Front {
            invoker,
            api,
            first: Handle::current(),
            inner: inner.clone(),
            control_inside,
            control_log: settings.control_log,
        });

        let timeouts = Timeouts {
            head: settings.read_timeout,
            idle: settings.idle_timeout,
            write: settings.write_timeout,
        };
        let loops = Loops::new(Runtimes::start(Work::Any)?.into());
        let mut listeners = JoinSet::new();
        let mut listen = |listener, origin| {
            let (front, doors) = (Arc::clone(&front), doors.clone());
            let accepting =
                server::accept(listener, origin, front, timeouts, doors, Arc::clone(&loops));
            listeners.spawn(async move {
                accepting.await;
                Ok(())
            });
        };
        // All addresses are these, too.
        for inner in inner.iter().filter(|_| !settings.address.is_unspecified()) {
            listen(server::bind(SocketAddr::new(*inner, address.port()))?, Origin::Inside);
        }
        listen(listener, Origin::Outside);
        if let Some(listener) = metrics_listener {
            tracing::info!("Metrics listening on {}", listener.local_addr()?);
            listeners.spawn(serve_metrics(listener, registry, Arc::clone(&front), doors.clone()));
        }
        tracing::info!("Listening on {address}");
        let drain = settings.drain_timeout;
        Ok(Self { address, front, control, provider, doors, drain, listeners, _loops: loops })
    }

    /// Ends when calls under way have, or their time is over.
    pub async fn stop(mut self) {
        tracing::info!("no new calls; those under way have {:?} to end", self.drain);
        self.control.stop();
        self.doors.drain(self.drain, &self.front.invoker.ledger, std::future::pending()).await;
        self.listeners.shutdown().await;
        self.provider.close().await;
    }
}

/// The back end that was asked for.
async fn provider(
    settings: &Settings,
    environment: &Environment,
) -> Result<Arc<dyn Provider>, crate::error::Error> {
    match settings.provider {
        ProviderKind::Process => Ok(Processes::open(process::Settings {
            data: settings.data.clone(),
            program: process::Settings::OWN.into(),
            environment: environment.pairs(),
            control_groups: settings.control_groups,
        })
        .await?),
        ProviderKind::Docker => {
            // The engine does not know where this process is.
            let data = std::path::absolute(&settings.data);
            let data = data.map_err(|error| crate::error::Error::Failed(error.to_string()))?;
            Ok(Containers::open(docker::Settings {
                host: settings.docker_host.clone(),
                network: settings.docker_network.clone(),
                data,
                config: settings.docker_config.as_ref().map(|dir| dir.join("config.json")),
                helpers: docker::Helpers::new(environment.pairs()),
            })
            .await?)
        }
    }
}

/// Who may change functions; `None` for everybody.
fn credentials(settings: &Settings) -> io::Result<Option<Credentials>> {
    if !settings.basic_auth {
        tracing::warn!("basic_auth=false: everybody on {} may change functions", settings.address);
        return Ok(None);
    }
    if let Some(dir) = &settings.credentials {
        return Credentials::read(dir).map(Some);
    }
    let (credentials, made) = Credentials::read_or_make(&settings.data)?;
    if let Some(path) = made {
        tracing::info!("the password of admin is in {}", path.display());
    }
    Ok(Some(credentials))
}

/// `/metrics` and `/healthz`, and nothing else.
async fn serve_metrics(
    listener: TcpListener,
    registry: Arc<Registry>,
    front: Arc<Front>,
    doors: Doors,
) -> io::Result<()> {
    let scrape = move || {
        let (registry, front) = (Arc::clone(&registry), Arc::clone(&front));
        async move {
            let text = metrics::render(&registry) + &front.invoker.ledger.render();
            ([("content-type", watchdog::metrics::CONTENT_TYPE)], text)
        }
    };
    let routes = axum::Router::new()
        .route("/metrics", axum::routing::get(scrape))
        .route("/healthz", axum::routing::get(|| async { "OK" }));
    let closed = async move { doors.cut.cancelled().await };
    axum::serve(listener, routes).with_graceful_shutdown(closed).await
}

impl From<&Settings> for crate::invoke::Settings {
    fn from(settings: &Settings) -> Self {
        Self {
            timeout: settings.upstream_timeout,
            wait: settings.wait_timeout,
            most_waiting: settings.most_waiting,
            read_timeout: settings.read_timeout,
        }
    }
}
