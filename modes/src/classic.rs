//! Process per call: the whole request to standard input, the whole output back, and the exit
//! status decides the answer. Options cover both programs' variants of it.
//!
//! Only this mode holds whole bodies, and never more than `spool_memory` bytes and a piece of 512 KB of
//! one in memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
    request::Parts,
};
use http_body::Body as _;

use crate::{
    body::Body,
    cgi,
    deadline::Deadline,
    decimal,
    error::Error,
    logs::Log,
    process::{Environment, Exit, Launcher, Stderr, while_feeding},
    sniff,
    spare::{self, Source, Started},
    spool::{self, Output},
    zero_copy::ZeroCopy,
};

mod debug;
mod marshal;

/// Response header with the seconds a call took, as `%f` prints them.
pub static DURATION_HEADER: HeaderName = HeaderName::from_static("x-duration-seconds");

/// Whose rules the answer follows where the two programs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// classic-watchdog: GET, POST, PUT, PATCH and DELETE only; the content type is the
    /// configured one, else the request's, else sniffed; a failed call's body is text.
    Classic,
    /// of-watchdog's serializing mode: any method; one content type for every answer.
    Serializing,
}

/// What this mode needs to know.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is one documented, independent setting")]
pub struct Config {
    /// The program.
    pub launcher: Launcher,
    /// Where its standard error goes.
    pub log: Log,
    /// Whose rules.
    pub flavour: Flavour,
    /// The content type of every answer; see [`Flavour`].
    pub content_type: Option<HeaderValue>,
    /// Standard error becomes part of the output instead of log lines.
    pub combine_output: bool,
    /// Whether the request head goes into the environment.
    pub cgi_headers: bool,
    /// Whether the process reads `{"header":{…},"body":{"raw":"base64"}}` instead of the body.
    pub marshal_request: bool,
    /// Copies outputs to standard output, and logs path, query and failures.
    pub write_debug: bool,
    /// Prints request and response headers to standard output.
    pub debug_headers: bool,
    /// Where outputs are kept.
    pub spool: spool::Config,
    /// Processes that are started ahead of calls. Not with `cgi_headers`: nothing of a call can
    /// be in their environment.
    pub spares: Option<spare::Config>,
    /// Whether an output that went to a file is sent by the kernel.
    pub zero_copy: ZeroCopy,
}

/// See the module.
#[derive(Debug)]
pub struct Classic {
    config: Config,
    pub(crate) source: Source,
}

impl Classic {
    /// Ready for calls at once. With spares, must be called within a tokio runtime.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let stderr = if config.combine_output { Stderr::WithStdout } else { Stderr::Pipe };
        let spares = config.spares.clone().filter(|_| !config.cgi_headers);
        let source = Source::new(config.launcher.clone(), stderr, config.log.clone(), spares);
        Self { config, source }
    }

    /// One call. A process that failed is an answer (500), not an error.
    ///
    /// # Errors
    /// What kept the process from being run to its end.
    pub async fn call(
        &self,
        request: Request<Body>,
        deadline: Option<Deadline>,
    ) -> Result<Response<Body>, Error> {
        let (head, body) = request.into_parts();
        if self.config.debug_headers {
            debug::headers(&self.config.log, "in", &head.headers);
        }
        let mut response = if self.takes(&head.method) {
            Deadline::bound(deadline, self.run(&head, body)).await?
        } else {
            let mut refused = Response::new(Body::empty());
            *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            let allowed = HeaderValue::from_static("GET, POST, PUT, PATCH, DELETE");
            refused.headers_mut().insert(header::ALLOW, allowed);
            refused
        };
        if let Some(length) = response.body().size_hint().exact() {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if self.config.debug_headers {
            debug::headers(&self.config.log, "out", response.headers());
        }
        Ok(response)
    }

    fn takes(&self, method: &Method) -> bool {
        self.config.flavour == Flavour::Serializing
            || [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
                .contains(method)
    }

    async fn run(&self, head: &Parts, body: Body) -> Result<Response<Body>, Error> {
        let config = &self.config;
        let started = Instant::now();
        if config.write_debug {
            debug::target(&head.uri);
        }
        let environment = self.environment(head, &body)?;
        let body = if config.marshal_request {
            Body::stream(marshal::Marshal::new(&head.headers, body))
        } else {
            body
        };
        let Started { mut process, stdout, unfed, busy: _busy } =
            self.source.start(environment, body).await?;
        let work = async {
            let output = spool::collect(&stdout, &config.spool, |piece| {
                if config.write_debug {
                    config.log.sink.raw(piece);
                }
            })
            .await?;
            Ok((output, process.wait().await?))
        };
        let (output, exit) = match unfed {
            None => work.await?,
            Some(unfed) => while_feeding(unfed.feed(), work).await?,
        };
        if config.write_debug && !exit.is_success() {
            debug::failure(exit, output.start());
        }
        Ok(self.answer(head, output, exit, started))
    }

    fn environment(&self, head: &Parts, body: &Body) -> Result<Environment, Error> {
        if !self.config.cgi_headers {
            return Ok(Environment::new());
        }
        let style = match self.config.flavour {
            Flavour::Classic => cgi::Style::Classic,
            Flavour::Serializing => cgi::Style::Of,
        };
        cgi::environment(head, body.size_hint().exact(), style)
    }

    fn answer(&self, head: &Parts, output: Output, exit: Exit, started: Instant) -> Response<Body> {
        let failed = !exit.is_success();
        let serializing = self.config.flavour == Flavour::Serializing;
        let content_type = if failed && !serializing {
            Some(HeaderValue::from_static("text/plain; charset=utf-8"))
        } else {
            self.content_type(&head.headers, &output)
        };
        let mut headers = HeaderMap::with_capacity(8);
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type);
        }
        if !failed || serializing {
            headers.insert(&DURATION_HEADER, seconds(started.elapsed()));
        }
        let output_length = output.length();
        let output = output.into_response_body(self.config.zero_copy);
        let body = if failed {
            let newline = if serializing && output_length == 0 { "" } else { "\n" };
            Body::prefixed(Bytes::from(format!("{exit}{newline}")), output)
        } else {
            output
        };
        let mut response = Response::new(body);
        if failed {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            // For the log: the answer itself is the function's.
            response.extensions_mut().insert(exit);
        }
        *response.headers_mut() = headers;
        response
    }

    fn content_type(&self, request: &HeaderMap, output: &Output) -> Option<HeaderValue> {
        let caller = || {
            let caller = request.get(header::CONTENT_TYPE).filter(|value| !value.is_empty());
            (self.config.flavour == Flavour::Classic).then_some(caller)?.cloned()
        };
        let sniffed = || {
            (self.config.flavour == Flavour::Classic && output.length() > 0)
                .then(|| HeaderValue::from_static(sniff::content_type(output.start())))
        };
        self.config.content_type.clone().or_else(caller).or_else(sniffed)
    }
}

/// The value of [`DURATION_HEADER`] for a call that took so long.
pub(crate) fn seconds(took: Duration) -> HeaderValue {
    let mut text = Vec::with_capacity(16);
    decimal::push_seconds(&mut text, took, 6);
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("0"))
}
