//! How much of what was written to a socket its peer has not taken yet, and never will.
#![expect(unsafe_code, reason = "the kernel's answer comes through ioctl(2) and getsockopt(2)")]

use std::{
    io,
    os::fd::{AsFd, AsRawFd as _},
};

use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ` (tcp(7)), the same number as `TIOCOUTQ`.
const SIOCOUTQ: Opcode = opcode();

const fn opcode() -> Opcode {
    // asm-generic/ioctls.h; MIPS, PowerPC and SPARC have numbers of their own.
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) {
        0x7472
    } else if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64", target_arch = "sparc64"))
    {
        0x4004_7473
    } else {
        0x5411
    }
}

/// Bytes of a TCP socket that are not acknowledged yet, sent or not.
///
/// # Errors
/// The kernel's, for what is no socket.
pub fn unsent(socket: impl AsFd) -> io::Result<usize> {
    // SAFETY: SIOCOUTQ writes one int, which is the `Getter`'s type, and does nothing else.
    let bytes: i32 = unsafe { ioctl(socket, Getter::<SIOCOUTQ, i32>::new()) }?;
    Ok(usize::try_from(bytes).unwrap_or_default())
}

/// How far a TCP connection came (`TCP_INFO`, tcp(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Nothing more is sent: the peer reset the connection, or did not answer for too long.
    pub is_over: bool,
    /// Bytes that were sent at least once.
    pub sent: u64,
}

impl Progress {
    /// That of `socket`.
    ///
    /// # Errors
    /// The kernel's, for what is no TCP socket; `Unsupported` for a kernel older than 4.19.
    pub fn of(socket: impl AsFd) -> io::Result<Self> {
        /// Where `struct tcp_info` of `linux/tcp.h` has its `tcpi_bytes_sent` and
        /// `tcpi_bytes_retrans`, in units of 8 bytes.
        const SENT: usize = 200 / 8;
        const SENT_AGAIN: usize = 208 / 8;
        /// `TCP_CLOSE` of `net/tcp_states.h`.
        const CLOSED: u8 = 7;

        let mut info = [0_u64; SENT_AGAIN + 1];
        let room = size_of_val(&info);
        let mut length = libc::socklen_t::try_from(room).unwrap_or_default();
        // SAFETY: the kernel writes at most `length` bytes to `info`, which has as many and is made
        // of integers, and the length it wrote to `length`.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        if usize::try_from(length).is_ok_and(|length| length < room) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self {
            // `tcpi_state` comes first.
            is_over: info[0].to_ne_bytes()[0] == CLOSED,
            sent: info[SENT].saturating_sub(info[SENT_AGAIN]),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn what_the_peer_does_not_take_is_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut receiver, _) = listener.accept().unwrap();
        assert_eq!(unsent(&sender).unwrap(), 0);
        sender.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(length) = sender.write(&[0; 4096]) {
            sent += length;
        }
        let before = unsent(&sender).unwrap();
        assert!(before > 0 && before <= sent, "{before} of {sent}");
        receiver.read_exact(&mut vec![0; sent]).unwrap();
        while unsent(&sender).unwrap() > 0 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_no_socket_is_an_error() {
        assert!(unsent(std::fs::File::open("/proc/self/stat").unwrap()).is_err());
    }

    #[test]
    fn what_was_sent_is_told_from_what_a_reset_threw_away() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (receiver, _) = listener.accept().unwrap();
        sender.write_all(b"hello").unwrap();
        let progress = Progress::of(&sender).unwrap();
        assert_eq!(progress, Progress { is_over: false, sent: 5 });
        sender.set_nonblocking(true).unwrap();
        let mut written = 5;
        while let Ok(length) = sender.write(&[0; 4096]) {
            written += length as u64;
        }
        let at_once = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&receiver, at_once).unwrap();
        drop(receiver);
        while !Progress::of(&sender).unwrap().is_over {
            std::thread::yield_now();
        }
        let sent = Progress::of(&sender).unwrap().sent;
        assert!(sent > 5 && sent < written, "{sent} of {written}");
    }

    #[test]
    fn what_is_no_connection_has_made_no_progress() {
        assert!(Progress::of(std::fs::File::open("/proc/self/stat").unwrap()).is_err());
    }
}
