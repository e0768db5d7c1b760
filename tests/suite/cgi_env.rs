//! The request head as environment variables of a forked process (reference 2.1, defect 18).

mod sizes;
mod spoofing;

use std::collections::BTreeMap;

use e2e::{Launch, Request, Response};

use crate::watchdog;

const FORKING: [&str; 3] = ["classic", "serializing", "streaming"];
/// The modes of of-watchdog, whose variables differ from classic's.
const OF: [&str; 2] = ["serializing", "streaming"];

/// A function that gives its whole environment, entries ended by NUL.
fn environment(mode: &str) -> Launch {
    watchdog().mode(mode).fprocess("env -0")
}

/// What the function saw.
#[track_caller]
fn variables(response: &Response) -> BTreeMap<String, Vec<u8>> {
    assert_eq!(response.status(), 200, "{}", response.text());
    let mut variables = BTreeMap::new();
    for entry in response.body.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()) {
        let equals = entry.iter().position(|byte| *byte == b'=').expect("name=value");
        let name = String::from_utf8(entry[..equals].to_vec()).expect("a name in ASCII");
        let repeated = variables.insert(name.clone(), entry[equals + 1..].to_vec());
        assert_eq!(repeated, None, "{name} is there twice");
    }
    variables
}

/// The variables that tell of the request, as `name=value` lines in order.
#[track_caller]
fn of_request(response: &Response) -> Vec<String> {
    variables(response)
        .into_iter()
        .filter(|(name, _)| name.to_ascii_lowercase().starts_with("http_"))
        .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(&value)))
        .collect()
}

#[track_caller]
fn value(response: &Response, name: &str) -> Option<String> {
    let value = variables(response).remove(name);
    value.map(|value| String::from_utf8_lossy(&value).into_owned())
}

// === names and values ===

