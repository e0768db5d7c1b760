//! HAProxy with a thread a CPU, connections to the function shared and kept, and its access log
//! in a ring buffer in memory: the cheapest that it has.

use std::net::SocketAddr;

use super::Work;

/// `haproxy.cfg`.
pub(super) fn config(work: &Work, address: SocketAddr, cpus: usize) -> String {
    let function = match work {
        Work::Http(function) | Work::Hop { replica: function, .. } => {
            function.replacen("unix:", "unix@", 1)
        }
        Work::Classic(_) | Work::Streaming(_) | Work::Static { .. } => String::new(),
    };
    // What a gateway tells its functions: who called.
    let forwarded = if matches!(work, Work::Hop { .. }) { "option forwardfor" } else { "" };
    format!(
        "global
    nbthread {cpus}
    maxconn 8192
    log ring@access local0
ring access
    format raw
    maxlen 1200
    size 1048576
defaults
    mode http
    log global
    option httplog
    http-reuse always
    {forwarded}
    timeout connect 5s
    timeout client 300s
    timeout server 60s
frontend calls
    bind {address}
    default_backend function
backend function
    server function {function}
"
    )
}
