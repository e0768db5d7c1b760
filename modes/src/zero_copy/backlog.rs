//! How much of a long answer the kernel holds for a client at a time.

use std::io;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Bytes that may lie in a socket without having been sent (`TCP_NOTSENT_LOWAT`, tcp(7)).
///
/// Without it a socket takes megabytes ahead of its reader (`tcp_wmem`): with 64 readers those are
/// queued in memory that is cold when its turn comes. Two of the kernel's largest packets keep one
/// under way while the next is made.
const LONGEST: u32 = 128 * 1024;

/// Has the kernel ask for more only when little of what it has is unsent. What is on its way does
/// not count, so a long round trip is filled as before.
///
/// # Errors
/// What setsockopt(2) says; the socket works on without it.
pub fn bound_backlog(socket: &TcpStream) -> io::Result<()> {
    SockRef::from(socket).set_tcp_notsent_lowat(LONGEST)
}
