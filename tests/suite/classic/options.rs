//! `combine_output`, `marshal_request` and the other options.

use e2e::Request;

use super::classic;

#[test]
fn cgi_headers_false_gives_the_plain_environment() {
    let dog = classic().fprocess("env").env("cgi_headers", "false").env("GREETING", "hi").start();
    let text = dog.call(&Request::get("/x?y").header("X-Z", "z")).text();
    assert!(text.lines().all(|line| !line.to_ascii_lowercase().starts_with("http_")), "{text}");
    assert!(text.lines().any(|line| line == "GREETING=hi"), "{text}");
}

#[test]
fn marshal_request_gives_the_request_as_json() {
    let dog = classic().fprocess("cat").env("marshal_request", "true").start();
    let request =
        Request::post("/", "hello").header("x-b", "1").header("A", "2").header("x-b", "3");
    assert_eq!(
        dog.call(&request).text(),
        r#"{"header":{"A":["2"],"Content-Length":["5"],"X-B":["1","3"]},"body":{"raw":"aGVsbG8="}}"#
    );
    assert_eq!(dog.get("/").text(), r#"{"header":{},"body":{"raw":""}}"#);
}

#[test]
fn marshal_request_of_a_chunked_body_has_no_transfer_encoding() {
    // It belongs to the connection; Go's servers, whose form this is, take it out of the headers.
    let dog = classic().fprocess("cat").env("marshal_request", "true").start();
    let request = Request::new("POST", "/").header("A", "2").chunked(["he", "ll", "o"]);
    assert_eq!(dog.call(&request).text(), r#"{"header":{"A":["2"]},"body":{"raw":"aGVsbG8="}}"#);
}

#[test]
fn write_debug_shows_the_body_and_the_target() {
    let dog = classic().fprocess("cat").env("write_debug", "true").start();
    assert_eq!(dog.post("/some/path?key=value", "the body").text(), "the body");
    dog.wait_for_stdout(|text| text.contains("the body"));
    dog.wait_for_log(|log| {
        let said = |name, value| log.lines().any(|l| l.contains(name) && l.contains(value));
        said("Query", "key=value") && said("Path", "/some/path")
    });
}

#[test]
fn write_debug_logs_a_failure_with_its_output() {
    let dog = classic().sh("echo clue; exit 3").env("write_debug", "true").start();
    assert_eq!(dog.get("/").status(), 500);
    dog.wait_for_log(|log| {
        log.contains("Success=false") && log.contains("exit status 3") && log.contains("Out=clue")
    });
}

#[test]
fn debug_headers_prints_both_directions_without_a_time() {
    let dog = classic().fprocess("cat").env("debug_headers", "true").start();
    let request = Request::post("/", "hello").header("x-one", "a").header("x-two", "b");
    assert_eq!(dog.call(&request).status(), 200);
    dog.wait_for_stdout(|text| {
        let has = |wanted: &str| text.lines().any(|line| line == wanted);
        has("[in] X-One=[a]") && has("[in] X-Two=[b]") && has("[out] Content-Length=[5]")
    });
}
