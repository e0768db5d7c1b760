//! Methods and targets.

use e2e::Request;

use super::{cat, telling};

#[test]
fn head_has_no_body_in_streaming_mode_and_is_refused_in_classic() {
    let dog = telling("streaming").start();
    let response = dog.call(&Request::new("HEAD", "/x"));
    assert_eq!((response.status(), response.body.len()), (200, 0));
    let dog = telling("classic").start();
    assert_eq!(dog.call(&Request::new("HEAD", "/x")).status(), 405);
}

#[test]
fn options_star_answers_200_and_other_stars_400() {
    let dog = telling("streaming").start();
    let response = dog.call(&Request::new("OPTIONS", "*"));
    assert_eq!((response.status(), response.text().as_str()), (200, ""));
    assert_eq!(dog.call(&Request::get("*")).status(), 400);
}

#[test]
fn connect_answers_404() {
    let dog = telling("streaming").start();
    let response = dog.call(&Request::new("CONNECT", "example.com:443"));
    assert_eq!(response.status(), 404);
}

#[test]
fn target_in_absolute_form_is_served_by_its_path() {
    let dog = telling("streaming").start();
    let response = dog.get("http://function/some/path?q=1");
    assert_eq!(response.text(), "GET /some/path?q=1");
}

#[test]
fn path_reaches_the_function_untouched() {
    // Defect 17: such paths were redirected.
    for mode in ["classic", "streaming"] {
        let dog = telling(mode).start();
        for (target, path) in [
            ("//", "//"),
            ("//a//b", "//a//b"),
            ("/a/../b", "/a/../b"),
            ("/./a/.", "/./a/."),
            ("/..", "/.."),
            ("/a%2Fb", "/a/b"),
            ("/%2F%2F", "///"),
            ("/%2e%2e/x", "/../x"),
            ("/a%20b", "/a b"),
            ("/a+b", "/a+b"),
            ("/;p=1,2", "/;p=1,2"),
            ("/%C3%A9", "/é"),
        ] {
            let response = dog.get(target);
            assert_eq!(response.status(), 200, "{mode} {target}");
            assert_eq!(response.text(), format!("GET {path}?"), "{mode} {target}");
        }
    }
}

#[test]
fn path_with_bytes_that_are_no_utf8_reaches_the_function() {
    let dog = telling("streaming").start();
    let response = dog.get("/%FF%FE");
    assert_eq!(response.status(), 200);
    assert_eq!(response.body, b"GET /\xFF\xFE?");
}

#[test]
fn path_with_raw_bytes_above_ascii_has_a_clear_status() {
    let dog = telling("streaming").start();
    let response = dog.request(b"GET /\xC3\xA9\xFF HTTP/1.1\r\nHost: f\r\n\r\n");
    assert!(matches!(response.status(), 200 | 400), "{:?}", response.head);
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn path_with_nul_answers_400() {
    for mode in ["classic", "streaming", "serializing"] {
        let dog = telling(mode).start();
        assert_eq!(dog.get("/a%00b").status(), 400, "{mode}");
        assert_eq!(dog.get("/").status(), 200, "{mode}");
    }
}

#[test]
fn query_reaches_the_function_raw() {
    let dog = telling("streaming").start();
    for query in ["a=1&b=2", "%zz", "%20+", "a=%00", "?", "x=/../"] {
        let response = dog.get(&format!("/p?{query}"));
        assert_eq!(response.text(), format!("GET /p?{query}"));
    }
}

#[test]
fn path_with_percent_and_no_digits_has_a_clear_status() {
    let dog = telling("streaming").start();
    for target in ["/%zz", "/%", "/a%4"] {
        let status = dog.get(target).status();
        assert!(matches!(status, 200 | 400), "{target}: {status}");
    }
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn every_response_has_a_date() {
    let dog = cat();
    for path in ["/", "/_/health", "/%00"] {
        assert!(dog.get(path).header("date").is_some(), "{path}");
    }
}
