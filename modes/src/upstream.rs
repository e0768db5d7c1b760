//! mode=http: one long-lived child, and a reverse proxy to it.
//!
//! A call that comes before the child listens waits for it. The child's life is looked after by
//! one task (`supervise`); everyone else only sees its `State`.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Request, Response, header};
use http_body::Body as _;
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::{
    body::Body,
    deadline::Deadline,
    error::Error,
    logs::Log,
    process::Launcher,
    proxy::{Context, Proxy, Target},
    spool,
    zero_copy::ZeroCopy,
};

mod supervise;

/// What this mode needs to know.
#[derive(Debug)]
pub struct Config {
    /// The child.
    pub launcher: Launcher,
    /// Where its output goes.
    pub log: Log,
    /// Where it listens.
    pub target: Target,
    /// Put in front of every path.
    pub base: String,
    /// Whether a child that died is started again.
    pub restart: bool,
    /// Spools request bodies of unknown length, so that they are sent with one
    /// (`http_buffer_req_body`).
    pub buffer_requests: Option<spool::Config>,
    /// How long a call waits for a child that does not listen yet.
    pub patience: Duration,
    /// Whether large answers are spliced.
    pub zero_copy: ZeroCopy,
}

/// What is known of the child.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// Started, but not listening yet; or about to be started again.
    Starting,
    /// Listening.
    Ready,
    /// Running, but nobody was found listening any more. Calls try all the same, and are told.
    Silent,
    /// Gone for good, and why.
    Dead(String),
}

/// See the module.
#[derive(Debug)]
pub struct Upstream {
    proxy: Arc<Proxy>,
    state: watch::Receiver<State>,
    /// Whether calls need not wait for the state to change.
    open: Arc<AtomicBool>,
    stop: Arc<Notify>,
    doubt: Arc<Notify>,
    buffer_requests: Option<spool::Config>,
    patience: Duration,
}

impl Upstream {
    /// Starts the child.
    ///
    /// # Errors
    /// [`Error::Spawn`] when it cannot be started even once.
    pub fn start(config: Config) -> Result<Self, Error> {
        let proxy = Arc::new(Proxy::new(config.target, &config.base, config.zero_copy));
        let child = supervise::Child::start(&config.launcher, &config.log)?;
        let (tell, state) = watch::channel(State::Starting);
        let (stop, doubt) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let open = Arc::<AtomicBool>::default();
        tokio::spawn(supervise::run(
            child,
            supervise::Duty {
                launcher: config.launcher,
                log: config.log,
                restart: config.restart,
                proxy: Arc::clone(&proxy),
                stop: Arc::clone(&stop),
                doubt: Arc::clone(&doubt),
                tell,
                open: Arc::clone(&open),
            },
        ));
        let (buffer_requests, patience) = (config.buffer_requests, config.patience);
        Ok(Self { proxy, state, open, stop, doubt, buffer_requests, patience })
    }

    /// Whether the child listens.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.state.borrow() == State::Ready
    }

    /// One call.
    ///
    /// # Errors
    /// As [`Proxy::call`]; [`Error::Upstream`] also when the child does not listen in time.
    pub async fn call(
        &self,
        request: Request<Body>,
        mut context: Context,
    ) -> Result<Response<Body>, Error> {
        if !self.open.load(Ordering::Relaxed) {
            // Boxed, as what follows, to keep the future of most calls small.
            Box::pin(Deadline::bound(context.deadline, self.ready())).await?;
            context.began = None;
        }
        let request = match &self.buffer_requests {
            Some(spool) => {
                context.began = None;
                Box::pin(Deadline::bound(context.deadline, measured(request, spool))).await?
            }
            None => request,
        };
        let answered = pin!(self.proxy.call(request, context)).await;
        if matches!(answered, Err(Error::Upstream { .. })) {
            self.doubt.notify_one();
        }
        answered
    }

    async fn ready(&self) -> Result<(), Error> {
        let mut state = self.state.clone();
        let settled = timeout(self.patience, state.wait_for(|state| *state != State::Starting));
        let reason = match settled.await {
            Ok(Ok(state)) => match &*state {
                State::Dead(reason) => reason.clone(),
                State::Ready | State::Silent | State::Starting => return Ok(()),
            },
            Ok(Err(_)) => "has been stopped".to_owned(),
            Err(_) => format!("did not accept a connection within {:?}", self.patience),
        };
        Err(Error::Upstream { authority: self.proxy.authority(), reason })
    }

    /// Done when the child is gone for good: says why.
    pub async fn died(&self) -> String {
        let mut state = self.state.clone();
        match state.wait_for(|state| matches!(state, State::Dead(_))).await.as_deref() {
            Ok(State::Dead(reason)) => reason.clone(),
            // Stopped on purpose, which is not a death.
            _ => std::future::pending().await,
        }
    }

    /// Ends the child and its group; done when it is reaped.
    pub async fn stop(&self) {
        self.stop.notify_one();
        let mut state = self.state.clone();
        while state.changed().await.is_ok() {}
    }
}

/// Gives a body of unknown length a known one.
async fn measured(request: Request<Body>, spool: &spool::Config) -> Result<Request<Body>, Error> {
    if request.body().is_end_stream() || request.body().size_hint().exact().is_some() {
        return Ok(request);
    }
    let (mut head, body) = request.into_parts();
    let stored = spool::collect_body(body, spool).await.map_err(|error| match error {
        Error::OutputTooLarge(limit) => Error::RequestTooLarge(limit),
        error => error,
    });
    let body = stored?.into_body();
    head.headers.remove(header::TRANSFER_ENCODING);
    // The client's 100 was sent when its body was read.
    head.headers.remove(header::EXPECT);
    Ok(Request::from_parts(head, body))
}
