//! Where a long-lived function listens, and how to get there.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustix::net::RecvFlags;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// One authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `http://host:port`.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// Its port.
        port: u16,
    },
    /// `unix:/path`.
    Unix(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Target {
    /// A new connection.
    pub(super) async fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
            Self::Tcp { host, port } => {
                let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
                for address in addresses(host, *port).await? {
                    match TcpStream::connect(address).await {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            return Ok(Socket::Tcp(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

/// `localhost` is the loopback by definition (RFC 6761 section 6.3): no resolver is asked, which a
/// static binary in an empty root directory could not do anyway.
async fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if host.eq_ignore_ascii_case("localhost") {
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(both.map(|address| SocketAddr::new(address, port)).to_vec());
    }
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

/// A connected stream of either kind.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Whether an idle connection may carry another request: open, and nothing has arrived that
    /// nobody asked for. One system call, so that a close which the event loop has not seen yet
    /// does not fail a call.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0_u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        matches!(
            rustix::net::recv(self.as_fd(), &mut byte, flags),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)
        )
    }

    /// `attempt`, again whenever the socket is said to be ready and turns out not to be.
    fn retry<T>(
        mut ready: impl FnMut() -> Poll<io::Result<()>>,
        mut attempt: impl FnMut() -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(ready())?;
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
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

/// A stream that hyper drives while the pool can still look at it.
///
/// A function may answer and close without reading all of the request; then the next write fails
/// although the answer lies in our receive buffer (RFC 9112 section 9.6). hyper would give up on
/// the failed write, so from then on bytes are taken and thrown away, and reading decides: it finds
/// the answer, or the end, which then counts as a broken connection.
#[derive(Debug)]
pub(super) struct Shared {
    socket: Arc<Socket>,
    is_broken: bool,
}

impl Shared {
    pub(super) fn new(socket: Arc<Socket>) -> Self {
        Self { socket, is_broken: false }
    }

    fn outcome(
        &mut self,
        result: Poll<io::Result<usize>>,
        offered: usize,
    ) -> Poll<io::Result<usize>> {
        match result {
            Poll::Ready(Err(error)) if is_broken(&error) => {
                self.is_broken = true;
                Poll::Ready(Ok(offered))
            }
            other => other,
        }
    }
}

fn is_broken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl AsyncRead for Shared {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(match &*self.socket {
            Socket::Tcp(s) => Socket::retry(|| s.poll_read_ready(cx), || s.try_read_buf(buffer)),
            Socket::Unix(s) => Socket::retry(|| s.poll_read_ready(cx), || s.try_read_buf(buffer)),
        })?;
        if read == 0 && self.is_broken && buffer.remaining() > 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Shared {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = match &*self.socket {
            Socket::Tcp(s) => Socket::retry(|| s.poll_write_ready(cx), || s.try_write(bytes)),
            Socket::Unix(s) => Socket::retry(|| s.poll_write_ready(cx), || s.try_write(bytes)),
        };
        self.outcome(result, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match &*self.socket {
            Socket::Tcp(s) => {
                Socket::retry(|| s.poll_write_ready(cx), || s.try_write_vectored(slices))
            }
            Socket::Unix(s) => {
                Socket::retry(|| s.poll_write_ready(cx), || s.try_write_vectored(slices))
            }
        };
        self.outcome(result, slices.iter().map(|slice| slice.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = rustix::net::shutdown(self.socket.as_fd(), rustix::net::Shutdown::Write);
        Poll::Ready(result.or_else(|error| match error {
            rustix::io::Errno::NOTCONN => Ok(()),
            error => Err(error.into()),
        }))
    }
}
