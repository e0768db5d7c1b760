//! The answering side: an event loop that does nothing but the system calls a server cannot avoid.
//! It drives the `floor` loops and the function behind mode=http.
//!
//! Level-triggered and one read an event, so that no call ever has to end in `EAGAIN`.

pub mod classic;
pub mod content;
pub mod relay;
pub mod spares;
pub mod streaming;

use std::{
    collections::HashMap,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use rustix::{
    event::{
        EventfdFlags,
        epoll::{self, CreateFlags, EventData, EventFlags},
        eventfd,
    },
    fd::OwnedFd,
};

use crate::Result;

/// Where calls arrive: `ADDRESS:PORT` or `unix:PATH`.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// One connection.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
}

impl Listener {
    /// Listens.
    pub fn bind(address: &str) -> Result<Self> {
        let failed = |error| format!("cannot listen at {address}: {error}");
        Ok(match address.strip_prefix("unix:") {
            Some(path) => Self::Unix(UnixListener::bind(Path::new(path)).map_err(failed)?),
            None => Self::Tcp(TcpListener::bind(address).map_err(failed)?),
        })
    }

    fn accept(&self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Socket::Tcp(stream)
            }
            Self::Unix(listener) => Socket::Unix(listener.accept()?.0),
        })
    }
}

impl Socket {
    /// Connects.
    pub fn connect(address: &str) -> io::Result<Self> {
        Ok(match address.strip_prefix("unix:") {
            Some(path) => Self::Unix(UnixStream::connect(path)?),
            None => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Self::Tcp(stream)
            }
        })
    }

    /// One read(2).
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    /// One write(2).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    /// One writev(2).
    pub fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write_vectored(pieces),
            Self::Unix(stream) => stream.write_vectored(pieces),
        }
    }

    /// Makes writes return instead of waiting.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

/// What a session is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The connection of the client.
    Client,
    /// The one descriptor more that a session may watch.
    Other,
}

/// The event set of one thread, as one session sees it.
#[derive(Debug)]
pub struct Watch<'a> {
    epoll: &'a OwnedFd,
    session: u64,
}

impl Watch<'_> {
    fn data(&self, side: Side) -> EventData {
        EventData::new_u64(self.session * 2 + u64::from(side == Side::Other))
    }

    /// Watches a descriptor.
    pub fn add(&self, side: Side, what: impl AsFd, events: EventFlags) -> io::Result<()> {
        Ok(epoll::add(self.epoll, what, self.data(side), events)?)
    }

    /// Changes what it is watched for.
    pub fn change(&self, side: Side, what: impl AsFd, events: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(self.epoll, what, self.data(side), events)?)
    }

    /// Stops watching. Closing alone does not: a process that another thread starts just now has a
    /// copy of the descriptor until it executes its program, and so long its events go on.
    pub fn remove(&self, what: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(self.epoll, what)?)
    }
}

/// What happens on one connection.
pub trait Session: Sized {
    /// What all sessions of a thread share.
    type Shared: Clone + Send + 'static;

    /// A connection was accepted; the session watches it.
    fn open(socket: Socket, shared: &Self::Shared, watch: &Watch<'_>) -> io::Result<Self>;

    /// Something can be read or written. An error ends the session.
    fn advance(
        &mut self,
        side: Side,
        shared: &mut Self::Shared,
        watch: &Watch<'_>,
    ) -> io::Result<()>;
}

/// The end of a connection, as an error: nothing more is to be done.
#[must_use]
pub fn closed() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Whether a request head is complete. Requests come in one piece here, or nearly so.
#[must_use]
pub fn is_complete_head(bytes: &[u8]) -> bool {
    bytes.ends_with(b"\r\n\r\n")
}

/// Serves for ever, with the connections dealt out evenly to so many threads.
pub fn run<S: Session>(listener: &Listener, threads: usize, shared: &S::Shared) -> Result<()> {
    let workers: Vec<(Sender<Socket>, OwnedFd)> = (0..threads.max(1))
        .map(|_| {
            let (sender, receiver) = channel();
            let wake = eventfd(0, EventfdFlags::CLOEXEC)?;
            let (waker, shared) = (rustix::io::fcntl_dupfd_cloexec(&wake, 0)?, shared.clone());
            thread::spawn(move || work::<S>(&receiver, &waker, shared));
            Ok((sender, wake))
        })
        .collect::<Result<_>>()?;
    for number in 0.. {
        let (sender, wake): &(Sender<Socket>, OwnedFd) = &workers[number % workers.len()];
        let socket = listener.accept()?;
        sender.send(socket).map_err(|_| "a worker thread ended")?;
        rustix::io::write(wake, &1_u64.to_ne_bytes())?;
    }
    Ok(())
}

/// The event data of new connections.
const ARRIVAL: u64 = u64::MAX;

fn work<S: Session>(
    arrivals: &Receiver<Socket>,
    waker: &OwnedFd,
    mut shared: S::Shared,
) -> io::Result<()> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, waker, EventData::new_u64(ARRIVAL), EventFlags::IN)?;
    // Numbers are never used again: see `Watch::remove`.
    let mut sessions: HashMap<u64, S> = HashMap::new();
    let mut last = 0;
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        let waited = epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None);
        match waited {
            // A tracer was here.
            Err(rustix::io::Errno::INTR) => continue,
            waited => waited?,
        };
        for event in &events {
            let data = event.data.u64();
            if data == ARRIVAL {
                rustix::io::read(waker, &mut [0; 8])?;
                for socket in arrivals.try_iter() {
                    last += 1;
                    let watch = Watch { epoll: &epoll, session: last };
                    if let Ok(session) = S::open(socket, &shared, &watch) {
                        sessions.insert(last, session);
                    }
                }
                continue;
            }
            let (number, side) =
                (data / 2, if data.is_multiple_of(2) { Side::Client } else { Side::Other });
            let watch = Watch { epoll: &epoll, session: number };
            if let Some(session) = sessions.get_mut(&number)
                && session.advance(side, &mut shared, &watch).is_err()
            {
                sessions.remove(&number);
            }
        }
    }
}
