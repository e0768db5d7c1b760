//! The metrics port: names, labels and buckets as dashboards know them, and one count a request.

use e2e::{Client, DEADLINE, Launch, Metrics, Request, Watchdog, eventually};

use crate::{
    held::{self, hold, hold_at, release},
    watchdog,
};

const BUCKETS: [&str; 12] =
    ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"];

fn metered(mode: &str) -> Launch {
    watchdog().mode(mode).sh(held::SCRIPT).metrics()
}

/// Waits for `count` counted requests; the answer is sent before it is counted.
#[track_caller]
fn counted(dog: &Watchdog, count: u32) -> Metrics {
    eventually(DEADLINE, "the count", || dog.metrics().all_requests() >= f64::from(count));
    let metrics = dog.metrics();
    assert_number(metrics.all_requests(), count, &metrics);
    metrics
}

#[track_caller]
fn assert_number(value: f64, expected: u32, metrics: &Metrics) {
    assert!(
        (value - f64::from(expected)).abs() < f64::EPSILON,
        "{value} instead of {expected}:\n{}",
        metrics.text
    );
}

#[test]
fn requests_are_counted_by_code_and_method() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = metered(mode).start();
        assert_eq!(dog.get("/").status(), 200);
        assert_eq!(dog.get("/").status(), 200);
        assert_eq!(dog.post("/", "x").status(), 200);
        let metrics = counted(&dog, 3);
        assert_number(metrics.requests(200, "get"), 2, &metrics);
        assert_number(metrics.requests(200, "post"), 1, &metrics);
    }
}

#[test]
fn method_that_is_not_standard_is_counted_as_unknown() {
    let dog = metered("streaming").start();
    assert_eq!(dog.call(&Request::new("BREW", "/")).status(), 200);
    let metrics = counted(&dog, 1);
    assert_number(metrics.requests(200, "unknown"), 1, &metrics);
}

#[test]
fn durations_are_a_histogram_with_todays_buckets() {
    let dog = metered("classic").start();
    assert_eq!(dog.get("/").status(), 200);
    let metrics = counted(&dog, 1);
    let labels = [("code", "200"), ("method", "get")];
    let mut last = 0.0;
    for bucket in BUCKETS {
        let mut labels = labels.to_vec();
        labels.push(("le", bucket));
        let value = metrics
            .get("http_request_duration_seconds_bucket", &labels)
            .unwrap_or_else(|| panic!("bucket {bucket} is missing:\n{}", metrics.text));
        assert!(value >= last, "buckets are cumulative:\n{}", metrics.text);
        last = value;
    }
    assert_eq!(metrics.series("http_request_duration_seconds_bucket").count(), BUCKETS.len());
    let count = metrics.get("http_request_duration_seconds_count", &labels);
    assert_number(count.unwrap(), 1, &metrics);
    assert_number(last, 1, &metrics);
    let sum = metrics.get("http_request_duration_seconds_sum", &labels);
    assert!(sum.unwrap() > 0.0, "{}", metrics.text);
}

#[test]
fn types_are_declared() {
    let dog = metered("classic").start();
    dog.get("/");
    let metrics = counted(&dog, 1);
    for line in [
        "# TYPE http_requests_total counter",
        "# TYPE http_request_duration_seconds histogram",
        "# TYPE http_requests_in_flight gauge",
    ] {
        assert!(
            metrics.text.lines().any(|own| own == line),
            "{line} is missing:\n{}",
            metrics.text
        );
    }
}

#[test]
fn in_flight_rises_and_falls() {
    let dog = metered("streaming").start();
    let in_flight = || dog.metrics().get("http_requests_in_flight", &[]);
    assert_eq!(in_flight(), Some(0.0));
    let mut first = hold(&dog);
    let mut second = hold_at(&dog, "/hold-open");
    assert_eq!(in_flight(), Some(2.0));
    release(&dog);
    assert_eq!(first.read_response().status(), 200);
    assert_eq!(second.read_response().status(), 200);
    eventually(DEADLINE, "nothing in flight", || in_flight() == Some(0.0));
}

#[test]
fn in_flight_falls_when_the_client_leaves() {
    for path in ["/hold", "/hold-open"] {
        let dog = metered("streaming").start();
        hold_at(&dog, path).reset();
        eventually(DEADLINE, "nothing in flight", || {
            dog.metrics().get("http_requests_in_flight", &[]) == Some(0.0)
        });
        counted(&dog, 1);
    }
}

#[test]
fn client_that_left_before_the_answer_is_counted_once_and_not_as_200() {
    // Defect 19: the count has to be what went over the wire.
    for mode in ["classic", "streaming", "serializing"] {
        let dog = metered(mode).start();
        hold(&dog).reset();
        let metrics = counted(&dog, 1);
        assert_number(metrics.requests(200, "get"), 0, &metrics);
    }
}

