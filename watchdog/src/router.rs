//! The route table: `/_/health`, `/_/ready`, and everything else to the function.

use std::{
    net::IpAddr,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
use modes::{Body, Context, Deadline, Mode, classic::DURATION_HEADER};

use crate::{
    account::{Account, Entry, Ledger, Sent},
    auth::Authenticator,
    duration,
    fields::Fields,
    health::Health,
    limit::Limiter,
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
    /// Whether this is answered without the function, and so at once.
    #[must_use]
    pub fn is_probe<B>(&self, request: &Request<B>) -> bool {
        match request.uri().path() {
            "/_/health" => true,
            "/_/ready" => !self.health.asks_the_function(),
            _ => false,
        }
    }

    /// Answers one request of `peer`, on the connection of `account`.
    pub async fn route(
        &self,
        mut request: Request<Incoming>,
        account: &Arc<Account>,
        peer: Option<IpAddr>,
    ) -> Response<Sent> {
        target_is_host(&mut request);
        let fields = Fields::of(request.headers());
        if let Some(refused) = refusal(&request, &fields) {
            return Entry::open(account, &request, &fields).answer(refused);
        }
        match request.uri().path() {
            "/_/health" => {
                account.phase.end_call(None);
                return Sent::probe(self.health.health(request.method()));
            }
            "/_/ready" => {
                let context = self.context(fields.timeout, peer, Instant::now());
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
                account.phase.end_call(None);
                return Sent::probe(ready);
            }
            _ => {}
        }
        let entry = Entry::open(account, &request, &fields);
        let timeout = fields.timeout.cloned();
        pin!(self.call(request, timeout, peer, account, entry)).await
    }

    async fn call(
        &self,
        mut request: Request<Incoming>,
        timeout: Option<HeaderValue>,
        peer: Option<IpAddr>,
        account: &Account,
        mut entry: Box<Entry>,
    ) -> Response<Sent> {
        if let Some(auth) = &self.auth {
            match Box::pin(auth.check(request.headers())).await {
                Ok(spent) => {
                    let spent = HeaderValue::try_from(format!("{:.6}", spent.as_secs_f64()));
                    let spent = spent.unwrap_or_else(|_| HeaderValue::from_static("0"));
                    request.headers_mut().insert("x-auth-seconds", spent);
                }
                Err(denied) => return entry.answer(denied.into_response().map(Body::full)),
            }
        }
        let mut now = entry.started();
        if self.limiter.is_limited() {
            // Boxed, as above.
            match Box::pin(self.limiter.enter()).await {
                Ok(permit) => entry.hold(permit),
                Err(exceeded) => return entry.answer(respond::exceeded(exceeded)),
            }
            // The call's time begins when the waiting is over.
            now = Instant::now();
        }
        let mut context = self.context(timeout.as_ref(), peer, now);
        if self.auth.is_some() {
            // Keys may have been fetched since.
            context.began = None;
        }
        let read_timeout = self.config.read_timeout;
        let request = request.map(|body| {
            if body.is_end_stream() {
                return Body::empty();
            }
            Body::received(body, read_timeout, Some(entry.unread()))
        });
        // Pinned where it is made: it is large to move.
        let mut calling = pin!(self.mode.call(request, context));
        let answered = match self.config.head_timeout {
            None => calling.as_mut().await,
            Some(allowed) => account
                .limit(Deadline::since(now, allowed), calling.as_mut())
                .await
                .unwrap_or(Err(modes::Error::HeadTimedOut(allowed))),
        };
        let response = match answered {
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
                        response.headers_mut().insert(&DURATION_HEADER, seconds);
                    }
                }
                response
            }
        };
        entry.answer(response)
    }

    fn context(
        &self,
        timeout: Option<&HeaderValue>,
        peer: Option<IpAddr>,
        now: Instant,
    ) -> Context {
        let allowed = allowed(timeout, self.config.exec_timeout);
        let deadline = allowed.map(|allowed| Deadline::since(now, allowed));
        Context { peer, began: Some(now), deadline, ..Context::default() }
    }
}

/// How long the call may take. `X-Timeout` shortens it, never lengthens it; what is not a positive
/// Go duration is ignored.
fn allowed(timeout: Option<&HeaderValue>, exec_timeout: Option<Duration>) -> Option<Duration> {
    let asked = timeout.and_then(|value| value.to_str().ok());
    let asked = asked.and_then(duration::parse_go).and_then(duration::GoDuration::positive);
    [asked, exec_timeout].into_iter().flatten().min()
}

