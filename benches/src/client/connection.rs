//! One connection of a loading client: non-blocking, one request at a time.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::fd::AsFd,
    time::Instant,
};

use rustix::event::{
    Timespec,
    epoll::{self, EventData, EventFlags},
};

use super::{Decoder, Progress, Request, Sample};

/// What became of the request that is under way.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing yet.
    Waiting,
    /// Answered, with this status.
    Answered(u16),
    /// The connection cannot be used any more.
    Failed(String),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    token: u64,
    decoder: Decoder,
    /// How much of the request is not sent yet.
    unsent: usize,
    /// Since when its latency counts.
    began: Instant,
    /// When the first byte of the body was there.
    first_byte: Option<Instant>,
    /// Bytes of the body so far.
    bytes: u64,
}

impl Connection {
    pub(super) fn open(address: SocketAddr, epoll: impl AsFd, token: u64) -> io::Result<Self> {
        let stream = connect(address)?;
        epoll::add(epoll, &stream, EventData::new_u64(token), EventFlags::IN)?;
        let now = Instant::now();
        Ok(Self {
            address,
            stream,
            token,
            decoder: Decoder::default(),
            unsent: 0,
            began: now,
            first_byte: None,
            bytes: 0,
        })
    }

    /// Sends the request; its latency counts from `began`.
    pub(super) fn send(&mut self, request: &Request, epoll: impl AsFd, began: Instant) -> Step {
        self.began = began;
        self.first_byte = None;
        self.bytes = 0;
        self.unsent = request.bytes().len();
        self.flush(request, epoll)
    }

    fn flush(&mut self, request: &Request, epoll: impl AsFd) -> Step {
        while self.unsent > 0 {
            let rest = &request.bytes()[request.bytes().len() - self.unsent..];
            match self.stream.write(rest) {
                Ok(sent) => {
                    self.unsent -= sent;
                    if self.unsent == 0 && sent < request.bytes().len() {
                        self.watch(epoll, EventFlags::IN);
                        return Step::Waiting;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.watch(epoll, EventFlags::IN | EventFlags::OUT);
                    return Step::Waiting;
                }
                Err(error) => return Step::Failed(format!("sending a request: {error}")),
            }
        }
        Step::Waiting
    }

    fn watch(&self, epoll: impl AsFd, what: EventFlags) {
        // Cannot fail for a descriptor that is registered (epoll_ctl(2)).
        let _ = epoll::modify(epoll, &self.stream, EventData::new_u64(self.token), what);
    }

    /// Something can be read or written: does one read.
    pub(super) fn advance(
        &mut self,
        request: &Request,
        epoll: impl AsFd,
        buffer: &mut [u8],
    ) -> Step {
        if self.unsent > 0
            && let Step::Failed(why) = self.flush(request, epoll)
        {
            return Step::Failed(why);
        }
        let progress = match self.stream.read(buffer) {
            Ok(0) => self.decoder.end(),
            Ok(read) => {
                let (bytes, first_byte) = (&mut self.bytes, &mut self.first_byte);
                self.decoder.feed(&buffer[..read], |piece| {
                    *bytes += piece.len() as u64;
                    first_byte.get_or_insert_with(Instant::now);
                })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Step::Waiting,
            Err(error) => return Step::Failed(format!("reading a response: {error}")),
        };
        match progress {
            Ok(Progress::Unfinished) => Step::Waiting,
            Ok(Progress::Complete(status)) => Step::Answered(status),
            Err(broken) => Step::Failed(broken.to_string()),
        }
    }

    /// Accounts for the request if it is over, which is returned, and makes the next one possible.
    pub(super) fn settle(
        &mut self,
        step: Step,
        epoll: impl AsFd,
        sample: &mut Sample,
    ) -> io::Result<bool> {
        let usable = match step {
            Step::Waiting => return Ok(false),
            Step::Answered(200) => {
                sample.latencies.push(self.began.elapsed().as_nanos() as u64);
                sample.bytes += self.bytes;
                if let Some(first) = self.first_byte {
                    sample.first_bytes.push((first - self.began).as_nanos() as u64);
                }
                !self.decoder.closes()
            }
            Step::Answered(status) => {
                sample.fail(|| format!("status {status}"));
                !self.decoder.closes()
            }
            Step::Failed(why) => {
                sample.fail(|| why);
                false
            }
        };
        if !usable {
            self.renew(epoll)?;
        }
        Ok(true)
    }

    /// A new connection in the place of this one.
    fn renew(&mut self, epoll: impl AsFd) -> io::Result<()> {
        // Dropping the old socket takes it out of the epoll set (epoll(7)).
        *self = Self::open(self.address, epoll, self.token)?;
        Ok(())
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// For `epoll_wait`.
pub(super) fn timespec(time: std::time::Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().cast_signed(), tv_nsec: time.subsec_nanos().into() }
}
