//! An orderly end: calls end first, functions stay.

use e2e::{
    End, Request,
    gateway::{Function, Provider},
};
use rustix::process::Signal;

use crate::{gateway, launch};

on_every_provider! {
    calls_under_way_are_answered_before_the_end
    calls_that_take_too_long_are_cut
    mistakes_of_the_configuration_are_named_together
}

fn calls_under_way_are_answered_before_the_end(provider: Provider) {
    for signal in [Signal::TERM, Signal::INT] {
        let gateway = gateway(provider);
        gateway.run(&Function::cat("f").env("mode", "streaming"));
        let mut client = gateway.connect();
        client.send(Request::new("POST", "/function/f").chunked(["x"]).head_bytes());
        client.send("4\r\none \r\n");
        assert_eq!(client.read_head().status, 200);
        assert_eq!(client.read_chunk_data(), b"one ");
        let mut follower = gateway.connect();
        let follow = Request::get("/system/logs?name=f&follow=true")
            .header("Authorization", gateway.authorization().unwrap());
        follower.send(follow.to_bytes());
        assert_eq!(follower.read_head().status, 200);

        gateway.signal(signal);
        gateway.wait_for_log(|log| log.contains("no new calls"));
        e2e::eventually(e2e::DEADLINE, "nobody to be let in", || {
            e2e::Client::try_connect(gateway.addr()).is_err()
        });
        client.send("3\r\ntwo\r\n0\r\n\r\n");
        let (rest, end) = client.read_body();
        assert_eq!((rest.as_slice(), end), (&b"two"[..], End::Complete));
        // Who follows logs keeps nobody from ending, and hears of it.
        let begun = std::time::Instant::now();
        let ended = gateway.wait_exit();
        assert_eq!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(begun.elapsed() < e2e::DEADLINE / 2, "it waited for {:?}", begun.elapsed());
        assert!(!ended.stderr.contains("still open"), "{}", ended.stderr);
        assert_eq!(follower.read_body().1, End::Complete);
        // Containers go on; nobody would look after processes.
        let left = gateway.started_processes();
        assert!(provider == Provider::Docker || left.is_empty(), "{left:?}");
    }
}

fn calls_that_take_too_long_are_cut(provider: Provider) {
    let gateway = launch(provider).env("drain_timeout", "300ms").start();
    gateway.run(&Function::cat("f").env("mode", "streaming"));
    let mut client = gateway.connect();
    client.send(Request::new("POST", "/function/f").chunked(["x"]).head_bytes());
    client.send("1\r\nx\r\n");
    assert_eq!(client.read_head().status, 200);
    assert_eq!(client.read_chunk_data(), b"x");
    gateway.signal(Signal::TERM);
    let (_, end) = client.read_body();
    assert!(matches!(end, End::Cut(_)), "it looks whole");
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

fn mistakes_of_the_configuration_are_named_together(provider: Provider) {
    let launch = launch(provider)
        .env("port", "70000")
        .env("upstream_timeout", "soon")
        .env("log_format", "xml")
        .env("max_waiting", "-1");
    let ended = launch.spawn_expecting_exit();
    assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
    for named in ["port", "70000", "upstream_timeout", "soon", "log_format", "xml", "max_waiting"] {
        assert!(ended.stderr.contains(named), "{named}: {}", ended.stderr);
    }
}
