//! How much of a long answer the kernel holds for a client at a time.

use std::{io, os::fd::AsFd};

use socket2::SockRef;

/// Bytes that may lie in a socket without having been sent (`TCP_NOTSENT_LOWAT`, tcp(7)): as much
/// as the largest packet that the kernel makes.
///
/// Without it a socket takes megabytes ahead of its reader (`tcp_wmem`). 64 readers of 1 MB over
/// loopback then cost five times the processor time and get a third of the bytes, with bbr as with
/// cubic; with 128 KiB it is sometimes this and sometimes that, from 16 KiB to 64 KiB it never is.
const LONGEST: u32 = 64 * 1024;

/// Has the kernel ask for more only when little of what it has is unsent. What is on its way does
/// not count, so a long round trip is filled as before.
///
/// # Errors
/// What setsockopt(2) says; the socket works on without it.
pub fn bound_backlog(socket: impl AsFd) -> io::Result<()> {
    SockRef::from(&socket).set_tcp_notsent_lowat(LONGEST)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// What a socket holds whose peer reads nothing, once it takes no more.
    fn held(is_bounded: bool) -> usize {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let _receiver = listener.accept().unwrap();
        if is_bounded {
            bound_backlog(&sender).unwrap();
        }
        sender.set_nonblocking(true).unwrap();
        let piece = vec![0; LONGEST as usize];
        while sender.write(&piece).is_ok() {}
        crate::zero_copy::unsent(&sender).unwrap()
    }

    #[test]
    fn little_lies_unsent_in_a_bounded_socket() {
        let (bounded, before) = (held(true), held(false));
        // What is on its way counts here, too.
        let most = 4 * LONGEST as usize;
        assert!(bounded <= most && most < before, "{bounded} bytes instead of {before}");
    }
}
