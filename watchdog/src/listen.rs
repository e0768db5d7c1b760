//! Where calls arrive: a port on all addresses, or a socket in the file system.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr},
    os::{fd::OwnedFd, unix::fs::FileTypeExt as _},
    path::{Path, PathBuf},
};

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// Accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// A port.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener, SocketFile),
}

/// Removes a socket's name when dropped.
#[derive(Debug)]
pub struct SocketFile(PathBuf);

fn listen(socket: TcpSocket, address: SocketAddr) -> io::Result<TcpListener> {
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Listener {
    /// One address.
    ///
    /// # Errors
    /// The kernel's.
    pub fn address(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        socket.and_then(|socket| listen(socket, address))
    }

    /// All addresses, IPv6 and IPv4; only IPv4 where the kernel has no IPv6.
    pub(crate) fn port(port: u16) -> io::Result<TcpListener> {
        let both = TcpSocket::new_v6().and_then(|socket| {
            rustix::net::sockopt::set_ipv6_v6only(&socket, false)?;
            listen(socket, SocketAddr::from(([0_u16; 8], port)))
        });
        match both {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                Self::address(SocketAddr::from(([0_u8; 4], port)))
            }
            done => done,
        }
    }

    /// A socket at `path`, in the place of one that nobody listens on any more. Who may connect is
    /// up to its directory and the umask (unix(7)).
    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
                fs::remove_file(path)?;
                UnixListener::bind(path)?
            }
            done => done?,
        };
        Ok(Self::Unix(listener, SocketFile(path.to_owned())))
    }

    /// The next connection, and its peer's address if it has one.
    ///
    /// What serves a connection reads, writes, polls and shuts down a stream socket by its
    /// descriptor, which are the same calls for both kinds. So one type stands for both; what only
    /// TCP knows (`TCP_INFO`, a reset) fails on the other and is done without.
    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                let _ = stream.set_nodelay(true);
                Ok((stream, Some(peer.ip().to_canonical())))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                let stream = OwnedFd::from(stream.into_std()?).into();
                Ok((TcpStream::from_std(stream)?, None))
            }
        }
    }

    /// Where it listens, for the log: `port: 8080` or `unix:/path`.
    pub(crate) fn name(&self) -> io::Result<String> {
        Ok(match self {
            Self::Tcp(listener) => format!("port: {}", listener.local_addr()?.port()),
            Self::Unix(_, SocketFile(path)) => format!("unix:{}", path.display()),
        })
    }
}

/// A socket whose process was killed keeps its name, and refuses connections.
fn is_abandoned(path: &Path) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let refused = || {
        std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    is_socket && refused()
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever needed the place may have taken it.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn socket_of_the_dead_is_replaced_and_that_of_the_living_is_not() {
        let path = std::env::temp_dir().join(format!("listen-{}", std::process::id()));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let listener = Listener::unix(&path).unwrap();
        assert_eq!(Listener::unix(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);

        // Who wanted the place had a look at who has it.
        drop(listener.accept().await.unwrap());
        let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
        let (mut stream, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, None);
        stream.write_all(b"hello").await.unwrap();
        drop(stream);
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");
        drop(listener);
        assert!(!path.exists());

        fs::write(&path, "mine").unwrap();
        Listener::unix(&path).unwrap_err();
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
    }
}
