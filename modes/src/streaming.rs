//! Process per call whose output is on its way to the client as soon as it is written.
//!
//! The status waits for the first byte or the exit, whichever comes first. A failure before it has
//! a status; a failure after it is the body's last item and cuts the connection.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, header};
use http_body::{Body as HttpBody, Frame};
use tokio::net::unix::pipe;

use crate::{
    body::Body,
    cgi,
    deadline::{Deadline, Timer},
    error::Error,
    logs::Log,
    process::{Arrived, Environment, Launcher, Process, Stderr},
    spare::{self, Busy, Source, Started},
};

/// What one read of the pipe asks for: the size of a pipe that nobody enlarged (pipe(7)).
const READ: usize = 64 * 1024;

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
        let started = self.source.start(environment, Arrived::of(body).await?)?;
        let mut running = Running::new(started, deadline);
        let mut first = running.next().await?;
        if head.method == Method::HEAD {
            // hyper drops the body of an answer to HEAD, which would end the call half way.
            while first.is_some() {
                first = running.next().await?;
            }
        }
        let body = match first {
            None => Body::empty(),
            Some(piece) => Body::stream(Output { first: Some(piece), running: Some(running) }),
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
    stdout: Option<Arc<pipe::Receiver>>,
    /// `None` when all input is fed.
    feed: Option<Feed>,
    timer: Option<Timer>,
    buffer: BytesMut,
    /// While the call lasts.
    _busy: Option<Busy>,
}

impl Running {
    fn new(started: Started, deadline: Option<Deadline>) -> Self {
        Self {
            process: started.process,
            stdout: Some(started.stdout),
            feed: started.unfed.map(|unfed| Box::pin(unfed.feed()) as Feed),
            timer: deadline.map(Deadline::timer),
            buffer: BytesMut::new(),
            _busy: started.busy,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next piece of output, or `None` when the process has succeeded.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        if let Some(feed) = &mut self.feed
            && let Poll::Ready(result) = feed.as_mut().poll(cx)
        {
            result?;
            self.feed = None;
        }
        if let Some(passed) = self.timer.as_mut().and_then(|timer| timer.poll_passed(cx)) {
            return Poll::Ready(Err(passed));
        }
        if let Some(stdout) = &self.stdout {
            match ready!(poll_read(stdout, &mut self.buffer, cx)) {
                Ok(0) => self.stdout = None,
                Ok(_) => return Poll::Ready(Ok(Some(self.buffer.split().freeze()))),
                Err(source) => {
                    return Poll::Ready(Err(Error::io("reading the function's output")(source)));
                }
            }
        }
        let exit = ready!(self.process.poll_wait(cx))?;
        Poll::Ready(if exit.is_success() { Ok(None) } else { Err(Error::Exited(exit)) })
    }
}

fn poll_read(
    pipe: &pipe::Receiver,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    buffer.reserve(READ);
    loop {
        ready!(pipe.poll_read_ready(cx))?;
        match pipe.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return Poll::Ready(done),
        }
    }
}

/// The response body: a first piece that was waited for, then the rest.
struct Output {
    first: Option<Bytes>,
    running: Option<Running>,
}

impl HttpBody for Output {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let Some(running) = &mut self.running else { return Poll::Ready(None) };
        let next = ready!(running.poll_next(cx));
        if !matches!(next, Ok(Some(_))) {
            self.running = None;
        }
        Poll::Ready(next.map(|piece| piece.map(Frame::data)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.running.is_none()
    }
}
