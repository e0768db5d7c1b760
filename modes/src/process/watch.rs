//! Notices that a process has exited, without reaping it.

use std::{
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    process::{Pid, PidfdFlags},
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    signal::unix::{Signal, SignalKind, signal},
};

/// One process's exit, as an event of the reactor.
#[derive(Debug)]
pub(super) enum Watch {
    /// A process descriptor, readable once the process is a zombie (`pidfd_open`(2)).
    Descriptor(AsyncFd<OwnedFd>),
    /// Kernels before 5.3, or a system-call filter without `pidfd_open`: look again whenever any
    /// child changes state.
    AnyChild(Signal),
}

impl Watch {
    pub(super) fn new(leader: Pid) -> io::Result<Self> {
        match rustix::process::pidfd_open(leader, PidfdFlags::NONBLOCK) {
            Ok(descriptor) => register(descriptor).map(Self::Descriptor),
            // NONBLOCK came with Linux 5.10; the descriptor is only ever polled, so it may go.
            Err(Errno::INVAL) => {
                let descriptor = rustix::process::pidfd_open(leader, PidfdFlags::empty())?;
                register(descriptor).map(Self::Descriptor)
            }
            Err(Errno::NOSYS | Errno::PERM) => Self::any_child(),
            Err(error) => Err(error.into()),
        }
    }

    fn any_child() -> io::Result<Self> {
        Ok(Self::AnyChild(signal(SignalKind::child())?))
    }

    /// Ready once `leader` has exited.
    pub(super) fn poll_exited(
        &mut self,
        leader: Pid,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Descriptor(descriptor) => descriptor.poll_read_ready(cx).map_ok(drop),
            Self::AnyChild(signal) => loop {
                // Looking before every wait closes the gap between the exit and the signal.
                let event = signal.poll_recv(cx);
                if super::has_exited(leader) {
                    return Poll::Ready(Ok(()));
                }
                ready!(event);
            },
        }
    }
}

/// A process descriptor as an event of the reactor.
#[expect(unsafe_code, reason = "tokio made the registration of a descriptor unsafe")]
pub(super) fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open for as long as it lives, names one open file description all that
    // time, and moves into the AsyncFd, which drops it after its registration.
    unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) }.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, process::Command};

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "this is modes::process")]
    #[tokio::test]
    async fn exit_is_noticed_without_a_process_descriptor() {
        let mut child = Command::new("sleep").arg("0.05").spawn().unwrap();
        let leader = Pid::from_child(&child);
        let mut watch = Watch::any_child().unwrap();
        poll_fn(|cx| watch.poll_exited(leader, cx)).await.unwrap();
        assert!(child.wait().unwrap().success(), "the exit must still be there to collect");
    }
}
