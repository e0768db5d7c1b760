//! mode=http: large answers of the function on their way through a pipe of the watchdog's.

use std::{net::Ipv4Addr, thread};

use e2e::{
    Client, DEADLINE, Launch, Request, eventually,
    play::{Play, Step, pattern, send, touch, wait},
};

use super::{LARGE, MIB, POLICIES, assert_cut, traced, tracing_is_possible};
use crate::upstream::{exists, heads, http, touch as allow};

fn patient(policy: &str) -> Launch {
    let names = ["exec_timeout", "read_timeout", "write_timeout"];
    let launch = http().env("zero_copy", policy);
    names.into_iter().fold(launch, |launch, name| launch.env(name, "2m"))
}

/// With `auto` nothing is spliced to 127.0.0.1 itself: what comes from there is certain to be a
/// client on this machine.
const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn with_length(length: usize) -> Step {
    send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"))
}

#[test]
fn proxied_body_arrives_byte_for_byte_and_its_connection_is_used_again() {
    for policy in POLICIES {
        let dog = patient(policy).start_ready();
        let mut client = Client::connect_from(FAR.into(), dog.addr());
        for length in [LARGE, 3 * MIB + 1, 65_537, 1, LARGE] {
            let play = Play::new([Step::Body, with_length(length), Step::Fill(length)]);
            let response = client.call(&play.get());
            // A POST is never sent twice, so a connection that was kept shows as one that closes.
            // At once: an idle connection is closed after a second.
            let again = Play::new([Step::CloseIfReused, Step::Body, Step::Reply]).post("x");
            assert_eq!(client.call(&again).status(), 502, "{policy}: not used again");
            assert!(response.is_complete(), "{policy}: {:?}", response.end);
            assert!(response.body == pattern(length), "{policy}: {length} bytes changed");
        }
        let peak = dog.peak_rss_kb();
        assert!(peak < 32 * 1024, "{policy}: {peak} kB of memory");
        let told = dog.stderr().matches("zero_copy=auto: large outputs are").count();
        assert_eq!(told, usize::from(policy == "auto"), "{policy}: {}", dog.log());
    }
}

#[test]
fn large_chunks_and_bodies_without_a_length_arrive_byte_for_byte() {
    for policy in POLICIES {
        let dog = patient(policy).start_ready();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let chunk = send(&format!("{:x}\r\n", 2 * MIB));
        let chunk = || [chunk.clone(), Step::Fill(2 * MIB), send("\r\n")];
        let steps = [&[Step::Body, send(chunked)], &chunk()[..], &chunk(), &[send("0\r\n\r\n")]];
        let response = dog.call(&Play::new(steps.concat()).get());
        assert!(response.is_complete(), "{policy}: {:?}", response.end);
        assert!(response.body == [pattern(2 * MIB), pattern(2 * MIB)].concat(), "{policy}");

        let head = send("HTTP/1.1 200 OK\r\n\r\n");
        let steps = [Step::Body, head, Step::Fill(3 * MIB), Step::Close];
        let response = dog.call(&Play::new(steps).get());
        assert!(response.is_complete(), "{policy}: {:?}", response.end);
        assert!(response.body == pattern(3 * MIB), "{policy}");
    }
}

#[test]
fn body_the_function_breaks_off_is_cut() {
    for policy in POLICIES {
        let dog = patient(policy).start_ready();
        let steps = [Step::Body, with_length(4 * MIB), Step::Fill(3 * MIB), Step::Close];
        let response = dog.call(&Play::new(steps).get());
        assert_cut(&response.end);
        assert!(pattern(3 * MIB).starts_with(&response.body), "{policy}: bytes changed");
        let lines = dog.wait_for_access_lines(1);
        assert!(lines[0].contains("broke off in the middle"), "{policy}: {lines:?}");
        assert_eq!(dog.get("/").status(), 200, "{policy}");
    }
}

#[test]
fn what_follows_the_body_stays_out_of_it() {
    for policy in POLICIES {
        let dog = patient(policy).start_ready();
        let mut client = dog.connect();
        let steps = [Step::Body, with_length(MIB), Step::Fill(MIB + 7)];
        let response = client.call(&Play::new(steps).get());
        assert!(response.is_complete() && response.body == pattern(MIB), "{policy}");
        let response = client.call(&Play::new([Step::Body, Step::Reply]).post("mine"));
        assert_eq!(response.text(), "mine", "{policy}");
    }
}

