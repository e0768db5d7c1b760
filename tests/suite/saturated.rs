//! Health, ready and metrics answer while every other part is saturated (issue 3, "Runtimes").
//!
//! `benches/run probes` tells how soon: the target is 50 ms. The bound here is for machines on which
//! a hundred other tests run at the same time.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use e2e::{Client, Launch, Request, Watchdog};

use crate::{upstream::http, watchdog};

/// Calls under way all the time.
const CALLERS: usize = 64;
/// Probes of each kind.
const PROBES: usize = 25;
/// What their median has to keep within.
const BOUND: Duration = Duration::from_millis(250);

/// Keeps so many calls under way, and asks the watchdog how it is meanwhile.
#[track_caller]
fn assert_probes_answer(launch: Launch, request: &Request) {
    let dog = launch.metrics().start_ready();
    let stop = dog.temp_dir().join("stop");
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let mut client = dog.connect();
                client.set_patience(Duration::from_secs(120));
                while !stop.exists() {
                    client.send(request.to_bytes());
                    assert_eq!(client.read_head().status, 200);
                    client.skip_body();
                }
            });
        }
        // Until each of them has had its turn.
        dog.wait_for_access_lines(CALLERS);
        let taken = [("/_/health", false), ("/_/ready", false), ("/metrics", true)]
            .map(|(path, metrics)| (path, median(&dog, path, metrics)));
        fs::write(&stop, "").expect("a file");
        for (path, time) in taken {
            assert!(time < BOUND, "{path}: {time:?}");
        }
    });
}

/// Of probes that come on a connection each, as an orchestrator's do.
fn median(dog: &Watchdog, path: &str, metrics: bool) -> Duration {
    let mut times: Vec<_> = (0..PROBES)
        .map(|_| {
            let start = Instant::now();
            let address = if metrics { dog.metrics_addr() } else { dog.addr() };
            assert_eq!(Client::connect(address).call(&Request::get(path)).status(), 200);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[PROBES / 2]
}

#[test]
fn probes_answer_while_calls_start_processes() {
    assert_probes_answer(watchdog().mode("classic").fprocess("cat"), &Request::post("/", "input"));
}

#[test]
fn probes_answer_while_functions_keep_every_cpu_busy() {
    let script = "n=0; while [ $n -lt 3000 ]; do n=$((n+1)); done; echo done";
    let launch = watchdog().mode("streaming").sh(script).env("exec_timeout", "2m");
    assert_probes_answer(launch.env("write_timeout", "2m"), &Request::get("/"));
}

#[test]
fn probes_answer_while_large_files_are_sent() {
    let launch = watchdog().mode("static");
    launch.write("large", vec![b'x'; 4 << 20]);
    let root = launch.temp_dir().to_owned();
    assert_probes_answer(launch.env("static_path", root), &Request::get("/large"));
}

#[test]
fn probes_answer_while_calls_are_proxied() {
    assert_probes_answer(http(), &Request::post("/", vec![b'x'; 1 << 20]));
}

/// A connection that began with a probe may carry calls, too.
#[test]
fn calls_behind_a_probe_are_served_on_its_connection() {
    for mode in ["classic", "streaming"] {
        let dog = watchdog().mode(mode).fprocess("cat").env("exec_timeout", "2s").start();
        let mut client = dog.connect();
        for call in 0..3 {
            assert_eq!(client.call(&Request::get("/_/health")).text().trim(), "OK", "{mode}");
            let body = vec![b'x'; call * 100_000];
            assert!(client.call(&Request::post("/", &body)).body == body, "{mode}: {call}");
        }
        client.send(Request::new("POST", "/").chunked([""; 0]).head_bytes());
        client.send("6\r\na part\r\n");
        e2e::eventually(e2e::DEADLINE, "the function", || dog.children().len() == 1);
        client.reset();
        dog.wait_until_childless();
        let lines = dog.wait_for_access_lines(4);
        assert!(lines[3].contains("the client left"), "{mode}: {lines:?}");
    }
}
