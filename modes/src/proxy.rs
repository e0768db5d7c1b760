//! Forwards one request to one authority: pooled connections, hop-by-hop rules, upgrades.
//!
//! Nothing of the message is rewritten but what RFC 9110 section 7.6 demands of an intermediary:
//! path and query arrive byte for byte, `Host`, `Content-Length`, content coding and redirects are
//! the function's own business. No proxy variable of the environment is looked at.

use std::{net::IpAddr, time::Instant};

use http::{
    Method, Request, Response, StatusCode, Uri, Version, request::Parts, uri::PathAndQuery,
};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::{body::Body, classic::DURATION_HEADER, deadline::Deadline, error::Error};

mod answer;
mod connect;
mod expect;
mod headers;
mod pool;
mod upgrade;

use self::{
    answer::Answer,
    pool::{Lease, Pool},
};
pub use self::{connect::Target, upgrade::Tunnel};

/// A pool of connections to one authority.
#[derive(Debug)]
pub struct Proxy {
    pool: Pool,
    /// Put in front of every path, without a slash at its end.
    base: String,
}

/// What a caller knows about one request beside the request itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Who sent it, for `X-Forwarded-For`.
    pub peer: Option<IpAddr>,
    /// When it has to be over. Server-sent events, NDJSON and upgrades only have to begin by then.
    pub deadline: Option<Deadline>,
}

impl Proxy {
    /// `base` is put in front of every path.
    #[must_use]
    pub fn new(target: Target, base: &str) -> Self {
        Self { pool: Pool::new(target), base: base.trim_end_matches('/').to_owned() }
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
    pub async fn call(
        &self,
        mut request: Request<Body>,
        context: Context,
    ) -> Result<Response<Body>, Error> {
        let started = Instant::now();
        let upgrade = headers::upgrade(request.headers())
            .map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let endless = upgrade.is_some() || headers::wants_stream(request.headers());
        let (mut head, body) = request.into_parts();
        head.extensions.clear();
        // The version belongs to a hop (RFC 9110 section 2.5): ours is 1.1 on either side.
        head.version = Version::HTTP_11;
        headers::prepare_request(&mut head.headers, upgrade.as_ref().map(|u| &u.0), context.peer);
        self.rewrite_target(&mut head);
        let (head, body) = expect::gate(head, body);

        let sending = self.send(head, body);
        let (mut response, lease) = Deadline::bound(context.deadline, sending).await?;
        *response.version_mut() = Version::HTTP_11;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let Some((protocol, client)) = upgrade else {
                return Err(self.broke("switched protocols without being asked"));
            };
            let tunnel = Tunnel::open(client, hyper::upgrade::on(&mut response));
            let mut response = response.map(|_| Body::empty());
            headers::prepare_response(response.headers_mut(), Some(&protocol));
            response.extensions_mut().insert(tunnel);
            return Ok(response);
        }
        headers::prepare_response(response.headers_mut(), None);
        response.headers_mut().insert(DURATION_HEADER, crate::classic::seconds(started));
        let endless = endless || headers::is_stream(response.headers());
        let deadline = context.deadline.filter(|_| !endless);
        Ok(response.map(|incoming| Answer::body(incoming, lease, deadline, self.authority())))
    }

    /// One origin-form target (RFC 9112 section 3.2.1), whatever form it came in.
    fn rewrite_target(&self, head: &mut Parts) {
        let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let target = if self.base.is_empty() || path == "*" {
            PathAndQuery::try_from(path)
        } else {
            PathAndQuery::try_from(format!("{}{path}", self.base))
        };
        if let Ok(target) = target {
            head.uri = Uri::from(target);
        }
    }

    /// Sends on a pooled connection; once more on a new one when the function had closed the first
    /// and cannot have seen the request, or may see it twice (RFC 9112 section 9.3.1).
    async fn send(&self, head: Parts, body: Body) -> Result<(Response<Incoming>, Lease), Error> {
        let replay = (is_idempotent(&head.method) && body.is_end_stream()).then(|| head.clone());
        let mut request = Request::from_parts(head, body);
        if let Some(mut lease) = self.pool.idle() {
            match lease.send(request).await {
                Ok(response) => return Ok((response, lease)),
                Err(mut failed) => match (failed.take_message(), replay) {
                    (Some(unsent), _) => request = unsent,
                    (None, Some(head)) if pool::was_closed(failed.error()) => {
                        request = Request::from_parts(head, Body::empty());
                    }
                    (None, _) => return Err(self.blame(failed.into_error())),
                },
            }
        }
        let mut lease = self.pool.connect().await.map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "refused the connection".to_owned(),
                std::io::ErrorKind::NotFound => "is not there: no such socket".to_owned(),
                _ => format!("could not be reached: {error}"),
            };
            Error::Upstream { authority: self.authority(), reason }
        })?;
        match lease.send(request).await {
            Ok(response) => Ok((response, lease)),
            Err(failed) => Err(self.blame(failed.into_error())),
        }
    }

    /// hyper's error for a request that got no answer. The request body's own error is ours, and
    /// the client's fault.
    fn blame(&self, error: hyper::Error) -> Error {
        let error = match answer::body_error(error) {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        if error.is_parse() {
            return self.broke(&format!("sent an answer that is not HTTP: {error}"));
        }
        if error.is_parse_too_large() {
            return self.broke("sent a response head that is too large");
        }
        self.broke("closed the connection before it answered")
    }

    fn broke(&self, reason: &str) -> Error {
        Error::Upstream { authority: self.authority(), reason: reason.to_owned() }
    }
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE, Method::PUT, Method::DELETE]
        .contains(method)
}
