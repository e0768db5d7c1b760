//! The closed set of modes: an enum that only delegates.

use std::{pin::pin, sync::Arc};

use http::{Request, Response};

use crate::{
    Body, Context, Error,
    classic::{self, Classic},
    spare,
    static_files::{self, StaticFiles},
    streaming::{self, Streaming},
    upstream::{self, Upstream},
};

/// One mode's configuration.
#[derive(Debug)]
pub enum Config {
    /// mode=classic and mode=serializing.
    Classic(classic::Config),
    /// mode=streaming.
    Streaming(streaming::Config),
    /// mode=http.
    Upstream(upstream::Config),
    /// mode=static.
    Static(static_files::Config),
}

impl Config {
    /// Whether processes are started before their calls.
    #[must_use]
    pub fn has_spares(&self) -> bool {
        match self {
            Self::Classic(config) => config.spares.is_some(),
            Self::Streaming(config) => config.spares.is_some(),
            Self::Upstream(_) | Self::Static(_) => false,
        }
    }

    /// Whether calls are answered without another process.
    #[must_use]
    pub fn works_alone(&self) -> bool {
        match self {
            Self::Classic(_) | Self::Streaming(_) | Self::Upstream(_) => false,
            Self::Static(_) => true,
        }
    }
}

/// A way to answer requests.
#[derive(Debug)]
pub enum Mode {
    /// See [`classic`].
    Classic(Classic),
    /// See [`streaming`].
    Streaming(Streaming),
    /// See [`upstream`].
    Upstream(Upstream),
    /// See [`static_files`].
    Static(StaticFiles),
}

/// Why a mode cannot serve at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The long-lived child could not be started.
    #[error(transparent)]
    Child(#[from] Error),
    /// The root of the static files cannot be served.
    #[error(transparent)]
    Root(#[from] static_files::RootError),
}

impl Mode {
    /// Builds a mode, and starts its child if it has one. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// What makes every call impossible.
    pub fn build(config: Config) -> Result<Self, StartError> {
        Ok(match config {
            Config::Classic(config) => Self::Classic(Classic::new(config)),
            Config::Streaming(config) => Self::Streaming(Streaming::new(config)),
            Config::Upstream(config) => Self::Upstream(Upstream::start(config)?),
            Config::Static(config) => Self::Static(StaticFiles::new(config)?),
        })
    }

    /// One call.
    ///
    /// # Errors
    /// Why there is no response. What goes wrong after it began is the body's last item.
    pub async fn call(
        &self,
        request: Request<Body>,
        context: Context,
    ) -> Result<Response<Body>, Error> {
        match self {
            // Boxed: hyper moves the future of a call, and these are kilobytes.
            Self::Classic(mode) => Box::pin(mode.call(request, context.deadline)).await,
            Self::Streaming(mode) => Box::pin(mode.call(request, context.deadline)).await,
            // Pinned where they are made, for the same reason.
            Self::Upstream(mode) => pin!(mode.call(request, context)).await,
            Self::Static(mode) => pin!(mode.call(request, context.began)).await,
        }
    }

    /// Whether a call would be answered at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            Self::Classic(mode) => mode.source.is_ready(),
            Self::Streaming(mode) => mode.source.is_ready(),
            Self::Upstream(mode) => mode.is_ready(),
            Self::Static(_) => true,
        }
    }

    /// What happened to spares, where there are any.
    #[must_use]
    pub fn spares(&self) -> Option<Arc<spare::Counters>> {
        match self {
            Self::Classic(mode) => mode.source.counters(),
            Self::Streaming(mode) => mode.source.counters(),
            Self::Upstream(_) | Self::Static(_) => None,
        }
    }

    /// Done when no call can ever be answered any more: says why.
    pub async fn died(&self) -> String {
        match self {
            Self::Upstream(mode) => mode.died().await,
            Self::Classic(_) | Self::Streaming(_) | Self::Static(_) => std::future::pending().await,
        }
    }

    /// Ends what the mode keeps running between calls.
    pub async fn stop(&self) {
        match self {
            Self::Classic(mode) => mode.source.stop().await,
            Self::Streaming(mode) => mode.source.stop().await,
            Self::Upstream(mode) => mode.stop().await,
            Self::Static(_) => {}
        }
    }
}
