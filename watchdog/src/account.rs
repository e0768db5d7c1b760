//! One access line and one count a call, written when its last byte is on its way or the
//! connection is cut, whichever way the call ends.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::{Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use modes::{Body, Deadline, Error, process::Exit, proxy::Tunnel};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    limit::Permit,
    log::{self, Log},
    metrics::{InFlight, Metrics},
    phase::{Flushed, Phase},
};

mod sent;

pub use self::sent::Sent;

/// Stands for "no answer": the client left before there was one (nginx's code, not on the wire).
const CLIENT_CLOSED: u16 = 499;

/// An identifier needs no more characters, and the log is not a place to fill for strangers.
const LONGEST_CALL_ID: usize = 128;

/// Where calls are accounted for.
#[derive(Debug)]
pub struct Ledger {
    /// The counts.
    pub metrics: Metrics,
    /// The lines.
    pub log: Arc<Log>,
    /// Calls that are not over, tunnels included.
    /// Whatever is still open ends now.
    cut: CancellationToken,
    open: AtomicUsize,
    emptied: Notify,
}

impl Ledger {
    /// An empty one; `cut` ends the tunnels, which outlive their connections.
    #[must_use]
    pub fn new(metrics: Metrics, log: Arc<Log>, cut: CancellationToken) -> Self {
        Self { metrics, log, cut, open: AtomicUsize::new(0), emptied: Notify::new() }
    }

    /// How many calls are not over.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Done once no call is open.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.open() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// Whoever wants to know how a call ended, beside the [`Ledger`].
pub trait Witness: std::fmt::Debug + Send {
    /// The kernel has its last byte, or it was cut; `took` is since its request head was complete.
    fn ended(self: Box<Self>, status: StatusCode, took: Duration);
}

/// One open call. Dropped without an answer, it is accounted for as one whose client left.
#[derive(Debug)]
pub struct Entry {
    ledger: Arc<Ledger>,
    phase: Arc<Phase>,
    method: Method,
    target: String,
    call_id: Option<String>,
    quiet: bool,
    started: Instant,
    version: Version,
    status: Option<StatusCode>,
    /// Where the body begins in what the connection carries, in bytes of bodies.
    from: u64,
    /// What hyper was handed of the body, in bytes.
    bytes: u64,
    /// What that takes on the wire besides, as the sizes of chunks.
    framing: u64,
    /// What went wrong after all, or why the status is what it is.
    error: Option<String>,
    /// The kernel has not taken everything.
    cut: bool,
    permit: Option<Permit>,
    witness: Option<Box<dyn Witness>>,
    _in_flight: InFlight,
}

impl Entry {
    /// Opens the call that `request` begins on the connection of `phase`.
    #[must_use]
    pub fn open<B>(ledger: &Arc<Ledger>, phase: &Arc<Phase>, request: &Request<B>) -> Self {
        ledger.open.fetch_add(1, Ordering::AcqRel);
        let text =
            |name| request.headers().get(name).map(|v| String::from_utf8_lossy(v.as_bytes()));
        Self {
            ledger: Arc::clone(ledger),
            phase: Arc::clone(phase),
            method: request.method().clone(),
            target: target(request.uri()),
            call_id: text(header::HeaderName::from_static("x-call-id"))
                .map(|id| id.chars().take(LONGEST_CALL_ID).collect()),
            quiet: text(header::USER_AGENT).is_some_and(|agent| agent.starts_with("kube-probe")),
            started: Instant::now(),
            version: request.version(),
            status: None,
            from: 0,
            bytes: 0,
            framing: 0,
            error: None,
            cut: true,
            permit: None,
            witness: None,
            _in_flight: ledger.metrics.begin(),
        }
    }

    /// The call keeps its place until it is over.
    pub fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// Tells `witness` when it is over.
    pub fn tell(&mut self, witness: Box<dyn Witness>) {
        self.witness = Some(witness);
    }

    /// Since the request head was complete.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the request body notes that it was given up.
    #[must_use]
    pub fn unread(&self) -> Arc<AtomicBool> {
        self.phase.unread()
    }