#[test]
fn proxied_body_is_whole_for_a_slow_reader() {
    for policy in POLICIES {
        let dog = patient(policy).start_ready();
        let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
        let steps = [Step::Body, with_length(8 * MIB), Step::Fill(8 * MIB)];
        client.send(Play::new(steps).get().to_bytes());
        assert_eq!(client.read_head().status, 200);
        let mut body = Vec::new();
        for _ in 0..10 {
            body.extend(client.read_raw(10_000));
            thread::sleep(std::time::Duration::from_millis(20));
        }
        body.extend(client.read_raw(8 * MIB - body.len()));
        assert!(body == pattern(8 * MIB), "{policy}");
        let peak = dog.peak_rss_kb();
        assert!(peak < 32 * 1024, "{policy}: {peak} kB of memory");
    }
}

#[test]
fn what_the_function_sent_has_left_when_it_stalls() {
    for policy in POLICIES {
        let dog = patient(policy).start_ready();
        let mut client = dog.connect();
        let go = |part: usize| wait(&format!("go{part}"));
        let steps = [Step::Body, with_length(4 * MIB), Step::Fill(MIB), go(1), Step::Fill(3 * MIB)];
        client.send(Play::new(steps).get().to_bytes());
        assert_eq!(client.read_head().status, 200);
        assert!(client.read_raw(MIB) == pattern(MIB), "{policy}");
        allow(&dog, "go1");
        assert!(client.read_raw(3 * MIB) == pattern(3 * MIB), "{policy}");
    }
}

#[test]
fn reader_that_leaves_a_proxied_body_leaves_no_pipe_behind() {
    for policy in POLICIES {
        let dog = patient(policy).start_ready();
        let fill = [Step::Body, with_length(LARGE), Step::Fill(LARGE)];
        let steps = [&fill[..], &[touch("left")]].concat();
        assert!(dog.call(&Play::new(fill).get()).is_complete());
        let pipes = || dog.open_fds().iter().filter(|fd| fd.starts_with("pipe:")).count();
        eventually(DEADLINE, "the watchdog to be idle", || dog.connections() <= 1);
        let before = pipes();
        for _ in 0..5 {
            let mut client = Client::connect_with_receive_buffer(dog.addr(), 16 * 1024);
            client.send(Play::new(steps.clone()).get().to_bytes());
            assert_eq!(client.read_head().status, 200);
            client.read_raw(MIB);
            client.reset();
        }
        let lines = dog.wait_for_access_lines(6);
        let left = lines.iter().filter(|line| line.contains("the client left")).count();
        assert_eq!(left, 5, "{policy}: {lines:?}");
        eventually(DEADLINE, "every pipe to be closed", || pipes() <= before);
        assert!(!exists(&dog, "left"), "{policy}: nobody took it, but all of it was sent");
        assert_eq!(heads(&dog).len(), 6, "{policy}");
        assert_eq!(dog.call(&Request::get("/")).status(), 200, "{policy}");
    }
}

#[test]
fn kernel_moves_a_proxied_body_when_it_is_told_to() {
    if !tracing_is_possible() {
        return;
    }
    let near = Ipv4Addr::LOCALHOST;
    for (policy, client, expected) in
        [("on", near, 2), ("off", FAR, 0), ("auto", near, 0), ("auto", FAR, 2)]
    {
        let length = 8 * MIB;
        let (launch, trace) = traced(patient(policy));
        let dog = launch.start_ready();
        let play = Play::new([Step::Body, with_length(length), Step::Fill(length)]);
        let response = Client::connect_from(client.into(), dog.addr()).call(&play.get());
        assert!(response.body == pattern(length), "{policy}");
        let trace = std::fs::read_to_string(trace).unwrap();
        let ends = |line: &str| {
            let inside = line.split_once("splice(")?.1;
            let mut words = inside.split(", ");
            Some((words.next()?.to_owned(), words.nth(1)?.to_owned()))
        };
        let moves: Vec<_> = trace.lines().filter_map(ends).collect();
        let into_pipe = moves.iter().any(|(from, to)| from.contains("TCP") && to.contains("pipe"));
        let out_of_pipe =
            moves.iter().any(|(from, to)| from.contains("pipe") && to.contains("TCP"));
        let kinds = u32::from(into_pipe) + u32::from(out_of_pipe);
        assert_eq!(kinds, expected, "{policy}, {client}: {moves:?}");
    }
}
