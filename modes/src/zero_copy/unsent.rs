//! How much of what was written to a socket its peer has not taken yet.
#![expect(unsafe_code, reason = "the kernel's answer comes through ioctl(2)")]

use std::{io, os::fd::AsFd};

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
}
