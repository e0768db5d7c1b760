//! Ports that nobody uses.

use std::{
    net::{Ipv4Addr, Ipv6Addr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

/// Outside the range from which the kernel takes ports for outgoing connections (32768 and up on
/// Linux), so that no connection can take the port between this check and its use.
const RANGE: std::ops::Range<u32> = 15_000..32_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A TCP port that was free a moment ago on every address of this machine, and that no other call
/// in this process has returned.
#[must_use]
pub fn free_port() -> u16 {
    let size = RANGE.end - RANGE.start;
    // Two test processes on one machine start in different places.
    let offset = process::id().wrapping_mul(97);
    for _ in 0..size {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(RANGE.start + offset.wrapping_add(step) % size).expect("in RANGE");
        let v4 = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok();
        let v6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .map_or_else(|error| error.kind() != std::io::ErrorKind::AddrInUse, |_| true);
        if v4 && v6 {
            return port;
        }
    }
    panic!("no free port in {RANGE:?}");
}
