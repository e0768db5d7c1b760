//! What `write_debug` and `debug_headers` print, in classic-watchdog's words.

use http::{HeaderMap, Uri};

use crate::{cgi, logs::Log, process::Exit};

/// One `[in] Name=[value value]` line a header, on standard output.
pub(super) fn headers(log: &Log, direction: &str, headers: &HeaderMap) {
    let mut text = Vec::new();
    for name in headers.keys() {
        text.extend_from_slice(format!("[{direction}] {}=[", cgi::canonical(name, '-')).as_bytes());
        for (index, value) in headers.get_all(name).iter().enumerate() {
            if index > 0 {
                text.push(b' ');
            }
            text.extend_from_slice(value.as_bytes());
        }
        text.extend_from_slice(b"]\n");
    }
    log.sink.raw(&text);
}

pub(super) fn target(uri: &Uri) {
    tracing::info!("Query {}", uri.query().unwrap_or_default());
    tracing::info!("Path {}", uri.path());
}

pub(super) fn failure(exit: Exit, output: &[u8]) {
    tracing::info!("Success=false, Error={exit}");
    tracing::info!("Out={}", String::from_utf8_lossy(output).trim_end());
}