/// The authority of an absolute target stands in for `Host`, whatever that said (RFC 9112 section
/// 3.2.2). CONNECT has nothing but an authority, and is refused.
pub fn target_is_host<B>(request: &mut Request<B>) {
    if request.uri().scheme().is_some()
        && let Some(authority) = request.uri().authority()
        // What comes before an @ is not part of the host (RFC 9110 section 7.2).
        && let Some(host) = authority.as_str().rsplit('@').next()
        && let Ok(host) = HeaderValue::from_str(host)
    {
        request.headers_mut().insert(header::HOST, host);
    }
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
#[must_use]
pub fn refusal<B>(request: &Request<B>, fields: &Fields<'_>) -> Option<Response<Body>> {
    // RFC 9112 section 3.2.
    if fields.hosts > 1 || (fields.hosts == 0 && request.version() == Version::HTTP_11) {
        let why = "a request needs exactly one Host header";
        return Some(respond::refused(StatusCode::BAD_REQUEST, why));
    }
    if fields.host.is_some_and(|host| !is_host(host)) {
        let why = "the Host header is not a host";
        return Some(respond::refused(StatusCode::BAD_REQUEST, why));
    }
    // RFC 9110 section 10.1.1.
    if fields.expects_unknown {
        let why = "the only expectation that can be met is 100-continue";
        return Some(respond::refused(StatusCode::EXPECTATION_FAILED, why));
    }
    // RFC 9112 section 6.1. hyper undoes the last coding; what lies below it would lose its name.
    if fields.codes_unknown {
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

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Any value a header can have, and durations of every size.
    fn timeout() -> impl Strategy<Value = HeaderValue> {
        prop_oneof![
            vec(any::<u8>(), 0..24),
            "[+-]?([0-9]{1,19}(ns|us|ms|s|m|h|)){1,3}".prop_map(String::into_bytes),
            "[+-]?0{1,2}(ns|s|)".prop_map(String::into_bytes),
            (1..=i64::MAX).prop_map(|n| format!("{n}ns").into_bytes()),
        ]
        .prop_filter_map("no header value", |bytes| HeaderValue::from_bytes(&bytes).ok())
    }

    proptest! {
        #[test]
        fn timeout_header_never_lengthens_a_call(
            values in vec(timeout(), 0..3),
            exec_timeout in proptest::option::of(1..=i64::MAX.unsigned_abs()),
        ) {
            let exec_timeout = exec_timeout.map(Duration::from_nanos);
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append("x-timeout", value);
            }
            let allowed = allowed(Fields::of(&headers).timeout, exec_timeout);
            prop_assert!(allowed.is_none_or(|allowed| !allowed.is_zero()));
            if let Some(exec_timeout) = exec_timeout {
                prop_assert!(allowed.is_some_and(|allowed| allowed <= exec_timeout));
            }
        }

        #[test]
        fn timeout_header_is_kept_to_the_nanosecond(
            asked in 1..=i64::MAX.unsigned_abs(),
            exec_timeout in proptest::option::of(1..=i64::MAX.unsigned_abs()),
        ) {
            let mut headers = HeaderMap::new();
            headers.insert("x-timeout", HeaderValue::try_from(format!("{asked}ns")).unwrap());
            let expected = exec_timeout.map_or(asked, |exec_timeout| exec_timeout.min(asked));
            let exec_timeout = exec_timeout.map(Duration::from_nanos);
            prop_assert_eq!(allowed(Fields::of(&headers).timeout, exec_timeout), Some(Duration::from_nanos(expected)));
        }

        /// RFC 3986: unreserved (2.3) and sub-delims (2.2), the percent sign of pct-encoded (2.1),
        /// the brackets and colons of an IP literal (3.2.2), the colon of a port (3.2.3).
        #[test]
        fn host_holds_no_byte_that_no_host_has(bytes in vec(any::<u8>(), 0..12), place: usize) {
            const UNRESERVED: &[u8] = b"-._~";
            const SUB_DELIMS: &[u8] = b"!$&'()*+,;=";
            const OTHERS: &[u8] = b"%[]:";
            let is_known = |byte: &u8| {
                matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9')
                    || [UNRESERVED, SUB_DELIMS, OTHERS].concat().contains(byte)
            };
            // Each byte in a host that is fine without it.
            let spoilt = (0..=255).map(|byte| {
                let mut host = b"host.example:8080".to_vec();
                host.insert(place % (host.len() + 1), byte);
                host
            });
            for bytes in spoilt.chain([bytes]) {
                if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                    prop_assert_eq!(is_host(&value), bytes.iter().all(is_known), "{:?}", value);
                }
            }
        }
    }
}
