//! A pipe budget that is used up.

use std::{
    fs,
    io::{self, PipeReader, PipeWriter},
};

use e2e::{End, Launch, Request, play::pattern};

use super::{MIB, POLICIES, allow, function, launch};

/// Pipes that use up what their user may keep in pipes (pipe(7), `pipe-user-pages-soft`).
fn use_up_the_pipe_budget() -> Vec<(PipeReader, PipeWriter)> {
    let soft = fs::read_to_string("/proc/sys/fs/pipe-user-pages-soft").unwrap();
    let pages: usize = soft.trim().parse().unwrap();
    assert!(pages > 0, "no budget to use up");
    let mut pipes = Vec::new();
    while pipes.len() * 256 <= pages {
        let pipe = io::pipe().unwrap();
        let enlarged = rustix::pipe::fcntl_setpipe_size(&pipe.0, MIB);
        pipes.push(pipe);
        if enlarged.is_err() {
            break;
        }
    }
    pipes
}

#[test]
fn pipe_that_cannot_be_enlarged_serves_as_it_is() {
    let content = pattern(4 * MIB);
    for policy in POLICIES {
        let script = "echo begun; await go; cat \"$TMPDIR/content\"";
        let dog = unprivileged(function("streaming", policy, &content, script)).start();
        let mut client = dog.connect();
        client.send(Request::get("/").to_bytes());
        assert_eq!(client.read_head().status, 200);
        assert_eq!(client.read_chunk_data(), b"begun\n");
        let pipes = use_up_the_pipe_budget();
        allow(&dog, "go");
        let (body, end) = client.read_body();
        assert_eq!(end, End::Complete, "{policy}");
        assert!(body == content, "{policy}");
        // Now even new pipes are small.
        let again = dog.get("/");
        assert!(again.is_complete() && again.body[6..] == content, "{policy}");
        drop(pipes);
    }
}

/// The budget does not bind who may exceed it.
fn unprivileged(launch: Launch) -> Launch {
    if !rustix::process::geteuid().is_root() {
        return launch;
    }
    launch.through(&["setpriv", "--bounding-set=-sys_resource,-sys_admin"])
}

#[test]
fn bodies_pass_whole_while_new_pipes_are_small() {
    let body = pattern(2 * MIB);
    let pipes = use_up_the_pipe_budget();
    for policy in POLICIES {
        for mode in ["classic", "serializing", "streaming"] {
            for spares in ["0", "2"] {
                let launch = launch(mode, policy).fprocess("cat").env("cgi_headers", "false");
                let dog = unprivileged(launch.env("warm_spares", spares)).start();
                for size in [0, 1, 4097, 65_537, 2 * MIB] {
                    let response = dog.post("/", &body[..size]);
                    assert!(response.is_complete(), "{policy} {mode} {spares} {size}");
                    assert!(response.body == body[..size], "{policy} {mode} {spares} {size}");
                }
            }
        }
    }
    drop(pipes);
}
