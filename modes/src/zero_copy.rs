//! Bytes that the kernel moves by itself, through hyper and without a protocol of our own.
//!
//! ```text
//! body ─▶ Data::Range (n bytes of a file, pipe or socket) ─▶ hyper: head, chunk framing ─▶ poll_send ─▶ socket
//!              └ its slice lies in the reserved region ────────────────────────────┘ sendfile, splice
//! ```
//!
//! hyper queues a body's buffers and hands their slices to `poll_write_vectored` without looking at
//! the bytes. So a [`Range`] gives hyper a slice of a region of addresses that nothing is behind
//! (`region`), whose first address says which range it stands for. [`poll_send`] recognises such a
//! slice, sends what precedes it with `MSG_MORE`, and has the kernel move the range's bytes. A plain
//! write never gets that far: whoever writes has to ask [`is_reserved`], and the kernel refuses to
//! read the region (`EFAULT`).
//!
//! Everybody else who reads a [`Body`](crate::Body) gets bytes; only who asks for
//! [`poll_data`](crate::Body::poll_data) has to be able to send ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

mod backlog;
mod buffers;
mod conduit;
mod data;
mod gate;
mod outflow;
mod range;
mod region;
mod send;
mod trial;
mod unsent;

pub use self::{
    backlog::bound_backlog,
    data::Data,
    range::{Range, is_of_file},
    region::is_reserved,
    send::{Failure, poll_send},
    trial::timed_write,
    unsent::{Progress, unsent},
};
pub(crate) use self::{
    conduit::{Conduit, timed_take},
    outflow::Outflow,
    range::LONGEST,
    trial::Way,
};

/// Whether the kernel moves bytes by itself (`zero_copy`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroCopy {
    /// Files always; pipes and sockets if that costs this process less processor time than copying,
    /// and nobody else more.
    #[default]
    Auto,
    /// Files, pipes and sockets.
    On,
    /// Never.
    Off,
}

impl ZeroCopy {
    /// For a proxied body on its way to `peer`.
    ///
    /// Splicing makes the function replace the pages that it gave away, and a receiver fetch them.
    /// `Auto` does not see that: its trial found splicing cheaper every time, but 1 MB to four
    /// clients on this machine then took 331 us of this process and 2272 came a second, instead of
    /// 201 us and 3558. One that came over the loopback address is certain to be here.
    pub(crate) fn towards(self, peer: Option<IpAddr>) -> Self {
        let is_here =
            peer == Some(Ipv4Addr::LOCALHOST.into()) || peer == Some(Ipv6Addr::LOCALHOST.into());
        if self == Self::Auto && is_here { Self::Off } else { self }
    }
}

#[cfg(test)]
mod tests;
