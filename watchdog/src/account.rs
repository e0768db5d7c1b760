//! One access line and one count a call, written when its last byte is on its way or the
//! connection is cut, whichever way the call ends.

use std::{
    borrow::Cow,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    task::Poll,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, uri::PathAndQuery};
use http_body::Body as _;
use modes::{Body, Deadline, Error, deadline::Alarm, process::Exit, proxy::Tunnel};
use tokio_util::sync::CancellationToken;

use crate::{
    fields::Fields,
    limit::Permit,
    log::{self, Log},
    metrics::Metrics,
    open::Open,
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
    open: Open,
    /// Whatever is still open ends now.
    cut: CancellationToken,
}

impl Ledger {
    /// An empty one; `cut` ends the tunnels, which outlive their connections.
    #[must_use]
    pub fn new(metrics: Metrics, log: Arc<Log>, cut: CancellationToken) -> Self {
        Self { metrics, log, open: Open::default(), cut }
    }

    /// How many calls are not over.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.count()
    }

    /// The text that a scrape gets.
    #[must_use]
    pub fn render(&self) -> String {
        self.metrics.render(self.open())
    }

    /// Done once no call is open.
    pub async fn empty(&self) {
        self.open.none().await;
    }
}

/// One connection's place in the ledger, shared by the calls on it: counted references to what all
/// connections have are for its beginning and end, not for each call.
#[derive(Debug)]
pub struct Account {
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// What the connection is doing.
    pub phase: Arc<Phase>,
    /// For the time until a response's head.
    head: Mutex<Alarm>,
}

