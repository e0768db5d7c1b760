//! Forwards one request to one authority: pooled connections, hop-by-hop rules, upgrades.
//!
//! Nothing of the message is rewritten but what RFC 9110 section 7.6 demands of an intermediary:
//! path and query arrive byte for byte, `Host`, `Content-Length`, content coding and redirects are
//! the function's own business. No proxy variable of the environment is looked at.

use std::{
    net::IpAddr,
    pin::Pin,
    time::{Duration, Instant},
};

use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, request::Parts,
};
use http_body::Body as _;

use crate::{
    body::Body,
    classic::DURATION_HEADER,
    deadline::Deadline,
    error::Error,
    http1::{Broken, Head},
    zero_copy::ZeroCopy,
};

mod answer;
mod connect;
mod connection;
mod exchange;
mod expect;
mod headers;
mod pool;
mod socket;
mod upgrade;
mod upload;

use self::{
    answer::Answer,
    connection::Connection,
    exchange::{Exchange, Failure},
    expect::Gate,
    headers::{Asked, Hop},
    pool::Pool,
    upload::{Framing, Upload},
};
pub use self::{connect::Target, upgrade::Tunnel};

/// For the rest of a request whose answer is complete, when no deadline says how long.
const LINGER: Duration = Duration::from_secs(60);

/// A connection that had died idle says so to the first byte that is sent on it. One that closes
/// later has been at work on the request.
const AT_ONCE: Duration = Duration::from_millis(200);

/// A pool of connections to one authority.
#[derive(Debug)]
pub struct Proxy {
    pool: Pool,
    /// Put in front of every path, without a slash at its end.
    base: String,
    /// What `Host` is when the client names none.
    host: String,
}

/// What a caller knows about one request beside the request itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Who sent it, for `X-Forwarded-For`.
    pub peer: Option<IpAddr>,
    /// When it began, where that was just now: reading the clock costs as much as writing a field
    /// or two.
    pub began: Option<Instant>,
    /// When it has to be over. Server-sent events, NDJSON and upgrades only have to begin by then.
    pub deadline: Option<Deadline>,
    /// How many bytes at the beginning of the path are the caller's own business; `/` stands for
    /// nothing. They end at a slash or at the end of the path.
    pub strip: usize,
}

/// Another authority, which may have to be waited for. Boxed: hardly any request asks for one.
pub type Next<'a> = Pin<Box<dyn Future<Output = Option<&'a Proxy>> + Send + 'a>>;

/// A request that had no answer.
struct Unanswered {
    error: Error,
    /// The request, if nothing of it was sent.
    unsent: Option<Upload>,
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self { error, unsent: None }
    }
}

impl Proxy {
    /// `base` is put in front of every path; `zero_copy` says whether large answers are spliced.
    #[must_use]
    pub fn new(target: Target, base: &str, zero_copy: ZeroCopy) -> Self {
        let host = match &target {
            Target::Tcp { .. } => target.to_string(),
            Target::Unix(_) => "localhost".to_owned(),
        };
        Self {
            pool: Pool::new(target, zero_copy),
            base: base.trim_end_matches('/').to_owned(),
            host,
        }
    }

    /// Whether a connection can be made now.
    pub async fn accepts(&self) -> bool {
        self.pool.target().connect().await.is_ok()
    }

    /// Where requests go, for messages.
    #[must_use]
    pub fn authority(&self) -> String {
        self.pool.target().to_string()
    }

    /// Forwards one request. An upgraded connection is tunnelled in the background; its [`Tunnel`]
    /// is an extension of the response.
    ///
    /// # Errors
    /// [`Error::Upstream`] when there is no answer, [`Error::TimedOut`] when it is late, and the
    /// request body's own.
    pub fn call(
        &self,
        request: Request<Body>,
        context: Context,
    ) -> impl Future<Output = Result<Response<Body>, Error>> {
        self.call_or(request, context, &[], || Box::pin(std::future::ready(None)))
    }

