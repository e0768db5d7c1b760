//! Process per call whose output is on its way to the client as soon as it is written.
//!
//! The status waits for the first byte or the exit, whichever comes first. A failure before it has
//! a status; a failure after it is the body's last item and cuts the connection.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Method, Request, Response, header};
use http_body::{Body as HttpBody, Frame};

use crate::{
    body::Body,
    cgi,
    deadline::{Deadline, Timer},
    error::Error,
    logs::Log,
    process::{Environment, Launcher, Process, Stderr},
    spare::{self, Busy, Source, Started},
    zero_copy::{Data, Outflow, ZeroCopy},
};

/// What this mode needs to know.
#[derive(Debug)]
pub struct Config {
    /// The program.
    pub launcher: Launcher,
    /// Where its standard error goes.
    pub log: Log,
    /// The content type of every answer.
    pub content_type: Option<HeaderValue>,
    /// Whether the request head goes into the environment.
    pub cgi_headers: bool,
    /// Processes that are started ahead of calls. Not with `cgi_headers`: nothing of a call can
    /// be in their environment.
    pub spares: Option<spare::Config>,
    /// Whether outputs are spliced.
    pub zero_copy: ZeroCopy,
}

/// See the module.
#[derive(Debug)]
pub struct Streaming {
    config: Config,
    pub(crate) source: Source,
}

impl Streaming {
    /// Ready for calls at once. With spares, must be called within a tokio runtime.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let spares = config.spares.clone().filter(|_| !config.cgi_headers);
        let source = Source::new(config.launcher.clone(), Stderr::Pipe, config.log.clone(), spares);
        Self { config, source }
    }

    /// One call: the response is there with the first byte of output.
    ///
    /// # Errors
    /// What kept the process from writing a first byte, [`Error::Exited`] and
    /// [`Error::TimedOut`] included.
    pub async fn call(
        &self,
        request: Request<Body>,
        deadline: Option<Deadline>,
    ) -> Result<Response<Body>, Error> {
        let (head, body) = request.into_parts();
        let environment = if self.config.cgi_headers {
            cgi::environment(&head, body.size_hint().exact(), cgi::Style::Of)?
        } else {
            Environment::new()
        };
        let is_head = head.method == Method::HEAD;
        // What nobody gets has to be read all the same.
        let zero_copy = if is_head { ZeroCopy::Off } else { self.config.zero_copy };
        let started = self.source.start(environment, body).await?;
        let mut running = Running::new(started, deadline, zero_copy);
        let mut first = running.next().await?;
        if is_head {
            // hyper drops the body of an answer to HEAD, which would end the call half way.
            while first.take().is_some() {
                first = running.next().await?;
            }
        }
        let body = match first {
            None => Body::empty(),
            Some(piece) => {
                Body::ranges(Output { first: Some(piece), running: Some(running), failed: false })
            }
        };
        let mut response = Response::new(body);
        if let Some(content_type) = self.config.content_type.clone() {
            response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        }
        Ok(response)
    }
}

type Feed = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A process at work. Dropping it ends the process's group.
struct Running {
    process: Process,
    /// `None` at the end of output.
    stdout: Option<Outflow>,
    /// `None` when all input is fed.
    feed: Option<Feed>,
    timer: Option<Timer>,
    /// While the call lasts.
    _busy: Option<Busy>,
}

impl Running {
    fn new(started: Started, deadline: Option<Deadline>, zero_copy: ZeroCopy) -> Self {
        Self {
            process: started.process,
            stdout: Some(Outflow::new(started.stdout, zero_copy)),
            feed: started.unfed.map(|unfed| Box::pin(unfed.feed()) as Feed),
            timer: deadline.map(Deadline::timer),
            _busy: started.busy,
        }
    }

    async fn next(&mut self) -> Result<Option<Data>, Error> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next piece of output, or `None` when the process has succeeded.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Data>, Error>> {
        if let Some(feed) = &mut self.feed
            && let Poll::Ready(result) = feed.as_mut().poll(cx)
        {
            result?;
            self.feed = None;
        }
        if let Some(passed) = self.timer.as_mut().and_then(|timer| timer.poll_passed(cx)) {
            return Poll::Ready(Err(passed));
        }
        if let Some(stdout) = &mut self.stdout {
            match ready!(stdout.poll_next(cx)) {
                Ok(None) => self.stdout = None,
                Ok(piece) => return Poll::Ready(Ok(piece)),
                Err(source) => {
                    return Poll::Ready(Err(Error::io("reading the function's output")(source)));
                }
            }
        }
        let exit = ready!(self.process.poll_wait(cx))?;
        Poll::Ready(if exit.is_success() { Ok(None) } else { Err(Error::Exited(exit)) })
    }
}

/// The response body: a first piece that was waited for, then the rest.
struct Output {
    first: Option<Data>,
    /// Stays when the call has failed, because to drop it is to empty the pipe, and a piece that is
    /// under way may still be in there.
    running: Option<Running>,
    failed: bool,
}

impl HttpBody for Output {
    type Data = Data;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let failed = self.failed;
        let Some(running) = self.running.as_mut().filter(|_| !failed) else {
            return Poll::Ready(None);
        };
        let next = ready!(running.poll_next(cx));
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => self.running = None,
            Err(_) => self.failed = true,
        }
        Poll::Ready(next.map(|piece| piece.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && (self.running.is_none() || self.failed)
    }
}
