//! How large a request head may be.

use e2e::Request;

use super::{assert_serves, cat, telling};
use crate::watchdog;

fn with_headers(count: usize, size: usize) -> Request {
    (0..count).fold(Request::post("/", "body"), |request, number| {
        request.header(&format!("X-Header-{number}"), "v".repeat(size))
    })
}

#[test]
fn headers_200_are_accepted_and_reach_the_function() {
    for mode in ["classic", "streaming"] {
        let dog =
            watchdog().mode(mode).sh(r"cat >/dev/null; env | grep -c ^Http_X_Header_").start();
        let response = dog.call(&with_headers(200, 10));
        assert_eq!((response.status(), response.text().trim()), (200, "200"));
    }
}

#[test]
fn header_block_just_below_1_mib_is_accepted() {
    // The environment of a process has its own limits, which are another suite's matter.
    let dog = watchdog().mode("classic").fprocess("cat").env("cgi_headers", "false").start();
    for (count, size) in [(200, 5_150), (10, 103_000)] {
        let request = with_headers(count, size);
        let head = request.head_bytes().len();
        assert!((1_000_000..1_048_576).contains(&head), "{head}");
        let response = dog.call(&request);
        assert_eq!((response.status(), response.text().as_str()), (200, "body"));
    }
}

#[test]
fn header_block_beyond_1_mib_answers_431() {
    let dog = cat();
    for (count, size) in [(200, 8_000), (2, 800_000), (1, 2_000_000)] {
        let response = dog.request(with_headers(count, size).to_bytes());
        assert_eq!(response.status(), 431, "{count} headers of {size}");
    }
    assert_serves(&dog);
}

#[test]
fn headers_600_answer_431_in_every_mode() {
    for mode in ["classic", "streaming", "serializing", "http", "static"] {
        let launch = match mode {
            "http" => crate::upstream::http(),
            "static" => {
                let launch = watchdog().mode(mode);
                let root = launch.temp_dir().to_owned();
                launch.env("static_path", root)
            }
            mode => watchdog().mode(mode).fprocess("cat"),
        };
        let dog = launch.start_ready();
        assert_eq!(dog.call(&with_headers(600, 1)).status(), 431, "{mode}");
        assert_eq!(dog.get("/_/health").status(), 200, "{mode}");
    }
}

#[test]
fn header_block_without_an_end_takes_bounded_memory() {
    let dog = cat();
    let before = dog.peak_rss_kb();
    for _ in 0..2 {
        let mut client = dog.connect();
        client.send("GET / HTTP/1.1\r\nHost: f\r\n");
        let line = format!("X-A: {}\r\n", "v".repeat(8_000)).repeat(100);
        // Sixteen megabytes, unless the server has had enough before.
        for _ in 0..20 {
            if client.try_send(&line).is_err() {
                break;
            }
        }
        if let Ok(head) = client.try_read_head() {
            assert_eq!(head.status, 431);
        }
    }
    let grown = dog.peak_rss_kb() - before;
    assert!(grown < 16_000, "it grew by {grown} kB");
    assert_serves(&dog);
}

#[test]
fn target_of_60_kb_is_served_or_refused_with_414() {
    let dog = telling("streaming").start();
    let query = "q".repeat(60_000);
    let response = dog.get(&format!("/p?{query}"));
    assert_eq!(response.status(), 200);
    assert_eq!(response.text(), format!("GET /p?{query}"));
    let status = dog.get(&format!("/{}", "p".repeat(200_000))).status();
    assert!(matches!(status, 400 | 414 | 431), "{status}");
    assert_eq!(dog.get("/p").status(), 200);
}