    /// [`call`](Self::call) that goes on to the `next` authority when no connection could be made,
    /// so that nothing of the request has been sent. The function gets the fields `added` in the
    /// place of those of these names.
    ///
    /// # Errors
    /// As [`call`](Self::call); of the last authority that was tried.
    pub async fn call_or<'a>(
        &'a self,
        mut request: Request<Body>,
        context: Context,
        added: &[(&HeaderName, &HeaderValue)],
        mut next: impl FnMut() -> Next<'a>,
    ) -> Result<Response<Body>, Error> {
        let started = context.began.unwrap_or_else(Instant::now);
        // HTTP/1.0 has no `Upgrade` (RFC 9110 section 7.8).
        let may_upgrade = request.version() == Version::HTTP_11;
        let mut asked = Asked::of(request.headers());
        asked.upgrade = asked.upgrade.filter(|_| may_upgrade);
        let upgrade = asked.upgrade.clone();
        let upgrade = upgrade.map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let endless = upgrade.is_some() || asked.stream;
        let deadline = context.deadline;
        let (parts, body) = request.into_parts();
        let mut upload = self.upload(&parts, body, &asked, context, added);

        let (mut chosen, mut now) = (self, started);
        let (mut head, exchange) = loop {
            match chosen.send(&parts.method, upload, now, deadline).await {
                Ok(answered) => break answered,
                // Whoever is asked for another authority counts on its being tried.
                Err(Unanswered { error, unsent: Some(unsent) }) => match next().await {
                    Some(next) => (upload, chosen, now) = (unsent, next, Instant::now()),
                    None => return Err(error),
                },
                Err(Unanswered { error, unsent: None }) => return Err(error),
            }
        };
        drop(parts);
        let mut response = Response::new(Body::empty());
        *response.status_mut() = head.status;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let Some((asked, client)) = upgrade else {
                return Err(chosen.broke("switched protocols without being asked"));
            };
            if !exchange.is_sent() {
                return Err(chosen.broke("switched protocols before it had the request"));
            }
            // The function names the protocol it took, which may be one of several.
            let protocol = head.upgrade.take().unwrap_or(asked);
            headers::prepare_response(&mut head.headers, Some(protocol));
            *response.headers_mut() = head.headers;
            let tunnel = Tunnel::open(client, exchange.connection.into_stream());
            response.extensions_mut().insert(tunnel);
            return Ok(response);
        }
        if let Some(reason) = head.reason.take()
            && let Ok(reason) = hyper::ext::ReasonPhrase::try_from(reason)
        {
            response.extensions_mut().insert(reason);
        }
        headers::prepare_response(&mut head.headers, None);
        let now = Instant::now();
        let took = now.saturating_duration_since(started);
        head.headers.insert(&DURATION_HEADER, crate::classic::seconds(took));
        let endless = endless || headers::is_stream(&head.headers);
        *response.headers_mut() = head.headers;
        let deadline = deadline.filter(|_| !endless);
        let pool = &chosen.pool;
        let zero_copy = pool.zero_copy().towards(context.peer);
        let answer =
            Answer::body(exchange, head.framing, head.persistent, deadline, pool, zero_copy, now);
        if let Some(deadline) = deadline.filter(|_| !matches!(answer, Body::Full(_))) {
            // While the client takes nothing nobody asks the body whether it is late.
            response.extensions_mut().insert(deadline);
        }
        Ok(response.map(|_| answer))
    }

    /// What goes to the function.
    fn upload(
        &self,
        head: &Parts,
        body: Body,
        asked: &Asked,
        context: Context,
        added: &[(&HeaderName, &HeaderValue)],
    ) -> Upload {
        let (framing, gate) = if body.is_end_stream() {
            // Even no body has a length, if somebody gave it one.
            (asked.has_length.then_some(Framing::Length(0)), None)
        } else {
            let length = body.size_hint().exact();
            (Some(length.map_or(Framing::Chunked, Framing::Length)), Gate::of(&head.headers))
        };
        let hop = Hop {
            base: &self.base,
            strip: context.strip,
            upgrade: asked.upgrade.as_ref(),
            peer: context.peer,
            framing,
            host: &self.host,
            added,
        };
        let written = headers::request(head, asked, hop);
        Upload::new(written, body, framing, gate)
    }

    /// Sends on a pooled connection; once more on a new one when the function had closed the first
    /// and cannot have seen the request, or does no harm when it sees it twice (RFC 9112 section
    /// 9.3.1) and closed at once.
    async fn send(
        &self,
        method: &Method,
        mut upload: Upload,
        now: Instant,
        deadline: Option<Deadline>,
    ) -> Result<(Head, Exchange), Unanswered> {
        let to_head = *method == Method::HEAD;
        // What may be repeated is sent again if the connection turns out to be closed.
        let sure = !(is_safe(method) && upload.is_bodiless());
        if let Some(connection) = self.pool.take(sure, now) {
            let mut exchange = Exchange::new(connection, upload, to_head);
            match exchange.head(deadline).await {
                Ok(head) => return Ok((head, exchange)),
                Err(Failure::Closed) => {
                    match exchange.again(is_safe(method) && now.elapsed() < AT_ONCE) {
                        Some(unanswered) => upload = unanswered,
                        None => return Err(self.blame(Failure::Closed).into()),
                    }
                }
                Err(failure) => return Err(self.blame(failure).into()),
            }
        }
        // Boxed: rare, and larger than all the rest of a call's future.
        let connection = match Box::pin(Deadline::bound(deadline, self.connect())).await {
            Ok(connection) => connection,
            Err(error) => return Err(Unanswered { error, unsent: Some(upload) }),
        };
        let mut exchange = Exchange::new(connection, upload, to_head);
        match exchange.head(deadline).await {
            Ok(head) => Ok((head, exchange)),
            Err(failure) => Err(self.blame(failure).into()),
        }
    }

    async fn connect(&self) -> Result<Connection, Error> {
        self.pool.connect().await.map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "refused the connection".to_owned(),
                std::io::ErrorKind::NotFound => "is not there: no such socket".to_owned(),
                _ => format!("could not be reached: {error}"),
            };
            self.broke(&reason)
        })
    }

    fn blame(&self, failure: Failure) -> Error {
        match failure {
            Failure::Call(error) => error,
            Failure::Closed => self.broke("closed the connection before it answered"),
            Failure::Broken(Broken::TooLarge) => {
                self.broke("sent a response head that is too large")
            }
            Failure::Broken(broken) => {
                self.broke(&format!("sent an answer that is not HTTP: {broken}"))
            }
        }
    }

    fn broke(&self, reason: &str) -> Error {
        Error::Upstream { authority: self.authority(), reason: reason.to_owned() }
    }
}

/// RFC 9110 section 9.2.1. PUT and DELETE are idempotent, but what is deleted twice is not found
/// the second time, and the caller would be told so.
fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(method)
}
