//! What runs, and what a call and its response look like.

use super::{
    BOOLEAN, BUFFERS, FORKS, Group, RUNS, SIZE, SPOOLS, Variable, show_size, show_size_limit,
    show_text, show_zero_copy, store,
};
use crate::env::parsers;
use crate::env::{fprocess, upstream};
use crate::settings::Mode;

pub(super) const FUNCTION: Group = Group {
    title: "Function",
    variables: &[
        Variable {
            names: &["mode"],
            modes: &Mode::ALL,
            help: "how a call becomes work: a process per call (classic, serializing, streaming), \
                   one server process (http), or files (static)",
            default: if cfg!(feature = "streaming-default") { "streaming" } else { "classic" },
            accepts: "classic, serializing, streaming, http or static",
            set: |s, v| store(&mut s.mode, parsers::mode(v)),
            show: |s| s.mode.to_string(),
        },
        Variable {
            names: &["function_process", "fprocess"],
            modes: RUNS,
            help: "the command to run; required except in static mode",
            default: "none",
            accepts: "words separated by single spaces, or a JSON array of strings",
            set: |s, v| store(&mut s.fprocess, fprocess::parse(v)),
            show: |s| match s.fprocess.as_slice() {
                [] if s.mode.has_process() => "missing".to_owned(),
                [] => "none".to_owned(),
                // Strings have no JSON form that could fail.
                arguments => serde_json::to_string(arguments).unwrap_or_default(),
            },
        },
        Variable {
            names: &["http_upstream_url", "upstream_url"],
            modes: &[Mode::Http],
            help: "where the server started by fprocess listens; required in http mode",
            default: "none",
            accepts: "http://host:port, http://host:port/base or unix:/path",
            set: |s, v| store(&mut s.upstream, upstream::parse(v).map(Some)),
            show: |s| match &s.upstream {
                None if s.mode == Mode::Http => "missing".to_owned(),
                None => "none".to_owned(),
                Some(upstream) => upstream.to_string(),
            },
        },
        Variable {
            names: &["upstream_restart"],
            modes: &[Mode::Http],
            help: "http mode: start the server again when it dies, instead of ending with it",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.upstream_restart, parsers::boolean(v)),
            show: |s| s.upstream_restart.to_string(),
        },
        Variable {
            names: &["http_buffer_req_body", "buffer_http"],
            modes: &[Mode::Http],
            help: "http mode: give every request body a Content-Length, storing chunked ones first",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.buffer_request_body, parsers::boolean(v)),
            show: |s| s.buffer_request_body.to_string(),
        },
        Variable {
            names: &["static_path"],
            modes: &[Mode::Static],
            help: "static mode: the directory to serve",
            default: "/home/app/public",
            accepts: "a directory",
            set: |s, v| store(&mut s.static_path, Ok(v.into())),
            show: |s| s.static_path.display().to_string(),
        },
    ],
};

pub(super) const RESPONSES: Group = Group {
    title: "Calls and responses",
    variables: &[
        Variable {
            names: &["content_type"],
            modes: FORKS,
            help: "the Content-Type of every response of a process-per-call mode",
            default: "application/octet-stream; classic: the request's, or a guess",
            accepts: "a header value",
            set: |s, v| store(&mut s.content_type, parsers::header_value(v)),
            show: |s| match &s.content_type {
                None => "none".to_owned(),
                Some(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
            },
        },
        Variable {
            names: &["cgi_headers"],
            modes: FORKS,
            help: "give the process the request head as Http_* variables",
            default: "true",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.cgi_headers, parsers::boolean(v)),
            show: |s| s.cgi_headers.to_string(),
        },
        Variable {
            names: &["marshal_request"],
            modes: BUFFERS,
            help: "give the process the request as one JSON document on stdin",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.marshal_request, parsers::boolean(v)),
            show: |s| s.marshal_request.to_string(),
        },
        Variable {
            names: &["combine_output", "combined_output"],
            modes: BUFFERS,
            help: "send stderr with stdout as the response, instead of logging it",
            default: "true; serializing: false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.combine_output, parsers::boolean(v)),
            show: |s| s.combine_output.to_string(),
        },
        Variable {
            names: &["write_debug"],
            modes: BUFFERS,
            help: "log the response body and the facts of each call",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.write_debug, parsers::boolean(v)),
            show: |s| s.write_debug.to_string(),
        },
        Variable {
            names: &["debug_headers"],
            modes: BUFFERS,
            help: "log the headers of each request and response",
            default: "false",
            accepts: BOOLEAN,
            set: |s, v| store(&mut s.debug_headers, parsers::boolean(v)),
            show: |s| s.debug_headers.to_string(),
        },
        Variable {
            names: &["spool_memory"],
            modes: SPOOLS,
            help: "bytes of one body kept in memory; the rest goes to an unlinked file in TMPDIR",
            default: "1MiB",
            accepts: SIZE,
            set: |s, v| store(&mut s.spool_memory, parsers::memory_size(v)),
            show: |s| show_size(s.spool_memory as u64),
        },
        Variable {
            names: &["spool_limit"],
            modes: SPOOLS,
            help: "bytes one stored body may have before the call fails; 0 = no limit",
            default: "4GiB",
            accepts: SIZE,
            set: |s, v| store(&mut s.spool_limit, parsers::size_limit(v)),
            show: |s| show_size_limit(s.spool_limit),
        },
        Variable {
            names: &["zero_copy"],
            modes: &Mode::ALL,
            help: "let the kernel move the bytes of files, pipes and proxied answers to the client by itself",
            default: "auto",
            accepts: "auto, on or off",
            set: |s, v| store(&mut s.zero_copy, parsers::zero_copy(v)),
            show: |s| show_zero_copy(s.zero_copy).to_owned(),
        },
        Variable {
            names: &["ready_path"],
            modes: &Mode::ALL,
            help: "the path /_/ready calls on the function, whose status it answers with",
            default: "none",
            accepts: "a path, such as /ready",
            set: |s, v| store(&mut s.ready_path, parsers::request_path(v)),
            show: |s| show_text(s.ready_path.as_deref()),
        },
    ],
};
