//! What else has to be free: ports and the lock file.

use std::net::TcpListener;

use e2e::{Request, free_port, left_out};

use super::{assert_names, ends_with, is_refused, printed};
use crate::watchdog;

#[test]
fn port_out_of_range_is_fatal() {
    for port in ["-1", "65536", "99999"] {
        let ended = is_refused(watchdog().fprocess("cat").env("port", port));
        assert_names(&ended, &["port", port]);
    }
}

#[test]
fn port_junk_is_never_a_random_port() {
    let launch = watchdog().fprocess("cat").env("port", "abc");
    let ended = is_refused(launch.env("strict_config", "true"));
    assert_names(&ended, &["port", "abc"]);
    let line = printed(watchdog().fprocess("cat").env("port", "abc"), "port");
    assert!(line.contains("8080"), "{line}");
}

#[test]
fn port_in_use_exits_non_zero_without_a_lock_file() {
    // Defect 10.
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = ends_with(1, watchdog().fprocess("cat").env("port", &port));
    assert_names(&ended, &[&port]);
}

#[test]
fn metrics_port_in_use_exits_non_zero_without_a_lock_file() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = ends_with(1, watchdog().fprocess("cat").env("metrics_port", &port));
    assert_names(&ended, &["metrics", &port]);
}

#[test]
fn metrics_port_equal_to_port_is_fatal() {
    let port = free_port().to_string();
    let launch = watchdog().fprocess("cat").env("port", &port);
    let ended = is_refused(launch.env("metrics_port", &port));
    assert_names(&ended, &["metrics_port"]);
}

#[test]
fn metrics_port_zero_opens_no_listener() {
    let dog = watchdog().fprocess("cat").start();
    assert_eq!(dog.listening_ports(), [dog.addr().port()]);
}

#[test]
fn metrics_port_opens_a_second_listener() {
    let dog = watchdog().fprocess("cat").metrics().start();
    let mut ports = [dog.addr().port(), dog.metrics_addr().port()];
    ports.sort_unstable();
    assert_eq!(dog.listening_ports(), ports);
}

#[test]
fn port_answers_over_ipv6_as_well() {
    let Ok(_probe) = TcpListener::bind("[::1]:0") else {
        left_out("the tests of IPv6 need the address ::1");
        return;
    };
    let dog = watchdog().fprocess("cat").start();
    let addr = format!("[::1]:{}", dog.addr().port()).parse().unwrap();
    let response = e2e::Client::connect(addr).call(&Request::post("/", "six"));
    assert_eq!(response.text(), "six");
}

// === the lock file ===

#[test]
fn lock_file_that_cannot_be_written_is_fatal() {
    // Defect 10. A path below a regular file cannot be created even by root.
    let launch = watchdog().fprocess("cat");
    let file = launch.write("file", "");
    let ended = ends_with(1, launch.env("TMPDIR", file.join("below")));
    assert_names(&ended, &[".lock"]);
}

#[test]
fn lock_file_directory_is_created() {
    let launch = watchdog().fprocess("cat");
    let directory = launch.temp_dir().join("new").join("deep");
    let dog = launch.env("TMPDIR", &directory).start();
    assert!(directory.join(".lock").exists());
    drop(dog);
}
