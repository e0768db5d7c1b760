//! The route table: `/_/health`, `/_/ready`, and everything else to the function.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use modes::{Body, Context, Deadline, Mode, classic::DURATION_HEADER};

use crate::{
    account::{Entry, Ledger, Sent},
    auth::Authenticator,
    duration,
    health::Health,
    limit::Limiter,
    phase::Phase,
    respond::{self, Style},
};

/// The time-outs of a call.
#[derive(Clone, Debug)]
pub struct Config {
    /// For the whole call.
    pub exec_timeout: Option<Duration>,
    /// For any stretch in which no byte of the request body arrives.
    pub read_timeout: Option<Duration>,
    /// For the response head.
    pub head_timeout: Option<Duration>,
    /// Whose statuses are sent.
    pub style: Style,
    /// Of every answer of a forking mode of of-watchdog, errors too.
    pub content_type: Option<HeaderValue>,
}

/// What a request passes through, in this order.
#[derive(Debug)]
pub struct Router {
    /// Time-outs.
    pub config: Config,
    /// Accounts.
    pub ledger: Arc<Ledger>,
    /// Probes.
    pub health: Health,
    /// Who may call.
    pub auth: Option<Authenticator>,
    /// How many at once.
    pub limiter: Limiter,
    /// The function.
    pub mode: Mode,
}

impl Router {
    /// Answers one request of `peer`, on the connection of `phase`.
    pub async fn route(
        &self,
        request: Request<Incoming>,
        phase: &Arc<Phase>,
        peer: Option<IpAddr>,
    ) -> Response<Sent> {
        phase.begin_call(request.version());
        let request = with_target_host(request);
        if let Some(refused) = refusal(&request) {
            return Entry::open(&self.ledger, phase, &request).answer(refused);
        }
        match request.uri().path() {
            "/_/health" => {
                phase.end_call(None);
                return Sent::probe(self.health.health(request.method()));
            }
            "/_/ready" => {
                let context = self.context(&request, peer);
                let (head, _) = request.into_parts();
                let (health, method) = (&self.health, &head.method);
                // Boxed: hyper moves the future of every request, probe or not.
                let ready = Box::pin(health.ready(
                    method,
                    head.headers,
                    &self.mode,
                    &self.limiter,
                    context,
                ))
                .await;
                phase.end_call(None);
                return Sent::probe(ready);
            }
            _ => {}
        }
        let mut entry = Entry::open(&self.ledger, phase, &request);
        let response = self.call(request, peer, &mut entry).await;
        entry.answer(response)
    }

    async fn call(
        &self,
        mut request: Request<Incoming>,
        peer: Option<IpAddr>,
        entry: &mut Entry,
    ) -> Response<Body> {
        if let Some(auth) = &self.auth {
            match Box::pin(auth.check(request.headers())).await {
                Ok(spent) => {
                    let spent = HeaderValue::try_from(format!("{:.6}", spent.as_secs_f64()));
                    let spent = spent.unwrap_or_else(|_| HeaderValue::from_static("0"));
                    request.headers_mut().insert("x-auth-seconds", spent);
                }
                Err(denied) => return denied.into_response().map(Body::full),
            }
        }
        match self.limiter.enter().await {
            Ok(permit) => entry.hold(permit),
            Err(exceeded) => return respond::exceeded(exceeded),
        }
        let context = self.context(&request, peer);
        let read_timeout = self.config.read_timeout;
        let unread = entry.unread();
        let request = request.map(|body| Body::received(body, read_timeout, Some(unread)));
        let calling = self.mode.call(request, context);
        let answered = match self.config.head_timeout {
            None => calling.await,
            Some(allowed) => tokio::time::timeout(allowed, calling)
                .await
                .unwrap_or(Err(modes::Error::HeadTimedOut(allowed))),
        };
        match answered {
            Ok(response) => response,
            Err(error) => {
                entry.blame(&error);
                let mut response = respond::error(&error, self.config.style);
                if let Some(content_type) = self.config.content_type.clone() {
                    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
                }
                if self.config.style == Style::Of {
                    let seconds = format!("{:.6}", entry.age().as_secs_f64());
                    if let Ok(seconds) = HeaderValue::try_from(seconds) {
                        response.headers_mut().insert(DURATION_HEADER, seconds);
                    }
                }
                response
            }
        }
    }

    /// `X-Timeout` shortens the call, never lengthens it; what is not a positive Go duration is
    /// ignored.
    fn context<B>(&self, request: &Request<B>, peer: Option<IpAddr>) -> Context {
        let asked = request.headers().get("x-timeout").and_then(|value| value.to_str().ok());
        let asked = asked.and_then(duration::parse_go).and_then(duration::GoDuration::positive);
        let allowed = [asked, self.config.exec_timeout].into_iter().flatten().min();
        Context { peer, deadline: allowed.map(Deadline::after) }
    }
}

/// The authority of an absolute target stands in for `Host`, whatever that said (RFC 9112 section
/// 3.2.2). CONNECT has nothing but an authority, and is refused.
fn with_target_host<B>(mut request: Request<B>) -> Request<B> {
    if request.uri().scheme().is_some()
        && let Some(authority) = request.uri().authority()
        // What comes before an @ is not part of the host (RFC 9110 section 7.2).
        && let Some(host) = authority.as_str().rsplit('@').next()
        && let Ok(host) = HeaderValue::from_str(host)
    {
        request.headers_mut().insert(header::HOST, host);
    }
    request
}

/// `uri-host [ ":" port ]` (RFC 9110 section 7.2), as far as its characters go (RFC 3986 section
/// 3.2.2). It may be empty.
fn is_host(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%:[]".contains(byte))
}

/// What is not a request for the function at all.
fn refusal<B>(request: &Request<B>) -> Option<Response<Body>> {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    // RFC 9112 section 3.2.
    if hosts > 1 || (hosts == 0 && request.version() == Version::HTTP_11) {
        let why = "a request needs exactly one Host header";
        return Some(respond::refused(StatusCode::BAD_REQUEST, why));
    }
    if headers.get(header::HOST).is_some_and(|host| !is_host(host)) {
        let why = "the Host header is not a host";
        return Some(respond::refused(StatusCode::BAD_REQUEST, why));
    }
    // RFC 9110 section 10.1.1.
    let known = |v: &HeaderValue| v.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !headers.get_all(header::EXPECT).iter().all(known) {
        let why = "the only expectation that can be met is 100-continue";
        return Some(respond::refused(StatusCode::EXPECTATION_FAILED, why));
    }
    // RFC 9112 section 6.1. hyper undoes the last coding; what lies below it would lose its name.
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if !codings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        let why = "the only transfer coding that is understood is chunked";
        return Some(respond::refused(StatusCode::NOT_IMPLEMENTED, why));
    }
    if request.method() == Method::CONNECT {
        return Some(respond::refused(StatusCode::NOT_FOUND, "a function is not a proxy"));
    }
    // RFC 9112 section 3.2: only CONNECT has a target that is an authority alone.
    if request.uri().scheme().is_none() && request.uri().authority().is_some() {
        let why = "the request target is neither a path nor a URL";
        return Some(respond::refused(StatusCode::BAD_REQUEST, why));
    }
    if request.uri().path() == "*" {
        return Some(if request.method() == Method::OPTIONS {
            respond::bare(StatusCode::OK)
        } else {
            respond::refused(StatusCode::BAD_REQUEST, "only OPTIONS can be asked of *")
        });
    }
    None
}

impl Sent {
    fn probe(response: Response<Body>) -> Response<Self> {
        response.map(Self::unaccounted)
    }
}