#[test]
fn stream_that_was_aborted_is_counted_once() {
    // Defects 3 and 19: aborted streams left no trace.
    let dog = metered("streaming").start();
    let mut client = hold_at(&dog, "/hold-open");
    assert_eq!(client.read_head().status, 200);
    client.reset();
    let metrics = counted(&dog, 1);
    assert_number(metrics.requests(200, "get"), 1, &metrics);
}

#[test]
fn counts_equal_the_wire_for_failures() {
    // Defect 19.
    for mode in ["classic", "streaming", "serializing"] {
        let dog = watchdog()
            .mode(mode)
            .sh(r#"case "$Http_Path" in /fail) exit 3 ;; /slow) sleep 60 ;; esac"#)
            .env("exec_timeout", "300ms")
            .metrics()
            .start();
        let mut expected = std::collections::BTreeMap::<u16, u32>::new();
        for path in ["/", "/fail", "/slow", "/%00"] {
            *expected.entry(dog.get(path).status()).or_default() += 1;
        }
        let metrics = counted(&dog, 4);
        for (code, count) in expected {
            assert_number(metrics.requests(code, "get"), count, &metrics);
        }
    }
}

#[test]
fn refused_calls_are_counted() {
    let dog = metered("classic").env("max_inflight", "1").start();
    let mut held = hold(&dog);
    assert_eq!(dog.get("/").status(), 429);
    let metrics = counted(&dog, 1);
    assert_number(metrics.requests(429, "get"), 1, &metrics);
    release(&dog);
    assert_eq!(held.read_response().status(), 200);
    let metrics = counted(&dog, 2);
    assert_number(metrics.requests(200, "get"), 1, &metrics);
}

#[test]
fn requests_that_are_no_http_are_counted() {
    let dog = metered("classic").start();
    assert_eq!(dog.request("nonsense\r\n\r\n").status(), 400);
    let metrics = counted(&dog, 1);
    let codes: Vec<_> = metrics
        .series("http_requests_total")
        .map(|(labels, value)| (labels["code"].clone(), value))
        .collect();
    assert_eq!(codes, [("400".to_owned(), 1.0)]);
}

#[test]
fn path_that_needs_no_cleaning_any_more_is_counted() {
    // Defect 17: such calls were redirected, and counted nowhere.
    let dog = metered("classic").start();
    assert_eq!(dog.get("//a/../b").status(), 200);
    let metrics = counted(&dog, 1);
    assert_number(metrics.requests(200, "get"), 1, &metrics);
}

#[test]
fn keep_alive_connection_is_counted_by_request() {
    let dog = metered("classic").start();
    let mut client = dog.connect();
    for _ in 0..3 {
        assert_eq!(client.call(&Request::get("/")).status(), 200);
    }
    counted(&dog, 3);
}

#[test]
fn only_the_path_metrics_exists() {
    let dog = metered("classic").start();
    let get = |path| Client::connect(dog.metrics_addr()).call(&Request::get(path));
    for path in ["/", "/metrics/", "/_/health", "/debug/pprof/", "/metricsx"] {
        assert_eq!(get(path).status(), 404, "{path}");
    }
    let response = get("/metrics");
    assert_eq!(response.status(), 200);
    let content_type = response.header("content-type").unwrap();
    assert!(content_type.starts_with("text/plain; version=0.0.4"), "{content_type}");
}

#[test]
fn metrics_of_the_process_itself_are_exported() {
    let dog = metered("classic").start();
    let metrics = dog.metrics();
    let value = |name: &str| metrics.get(name, &[]).unwrap_or_else(|| panic!("no {name}"));
    assert!(value("process_resident_memory_bytes") > 500_000.0);
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!((4.0..1000.0).contains(&value("process_open_fds")));
    assert!(value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_cpu_seconds_total") < 60.0);
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let age = now - value("process_start_time_seconds");
    assert!((-2.0..600.0).contains(&age), "{age}");
}

#[test]
fn metrics_are_not_served_on_the_functions_port() {
    let dog = metered("classic").start();
    assert_eq!(dog.get("/metrics").text(), "quick\n");
}

#[test]
fn metrics_answer_while_draining() {
    let dog = metered("classic").start();
    let mut held = hold(&dog);
    dog.terminate();
    dog.wait_for_log(|log| log.contains("SIGTERM"));
    assert_eq!(dog.metrics().get("http_requests_in_flight", &[]), Some(1.0));
    release(&dog);
    assert_eq!(held.read_response().status(), 200);
}

#[test]
fn metrics_client_that_sends_nothing_disturbs_nobody() {
    let dog = metered("classic").start();
    let _silent: Vec<_> = (0..20).map(|_| Client::connect(dog.metrics_addr())).collect();
    assert_eq!(dog.metrics().get("http_requests_in_flight", &[]), Some(0.0));
    assert_eq!(dog.get("/").status(), 200);
}