    /// Why the answer is an error.
    pub fn blame(&mut self, error: &Error) {
        self.error = Some(error.to_string());
    }

    /// From here on the response's body carries the entry; a tunnel carries it beyond that.
    #[must_use]
    pub fn answer(mut self, mut response: Response<Body>) -> Response<Sent> {
        self.status = Some(response.status());
        if let Some(exit) = response.extensions_mut().remove::<Exit>() {
            self.error = Some(format!("the function failed: {exit}"));
        }
        if let Some(deadline) = response.extensions_mut().remove::<Deadline>() {
            self.phase.bound(deadline);
        }
        if let Some(mut tunnel) = response.extensions_mut().remove::<Tunnel>() {
            self.phase.become_tunnel();
            self.cut = false;
            tokio::spawn(async move {
                tokio::select! {
                    () = tunnel.closed() => {}
                    () = self.ledger.cut.cancelled() => {
                        tunnel.cut();
                        self.error = Some("the watchdog stopped before it was closed".to_owned());
                    }
                }
                self.bytes = tunnel.to_client();
                drop(self);
            });
            return response.map(Sent::unaccounted);
        }
        let status = response.status();
        let bodiless = self.method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        response.map(|body| {
            if bodiless || body.is_end_stream() {
                // hyper will not ask for the body.
                self.from = self.phase.handed();
                self.complete();
                return Sent::unaccounted(body);
            }
            self.from = self.phase.handed();
            Sent::accounted(body, self)
        })
    }

    /// hyper has the whole response: the place is free, and the rest is up to the kernel.
    fn complete(mut self) {
        self.permit = None;
        self.phase.hand(self.from + self.bytes);
        let phase = Arc::clone(&self.phase);
        phase.end_call(Some(Box::new(self)));
    }
}

impl Entry {
    /// How much of the body of a response that was cut has gone: what the kernel took, but for what
    /// it threw away when the connection was reset.
    fn gone(&self) -> u64 {
        let lost = self.phase.lost();
        // The sizes of chunks among what was lost are as frequent there as in all of it.
        let framed = u128::from(self.bytes + self.framing);
        let lost = u128::from(lost) * u128::from(self.bytes) / framed;
        let lost = u64::try_from(lost).unwrap_or(u64::MAX);
        self.phase.taken().saturating_sub(lost).saturating_sub(self.from).min(self.bytes)
    }
}

impl Flushed for Entry {
    fn flushed(mut self: Box<Self>) {
        self.cut = false;
    }
}

/// Writes the line and the count: the one place where a call ends.
impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        // Only what went wrong needs words.
        let why = (self.cut && self.error.is_none()).then(|| self.phase.why()).flatten();
        let (status, error) = match (self.status, &self.error) {
            (None, _) => {
                let left = "the client left before it had an answer";
                (CLIENT_CLOSED, Some(why.as_deref().unwrap_or(left)))
            }
            (Some(status), None) if self.cut => {
                let left = "the client left before it had everything";
                (status.as_u16(), Some(why.as_deref().unwrap_or(left)))
            }
            (Some(status), error) => (status.as_u16(), error.as_deref()),
        };
        let bytes = if self.cut && self.bytes > 0 { self.gone() } else { self.bytes };
        let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.ledger.metrics.record(code, (&self.method).into(), took);
        if !self.quiet {
            self.ledger.log.call(&log::Call {
                method: self.method.as_str(),
                target: &self.target,
                status,
                bytes,
                took,
                call_id: self.call_id.as_deref(),
                error,
            });
        }
        self.permit = None;
        if let Some(witness) = self.witness.take() {
            witness.ended(code, took);
        }
        if self.ledger.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.ledger.emptied.notify_waiters();
        }
    }
}

/// Path and query byte for byte; whatever else the request line held is not the function's.
fn target(uri: &http::Uri) -> String {
    uri.path_and_query().map_or_else(|| uri.to_string(), |target| target.as_str().to_owned())
}