impl Account {
    /// Of a new connection.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, phase: Arc<Phase>) -> Self {
        Self { ledger, phase, head: Mutex::default() }
    }

    /// What `answer` comes to, or `None` when the deadline passes first.
    pub async fn limit<T>(
        &self,
        deadline: Deadline,
        mut answer: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            // One call at a time is on a connection, and nothing that panics runs under the lock.
            let mut alarm = self.head.lock().unwrap_or_else(PoisonError::into_inner);
            match alarm.poll_passed(deadline, cx) {
                Some(_) => Poll::Ready(None),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// Whoever wants to know how a call ended, beside the [`Ledger`].
pub trait Witness: std::fmt::Debug + Send + Sync {
    /// The kernel has its last byte, or it was cut; `took` is since its request head was complete.
    fn ended(&self, status: StatusCode, took: Duration);
}

/// One open call. Dropped without an answer, it is accounted for as one whose client left.
#[derive(Debug)]
pub struct Entry {
    account: Arc<Account>,
    method: Method,
    target: Target,
    call_id: Option<HeaderValue>,
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
    /// When it had.
    ended: Option<Instant>,
    permit: Option<Permit>,
    witness: Option<Arc<dyn Witness>>,
}

impl Entry {
    /// Opens the call that `request` begins on the connection of `account`. Boxed: it moves with
    /// the call, its answer and the answer's body.
    #[must_use]
    pub fn open<B>(account: &Arc<Account>, request: &Request<B>, fields: &Fields<'_>) -> Box<Self> {
        let ledger = &account.ledger;
        ledger.open.begin();
        Box::new(Self {
            account: Arc::clone(account),
            method: request.method().clone(),
            target: Target::of(request.uri()),
            call_id: fields.call_id.cloned(),
            quiet: fields.agent.is_some_and(|agent| agent.as_bytes().starts_with(b"kube-probe")),
            started: Instant::now(),
            version: request.version(),
            status: None,
            from: 0,
            bytes: 0,
            framing: 0,
            error: None,
            cut: true,
            ended: None,
            permit: None,
            witness: None,
        })
    }

    /// No line is written of it; it is counted all the same.
    pub fn hush(&mut self) {
        self.quiet = true;
    }

    /// The call keeps its place until it is over.
    pub fn hold(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// When the request head was complete.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Tells `witness` when it is over.
    pub fn tell(&mut self, witness: Arc<dyn Witness>) {
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
        self.account.phase.unread()
    }

    /// Why the answer is an error.
    pub fn blame(&mut self, error: &Error) {
        self.error = Some(error.to_string());
    }

    /// From here on the response's body carries the entry; a tunnel carries it beyond that.
    #[must_use]
    pub fn answer(mut self: Box<Self>, mut response: Response<Body>) -> Response<Sent> {
        self.status = Some(response.status());
        if let Some(exit) = response.extensions_mut().remove::<Exit>() {
            self.error = Some(format!("the function failed: {exit}"));
        }
        if let Some(deadline) = response.extensions_mut().remove::<Deadline>() {
            self.account.phase.bound(deadline);
        }
        if let Some(mut tunnel) = response.extensions_mut().remove::<Tunnel>() {
            self.account.phase.become_tunnel();
            self.cut = false;
            tokio::spawn(async move {
                tokio::select! {
                    () = tunnel.closed() => {}
                    () = self.account.ledger.cut.cancelled() => {
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
                self.from = self.account.phase.handed();
                self.complete();
                return Sent::unaccounted(body);
            }
            self.from = self.account.phase.handed();
            Sent::accounted(body, self)
        })
    }

    /// hyper has the whole response: the place is free, and the rest is up to the kernel.
    fn complete(mut self: Box<Self>) {
        self.permit = None;
        self.account.phase.hand(self.from + self.bytes);
        let phase = Arc::clone(&self.account.phase);
        phase.end_call(Some(self));
    }
}

impl Entry {
    /// How much of the body of a response that was cut has gone: what the kernel took, but for what
    /// it threw away when the connection was reset.
    fn gone(&self) -> u64 {
        let lost = self.account.phase.lost();
        // The sizes of chunks among what was lost are as frequent there as in all of it.
        let framed = u128::from(self.bytes + self.framing);
        let lost = u128::from(lost) * u128::from(self.bytes) / framed;
        let lost = u64::try_from(lost).unwrap_or(u64::MAX);
        self.account.phase.taken().saturating_sub(lost).saturating_sub(self.from).min(self.bytes)
    }
}

impl Flushed for Entry {
    fn flushed(mut self: Box<Self>, now: tokio::time::Instant) {
        self.cut = false;
        self.ended = Some(now.into_std());
    }
}

/// Writes the line and the count: the one place where a call ends.
impl Drop for Entry {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or_else(Instant::now);
        let took = ended.saturating_duration_since(self.started);
        // Only what went wrong needs words.
        let why = (self.cut && self.error.is_none()).then(|| self.account.phase.why()).flatten();
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
        self.account.ledger.metrics.record(code, (&self.method).into(), took);
        if !self.quiet {
            let call_id = self.call_id.as_ref().map(|id| {
                // Most are ASCII, which is told at once.
                let known = id.to_str().map(Cow::Borrowed);
                known.unwrap_or_else(|_| String::from_utf8_lossy(id.as_bytes()))
            });
            self.account.ledger.log.call(&log::Call {
                method: self.method.as_str(),
                target: self.target.as_str(),
                status,
                bytes,
                at: ended,
                took,
                call_id: call_id.as_deref().map(beginning),
                error,
            });
        }
        self.permit = None;
        if let Some(witness) = self.witness.take() {
            witness.ended(code, took);
        }
        self.account.ledger.open.end();
    }
}

/// Path and query byte for byte; whatever else the request line held is not the function's.
#[derive(Debug)]
enum Target {
    Path(PathAndQuery),
    Other(String),
}

impl Target {
    fn of(uri: &Uri) -> Self {
        let path = uri.path_and_query().cloned();
        path.map_or_else(|| Self::Other(uri.to_string()), Self::Path)
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Path(path) => path.as_str(),
            Self::Other(text) => text,
        }
    }
}

/// As much of an identifier as is logged.
fn beginning(id: &str) -> &str {
    let is_short = id.len() <= LONGEST_CALL_ID;
    let end = if is_short { None } else { id.char_indices().nth(LONGEST_CALL_ID) };
    end.map_or(id, |(end, _)| &id[..end])
}
