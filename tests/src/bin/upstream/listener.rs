//! Where connections come from.

use std::{
    net::{TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use socket2::Socket;

use crate::connection::Connection;

/// A TCP address or the path of a socket.
#[derive(Clone, Debug)]
pub(crate) enum Address {
    Tcp(String),
    Unix(PathBuf),
}

static LISTENING: AtomicBool = AtomicBool::new(true);

impl Address {
    pub(crate) fn parse(text: &str) -> Self {
        if text.starts_with('/') { Self::Unix(text.into()) } else { Self::Tcp(text.to_owned()) }
    }

    fn connect(&self) -> std::io::Result<Socket> {
        match self {
            Self::Tcp(address) => TcpStream::connect(address).map(Socket::from),
            Self::Unix(path) => {
                UnixStream::connect(path).map(|stream| OwnedFd::from(stream).into())
            }
        }
    }
}

/// Serves for ever, each connection on a thread of its own.
pub(crate) fn serve(address: &Address) {
    match address {
        Address::Tcp(tcp) => {
            let listener = TcpListener::bind(tcp).expect("a free port");
            accept(address, || listener.accept().map(|(stream, _)| stream.into()));
        }
        Address::Unix(path) => {
            let listener = UnixListener::bind(path).expect("a free path");
            accept(address, || listener.accept().map(|(stream, _)| OwnedFd::from(stream).into()));
        }
    }
    loop {
        thread::park();
    }
}

fn accept(address: &Address, next: impl Fn() -> std::io::Result<Socket>) {
    loop {
        let socket = next().expect("a connection");
        if !LISTENING.load(Ordering::SeqCst) {
            return;
        }
        let address = address.clone();
        thread::spawn(move || Connection::new(socket, address).serve());
    }
}

/// Stops listening; returns once new connections are refused.
pub(crate) fn unlisten(address: &Address) {
    LISTENING.store(false, Ordering::SeqCst);
    // Each connection wakes `accept`, which then looks at the flag and lets the listener go.
    while address.connect().is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
}