/// Gateways strip and set names with hyphens only.
#[test]
fn underscore_cannot_take_the_variable_of_a_hyphen() {
    let dog = watchdog().sh(r#"printf '%s' "$Http_X_1 $Http_X_2""#).start();
    for order in [["X-1: real", "X_1: spoof"], ["X_1: spoof", "X-1: real"]] {
        let [first, second] = order;
        let bytes =
            format!("GET / HTTP/1.1\r\nHost: f\r\n{first}\r\n{second}\r\nX_2: alone\r\n\r\n");
        assert_eq!(dog.request(bytes).text(), "real alone");
    }
}

#[test]
fn post_in_classic_mode_gives_exactly_these_variables() {
    let dog = environment("classic").start();
    let request = Request::post("/a%20b/c?x=1&y=%20z", "hello")
        .header("Host", "example.org:81")
        .header("x-forwarded-for", "1.1.1.1")
        .header("AUTHORIZATION", "Bearer t")
        .header("Cookie", "a=b; c=d")
        .header("Connection", "keep-alive")
        .header("X_A-B", "mixed")
        .header("X_A_B", "low")
        .header("X-A-B", "high")
        .header("x-forwarded-for", "2.2.2.2");
    assert_eq!(
        of_request(&dog.call(&request)),
        [
            "Http_Authorization=Bearer t",
            "Http_Connection=keep-alive",
            "Http_ContentLength=5",
            "Http_Content_Length=5",
            "Http_Cookie=a=b; c=d",
            "Http_Host=example.org:81",
            "Http_Method=POST",
            "Http_Path=/a b/c",
            "Http_Query=x=1&y=%20z",
            "Http_X_A_B=high",
            "Http_X_Forwarded_For=1.1.1.1",
            "Http_X_a_B=mixed",
            "Http_X_a_b=low",
        ]
    );
}

#[test]
fn post_in_of_modes_gives_exactly_these_variables() {
    for mode in OF {
        let dog = environment(mode).start();
        let request = Request::post("/a%20b/c?x=1&y=%20z", "hello")
            .header("x-forwarded-for", "1.1.1.1")
            .header("content-type", "text/plain")
            .header("x-forwarded-for", "2.2.2.2");
        assert_eq!(
            of_request(&dog.call(&request)),
            [
                "Http_Content_Length=5",
                "Http_Content_Type=text/plain",
                "Http_Method=POST",
                "Http_Path=/a b/c",
                "Http_Query=x=1&y=%20z",
                "Http_X_Forwarded_For=1.1.1.1",
            ],
            "{mode}"
        );
    }
}

#[test]
fn get_without_a_body_has_length_0_in_classic_mode_and_none_elsewhere() {
    let dog = environment("classic").start();
    assert_eq!(
        of_request(&dog.get("/")),
        [
            "Http_ContentLength=0",
            "Http_Content_Length=0",
            "Http_Host=function",
            "Http_Method=GET",
            "Http_Path=/",
        ]
    );
    for mode in OF {
        let dog = environment(mode).start();
        assert_eq!(of_request(&dog.get("/")), ["Http_Method=GET", "Http_Path=/"], "{mode}");
    }
}

#[test]
fn chunked_body_has_length_minus_1_in_classic_mode_and_none_elsewhere() {
    let request = Request::new("POST", "/").chunked(["he", "llo"]);
    let dog = environment("classic").start();
    assert_eq!(
        of_request(&dog.call(&request)),
        [
            "Http_ContentLength=-1",
            "Http_Content_Length=-1",
            "Http_Host=function",
            "Http_Method=POST",
            "Http_Path=/",
            "Http_Transfer_Encoding=chunked",
        ]
    );
    for mode in OF {
        let dog = environment(mode).start();
        assert_eq!(
            of_request(&dog.call(&request)),
            ["Http_Method=POST", "Http_Path=/", "Http_Transfer_Encoding=chunked"],
            "{mode}"
        );
    }
}

#[test]
fn empty_body_with_a_length_of_0_says_0_in_every_mode() {
    for mode in FORKING {
        let dog = environment(mode).start();
        let length = value(&dog.post("/", ""), "Http_Content_Length");
        assert_eq!(length.as_deref(), Some("0"), "{mode}");
    }
}

#[test]
fn empty_header_value_gives_an_empty_variable() {
    for mode in FORKING {
        let dog = environment(mode).start();
        let response = dog.call(&Request::get("/").header("X-Empty", ""));
        assert_eq!(value(&response, "Http_X_Empty").as_deref(), Some(""), "{mode}");
    }
}

#[test]
fn custom_method_arrives_as_it_is() {
    for mode in OF {
        let dog = environment(mode).start();
        let response = dog.call(&Request::new("Purge", "/"));
        assert_eq!(value(&response, "Http_Method").as_deref(), Some("Purge"), "{mode}");
    }
}

#[test]
fn query_is_raw_and_absent_when_empty() {
    let dog = environment("classic").start();
    for (target, query) in [
        ("/", None),
        ("/?", None),
        ("/?a", Some("a")),
        ("/?a=%41&b=+%20", Some("a=%41&b=+%20")),
        ("/?a?b/c", Some("a?b/c")),
        ("/?%00", Some("%00")),
        ("/?%zz", Some("%zz")),
    ] {
        assert_eq!(value(&dog.get(target), "Http_Query").as_deref(), query, "{target}");
    }
}

#[test]
fn path_is_decoded_but_never_cleaned() {
    // Defect 17: `//`, `.` and `..` were answered with a redirect.
    let dog = environment("classic").start();
    for (target, path) in [
        ("/", "/"),
        ("//a//b/", "//a//b/"),
        ("/a/./b/../c", "/a/./b/../c"),
        ("/../../x", "/../../x"),
        ("/a%2Fb%2f..%2Fc", "/a/b/../c"),
        ("/%2e%2e/x", "/../x"),
        ("/a+b", "/a+b"),
        ("/%C3%A9", "/\u{e9}"),
        ("/a%3Fb", "/a?b"),
        ("/new%0Aline", "/new\nline"),
        ("http://example.org/absolute?q", "/absolute"),
    ] {
        assert_eq!(value(&dog.get(target), "Http_Path").as_deref(), Some(path), "{target}");
    }
}

#[test]
fn host_of_an_absolute_target_wins_over_the_header() {
    // RFC 9112 section 3.2.2.
    let dog = environment("classic").start();
    let response = dog.get("http://example.org:81/x");
    assert_eq!(value(&response, "Http_Host").as_deref(), Some("example.org:81"));
}

// === bytes that are not text ===

#[test]
fn nul_byte_in_the_path_gives_400_and_runs_nothing() {
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(r#"echo ran >"$TMPDIR/ran""#).start();
        for path in ["/%00", "/a%00b", "/a%00?query"] {
            let response = dog.get(path);
            assert_eq!(response.status(), 400, "{mode} {path}");
            assert!(!response.body.is_empty(), "{mode} {path}");
        }
        assert!(!dog.temp_dir().join("ran").exists(), "{mode}: it ran");
        assert_eq!(dog.get("/").status(), 200);
    }
}

#[test]
fn bytes_that_are_not_utf_8_arrive_as_they_are() {
    for mode in FORKING {
        let dog = environment(mode).start();
        let response =
            dog.request(b"GET /%ff%FE/x HTTP/1.1\r\nHost: h\r\nX-Bytes: a\xff\xfeb\r\n\r\n");
        let seen = variables(&response);
        assert_eq!(seen.get("Http_Path").map(Vec::as_slice), Some(&b"/\xff\xfe/x"[..]), "{mode}");
        assert_eq!(seen.get("Http_X_Bytes").map(Vec::as_slice), Some(&b"a\xff\xfeb"[..]), "{mode}");
    }
}

#[test]
fn raw_bytes_in_the_target_are_passed_on_or_refused_with_400() {
    // RFC 9112 section 3: a target is ASCII; some clients send UTF-8 all the same.
    let dog = environment("classic").start();
    for target in [&b"/\xc3\xa9"[..], b"/\xff", b"/?\xff"] {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        let response = dog.request(&request);
        if response.status() != 400 {
            let seen = variables(&response);
            let told = |name: &str| seen.get(name).map(|value| target.ends_with(value));
            assert_eq!(told("Http_Query").or_else(|| told("Http_Path")), Some(true), "{target:?}");
        }
        assert_eq!(dog.get("/").status(), 200);
    }
}

// === the watchdog's own environment ===

#[test]
fn own_environment_is_inherited_whole() {
    for mode in FORKING {
        let dog = environment(mode)
            .env("GREETING", "hi")
            .env("EMPTY", "")
            .env("EQUATION", "a=b=c")
            .env("LINES", "one\ntwo")
            .start();
        let mut seen = variables(&dog.get("/"));
        seen.retain(|name, _| !name.starts_with("Http_"));
        let mut expected: BTreeMap<String, Vec<u8>> =
            e2e::everywhere().into_iter().map(|(name, value)| (name, value.into())).collect();
        for (name, value) in [
            ("GREETING", "hi"),
            ("EMPTY", ""),
            ("EQUATION", "a=b=c"),
            ("LINES", "one\ntwo"),
            ("mode", mode),
            ("fprocess", "env -0"),
            ("metrics_port", "0"),
            ("HOME", dog.temp_dir().to_str().expect("UTF-8")),
            ("TMPDIR", dog.temp_dir().to_str().expect("UTF-8")),
        ] {
            expected.insert(name.to_owned(), value.as_bytes().to_vec());
        }
        // Their values are the machine's and the harness's.
        assert!(seen.remove("PATH").is_some(), "{mode}");
        assert!(seen.remove("port").is_some(), "{mode}");
        assert_eq!(seen, expected, "{mode}");
    }
}

#[test]
fn request_wins_over_the_own_environment() {
    for mode in FORKING {
        let dog = environment(mode).env("Http_Path", "/stale").env("Http_X_A", "stale").start();
        let response = dog.call(&Request::get("/fresh").header("X-A", "fresh"));
        assert_eq!(value(&response, "Http_Path").as_deref(), Some("/fresh"), "{mode}");
        assert_eq!(value(&response, "Http_X_A").as_deref(), Some("fresh"), "{mode}");
    }
}
