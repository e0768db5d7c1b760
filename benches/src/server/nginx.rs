//! nginx as somebody who knows it would set it up for this: sendfile, cached descriptors, kept
//! connections, a buffered access log. `tcp_nopush` is off: over loopback it stalls 64 KB answers
//! for 41 ms. Proxied bodies are never spooled to disk.

use std::{net::SocketAddr, path::Path};

use super::Work;

/// `nginx.conf`.
pub(super) fn config(work: &Work, address: SocketAddr, folder: &Path, cpus: usize) -> String {
    let folder = folder.display();
    // Workers that changed their user could not enter our temporary folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let (upstream, location) = match work {
        Work::Static { root, .. } => (String::new(), format!("root {};", root.display())),
        Work::Http(function) => (
            format!(
                "upstream function {{ server {function}; keepalive 128; keepalive_requests 1000000000; }}"
            ),
            "proxy_pass http://function; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_set_header Host $host;"
                .to_owned(),
        ),
        Work::Hop { replica, .. } => (
            format!(
                "upstream replica {{ server {replica}; keepalive 128; keepalive_requests 1000000000; }}"
            ),
            // What a gateway tells its functions: who called.
            "proxy_pass http://replica; proxy_http_version 1.1; \
             proxy_set_header Connection \"\"; proxy_set_header Host $host; \
             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
                .to_owned(),
        ),
        Work::Classic(_) | Work::Streaming(_) => (String::new(), "return 501;".to_owned()),
    };
    format!(
        "{user}
worker_processes {cpus};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.err;
events {{ worker_connections 8192; }}
http {{
    access_log {folder}/nginx.access combined buffer=64k flush=1s;
    client_body_temp_path {folder}/nginx.body;
    proxy_temp_path {folder}/nginx.proxy;
    fastcgi_temp_path {folder}/nginx.fastcgi;
    uwsgi_temp_path {folder}/nginx.uwsgi;
    scgi_temp_path {folder}/nginx.scgi;
    proxy_max_temp_file_size 0;
    sendfile on;
    tcp_nopush off;
    tcp_nodelay on;
    open_file_cache max=1000 inactive=60s;
    keepalive_timeout 300s;
    keepalive_requests 1000000000;
    default_type text/plain;
    {upstream}
    server {{ listen {address} backlog=4096; location / {{ {location} }} }}
}}
"
    )
}
