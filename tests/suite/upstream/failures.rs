//! Functions that break, and clients that leave.

use std::net::{IpAddr, TcpListener, UdpSocket};

use e2e::{
    Client, DEADLINE, End, Request, Response, Watchdog, eventually, free_port, left_out,
    play::{Play, Step, send, send_chunk, touch, wait},
};

use super::{assert_duration, exists, heads, http};
use crate::{UPSTREAM, watchdog};

#[track_caller]
fn assert_bad_gateway(dog: &Watchdog, response: &Response) {
    assert_eq!(response.status(), 502, "{}", dog.log());
    assert_eq!(response.header("x-openfaas-internal"), Some("of-watchdog"));
    assert!(!response.text().trim().is_empty(), "a body that says why");
    assert!(response.is_complete());
    assert_duration(response);
}

/// Makes the function refuse connections from now on, and closes the one that carries this.
fn stop_listening(dog: &Watchdog) {
    let play = Play::new([
        Step::Body,
        Step::Unlisten,
        send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        Step::Close,
    ]);
    assert_eq!(dog.call(&play.get()).status(), 200);
}

#[test]
fn refused_connection_is_502() {
    let dog = http().metrics().start();
    stop_listening(&dog);
    assert_bad_gateway(&dog, &dog.get("/"));
    assert_bad_gateway(&dog, &dog.post("/", "body"));
    let lines = dog.wait_for_access_lines(3);
    for line in ["GET / - 502 - ", "POST / - 502 - "] {
        assert_eq!(lines.iter().filter(|l| l.contains(line)).count(), 1, "{lines:?}");
    }
    eventually(DEADLINE, "the calls to be counted", || {
        dog.metrics().requests(502, "get") >= 1.0 && dog.metrics().requests(502, "post") >= 1.0
    });
}

/// Defect 2: SSE, NDJSON and WebSocket requests got 200 with an empty body.
#[test]
fn refused_stream_and_upgrade_are_502() {
    let dog = http().start();
    stop_listening(&dog);
    for accept in ["text/event-stream", "application/x-ndjson"] {
        assert_bad_gateway(&dog, &dog.call(&Request::get("/").header("Accept", accept)));
    }
    let upgrade = Request::get("/").header("Connection", "Upgrade").header("Upgrade", "websocket");
    assert_bad_gateway(&dog, &dog.call(&upgrade));
}

#[test]
fn close_before_the_head_is_502() {
    let dog = http().start();
    for ending in [Step::Close, Step::Reset] {
        let play = Play::new([Step::Body, ending]);
        assert_bad_gateway(&dog, &dog.call(&play.post("x")));
    }
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn close_inside_the_head_is_502() {
    let dog = http().start();
    let play = Play::new([Step::Body, send("HTTP/1.1 200 OK\r\nContent-Le"), Step::Close]);
    assert_bad_gateway(&dog, &dog.call(&play.post("x")));
}

#[test]
fn answer_that_is_no_http_is_502() {
    let dog = http().start();
    for garbage in [
        "garbage\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ] {
        let play = Play::new([Step::Body, send(garbage), Step::Close]);
        assert_bad_gateway(&dog, &dog.call(&play.post("x")));
    }
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn unasked_switch_of_protocols_is_502() {
    let dog = http().start();
    let play = Play::new([
        Step::Body,
        send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        Step::Eof,
    ]);
    assert_bad_gateway(&dog, &dog.call(&play.post("x")));
}

#[track_caller]
fn assert_cut(dog: &Watchdog, steps: impl IntoIterator<Item = Step>) {
    let response = dog.call(&Play::new(steps).get());
    assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    assert!(!response.is_complete(), "the client was told that the response is complete");
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn break_inside_a_response_of_known_length_cuts_it() {
    let dog = http().start();
    let begin = send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    assert_cut(&dog, [Step::Body, begin, Step::Close]);
}

/// Defect 5: such a response was closed off as if it were complete.
#[test]
fn break_inside_a_chunked_response_cuts_it() {
    let dog = http().start();
    let head = send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    // Between two chunks, and inside one.
    assert_cut(&dog, [Step::Body, head.clone(), send_chunk("hello"), Step::Close]);
    assert_cut(&dog, [Step::Body, head.clone(), send("a\r\nhello"), Step::Close]);
    assert_cut(&dog, [Step::Body, head, send_chunk("hello"), send("zz\r\n"), Step::Close]);
}

/// Defect 5, for the streams that take the other path in the of-watchdog.
#[test]
fn break_inside_an_event_stream_cuts_it() {
    let dog = http().start();
    let play = Play::new([
        Step::Body,
        send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        send_chunk("data: 1\n\n"),
        Step::Close,
    ]);
    let response = dog.call(&play.get().header("Accept", "text/event-stream"));
    assert_eq!(response.text(), "data: 1\n\n");
    assert!(!response.is_complete());
}

#[test]
fn reset_inside_a_response_without_length_cuts_it() {
    let dog = http().start();
    let begin = send("HTTP/1.0 200 OK\r\n\r\nhello");
    let mut client = dog.connect();
    client.send(Play::new([Step::Body, begin, wait("seen"), Step::Reset]).get().to_bytes());
    assert_eq!(client.read_head().status, 200);
    // A reset throws away what is on its way, so that it has to wait for the bytes to arrive.
    let mut body = Vec::new();
    while body.len() < 5 {
        body.extend(client.read_chunk_data());
    }
    super::touch(&dog, "seen");
    let (rest, end) = client.read_body();
    assert!(rest.is_empty() && matches!(end, End::Cut(_)), "{end:?}");
    assert_eq!(dog.get("/").status(), 200);
}

const REFUSAL: &str =
    "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbig\n";

/// Uploads the beginning of a large body to a function that refuses it and then does `rest`.
#[track_caller]
fn assert_refusal_arrives(dog: &Watchdog, rest: Step) {
    let request = Play::new([send(REFUSAL), rest]).with(Request::new("POST", "/"));
    let mut client = dog.connect();
    client.send(request.header("Content-Length", "50000000").head_bytes());
    // The server may have answered and closed by now.
    let _ = client.try_send(vec![b'x'; 64 * 1024]);
    let response = client.read_response();
    assert_eq!((response.status(), response.text().as_str()), (413, "big\n"), "{}", dog.log());
}

#[test]
fn early_refusal_reaches_a_client_that_still_uploads() {
    let dog = http().start();
    assert_refusal_arrives(&dog, Step::Eof);
    assert_eq!(dog.get("/").status(), 200);
}

/// A function that closes with the body unread breaks the connection (RST), so that sending the
/// rest fails before the answer is read.
#[test]
fn early_refusal_with_a_broken_connection_reaches_the_client() {
    let dog = http().start();
    for _ in 0..20 {
        assert_refusal_arrives(&dog, Step::Close);
    }
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn early_refusal_reaches_a_client_that_uploads_all_of_it() {
    let dog = http().start();
    let play = Play::new([
        send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nbig\n"),
        Step::Eof,
    ]);
    let mut client = dog.connect();
    // Whether the rest is taken or refused is the server's business; the answer has to come.
    let _ = client.try_send(play.post(vec![b'x'; 200_000]).to_bytes());
    assert_eq!(client.read_response().status(), 413);
}

#[test]
fn client_that_leaves_ends_the_call_upstream() {
    let dog = http().start();
    let play = Play::new([Step::Body, touch("called"), Step::Eof, touch("left")]);
    let mut client = dog.connect();
    client.send(play.post("x").to_bytes());
    eventually(DEADLINE, "the call", || exists(&dog, "called"));
    drop(client);
    eventually(DEADLINE, "the function to be told", || exists(&dog, "left"));
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn client_that_leaves_while_it_uploads_ends_the_call_upstream() {
    let dog = http().start();
    let play = Play::new([touch("called"), Step::Eof, touch("left")]);
    let mut client = dog.connect();
    client.send(play.post("12345").head_bytes());
    client.send("12");
    eventually(DEADLINE, "the call", || exists(&dog, "called"));
    client.reset();
    eventually(DEADLINE, "the function to be told", || exists(&dog, "left"));
    assert_eq!(dog.get("/").status(), 200);
}

#[test]
fn malformed_chunk_is_400_and_never_a_complete_request() {
    let dog = http().start();
    let play = Play::new([Step::Body, touch("complete"), Step::Reply]);
    let head = play.with(Request::new("POST", "/")).header("Transfer-Encoding", "chunked");
    let mut client = dog.connect();
    client.send(head.head_bytes());
    client.send("5\r\nhello\r\nzz\r\n");
    let response = client.read_response();
    assert_eq!(response.status(), 400, "{}", dog.log());
    assert!(!exists(&dog, "complete"));
    assert_eq!(dog.get("/").status(), 200);
}

/// Defect 16: the proxy of the environment was used for the hop to the function.
#[test]
fn proxy_of_the_environment_is_ignored() {
    // No program uses a proxy for a loopback address, whatever the environment says.
    let Some(own) = own_address() else {
        left_out("the tests of proxies need an address that is not loopback");
        return;
    };
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://{}", proxy.local_addr().unwrap());
    let port = free_port();
    let mut launch = watchdog()
        .mode("http")
        .fprocess(&format!("{UPSTREAM} 0.0.0.0:{port}"))
        .env("http_upstream_url", format!("http://{own}:{port}"))
        .env("NO_PROXY", "");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        launch = launch.env(name, &url);
    }
    let dog = launch.start_ready();
    assert_eq!(dog.get("/").status(), 200);
    assert_eq!(dog.call(&Request::get("/").header("Accept", "text/event-stream")).status(), 200);
    let upgrade = Request::get("/").header("Connection", "Upgrade").header("Upgrade", "websocket");
    assert_eq!(dog.call(&upgrade).status(), 200);
    assert!(proxy.accept().is_err(), "somebody asked the proxy");
}

/// The address from which this machine would talk to others. Connecting a datagram socket sends
/// nothing.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

/// Nothing of a broken call stays behind: no connection, no descriptor.
#[test]
fn broken_calls_leave_no_descriptors() {
    let dog = http().start();
    let idle = |dog: &Watchdog| dog.open_fds().len();
    assert_eq!(dog.get("/").status(), 200);
    // The connection to the function may be kept for a while.
    let before = idle(&dog);
    for round in 0..20 {
        let play = match round % 4 {
            0 => Play::new([Step::Body, Step::Reset]),
            1 => Play::new([Step::Body, send("garbage\r\n\r\n"), Step::Close]),
            2 => Play::new([
                Step::Body,
                send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"),
                Step::Close,
            ]),
            _ => Play::new([Step::Body, Step::Eof]),
        };
        let mut client = Client::connect(dog.addr());
        client.send(play.post("x").to_bytes());
        if round % 4 == 3 {
            let seen = round + 2;
            eventually(DEADLINE, "the call", || heads(&dog).len() >= seen);
            drop(client);
        } else {
            let _ = client.try_read_response(false);
        }
    }
    eventually(DEADLINE, "every descriptor to be closed", || idle(&dog) <= before);
}
