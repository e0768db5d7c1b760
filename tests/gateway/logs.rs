//! What functions write, as the control plane gives it out.

use e2e::{
    Client, Request,
    gateway::{Function, Gateway, Provider},
};
use serde_json::Value;

use crate::gateway;

on_every_provider! {
    lines_of_all_replicas_are_merged_in_order
    tail_gives_the_last_lines
    since_leaves_out_what_is_older
    followers_get_each_line_as_it_is_written
    followers_see_replicas_that_come_later
    instance_picks_one_replica
    logs_outlive_the_gateway
    stream_ends_with_its_function
}

/// Writes what it is called with. What the watchdog writes begins otherwise.
const WRITES: &str = "read -r line; echo \"> $line\" >&2";

/// The function's own lines.
fn own(lines: Vec<Value>) -> Vec<Value> {
    let is_own = |line: &Value| line["text"].as_str().is_some_and(|text| text.contains("> "));
    lines.into_iter().filter(is_own).collect()
}

fn texts(lines: &[Value]) -> Vec<String> {
    let text =
        |line: &Value| line["text"].as_str()?.split_once("> ").map(|(_, text)| text.to_owned());
    lines.iter().filter_map(text).collect()
}

/// Calls the function and waits until its line is there.
#[track_caller]
fn write(gateway: &Gateway, line: &str) {
    assert_eq!(gateway.post("/function/f", format!("{line}\n")).status(), 200);
    e2e::eventually(e2e::DEADLINE, "the line", || {
        texts(&gateway.logs("f", "")).iter().any(|text| text == line)
    });
}

fn follow(gateway: &Gateway, query: &str) -> Client {
    let request = Request::get(&format!("/system/logs?name=f&follow=true{query}"))
        .header("Authorization", gateway.authorization().unwrap());
    let mut client = gateway.connect();
    client.send(request.to_bytes());
    let head = client.read_head();
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("application/x-ndjson")));
    client
}

#[track_caller]
fn next(client: &mut Client) -> String {
    let mut bytes = Vec::new();
    while bytes.last() != Some(&b'\n') {
        bytes.extend(client.read_chunk_data());
    }
    let line: Value = serde_json::from_slice(&bytes).unwrap();
    // What the watchdog says is passed over.
    match texts(&[line]).pop() {
        Some(text) => text,
        None => next(client),
    }
}

fn lines_of_all_replicas_are_merged_in_order(provider: Provider) {
    let gateway = gateway(provider);
    gateway.deploy(&Function::sh("f", WRITES).label("com.openfaas.scale.min", "2"));
    gateway.wait_ready("f", 2);
    let sent: Vec<_> = (0..8).map(|number| format!("line {number}")).collect();
    for line in &sent {
        write(&gateway, line);
    }
    let lines = own(gateway.logs("f", "&tail=-1"));
    assert_eq!(texts(&lines), sent);
    let instances: std::collections::BTreeSet<_> =
        lines.iter().filter_map(|line| line["instance"].as_str()).collect();
    assert_eq!(instances.len(), 2, "{lines:?}");
    for line in &lines {
        assert_eq!((&line["name"], &line["namespace"]), (&"f".into(), &"openfaas-fn".into()));
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    }
    // To the millisecond at least; a fraction that is nothing is left out.
    let is_exact = |line: &Value| line["timestamp"].as_str().is_some_and(|time| time.contains('.'));
    assert!(lines.iter().any(is_exact), "{lines:?}");
}

fn tail_gives_the_last_lines(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::sh("f", "for number in $(seq 100); do echo \"> $number\" >&2; done"));
    assert_eq!(gateway.get("/function/f").status(), 200);
    e2e::eventually(e2e::DEADLINE, "a hundred lines", || {
        texts(&gateway.logs("f", "")).len() == 100
    });
    let all = gateway.logs("f", "");
    for count in [1, 3, 50] {
        assert_eq!(gateway.logs("f", &format!("&tail={count}")), all[all.len() - count..]);
    }
    for query in ["&tail=1000", "&tail=0", "&tail=-1"] {
        assert_eq!(gateway.logs("f", query), all);
    }
    let mut client = follow(&gateway, "&tail=20");
    let first = texts(&all[all.len() - 20..]).remove(0);
    assert_eq!(next(&mut client), first);
}

fn since_leaves_out_what_is_older(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::sh("f", WRITES));
    write(&gateway, "old");
    std::thread::sleep(std::time::Duration::from_millis(20));
    write(&gateway, "new");
    let time = own(gateway.logs("f", "")).last().unwrap()["timestamp"].as_str().unwrap().to_owned();
    assert_eq!(texts(&gateway.logs("f", &format!("&since={time}"))), ["new"]);
    assert!(gateway.logs("f", "&since=2100-01-01T00:00:00Z").is_empty());
    assert_eq!(texts(&gateway.logs("f", "&since=2000-01-01T00:00:00%2B02:00")), ["old", "new"]);
}

fn followers_get_each_line_as_it_is_written(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::sh("f", WRITES));
    write(&gateway, "before");
    let mut client = follow(&gateway, "&tail=-1");
    assert_eq!(next(&mut client), "before");
    for number in 0..5 {
        let line = format!("line {number}");
        assert_eq!(gateway.post("/function/f", format!("{line}\n")).status(), 200);
        assert_eq!(next(&mut client), line);
    }
}

fn followers_see_replicas_that_come_later(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::sh("f", WRITES));
    let mut client = follow(&gateway, "");
    let update = gateway.try_update(&Function::sh("f", WRITES).env("VERSION", "2"));
    assert_eq!(update.status(), 202, "{}", update.text());
    assert_eq!(gateway.post("/function/f", "of the second\n").status(), 200);
    assert_eq!(next(&mut client), "of the second");
}

fn instance_picks_one_replica(provider: Provider) {
    let gateway = gateway(provider);
    gateway.deploy(&Function::sh("f", WRITES).label("com.openfaas.scale.min", "2"));
    gateway.wait_ready("f", 2);
    for number in 0..6 {
        write(&gateway, &format!("line {number}"));
    }
    let all = own(gateway.logs("f", ""));
    let instance = all[0]["instance"].as_str().unwrap();
    let mine: Vec<_> = all.iter().filter(|line| line["instance"] == instance).cloned().collect();
    assert!(mine.len() < all.len());
    assert_eq!(texts(&gateway.logs("f", &format!("&instance={instance}"))), texts(&mine));
}

fn logs_outlive_the_gateway(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::sh("f", WRITES));
    write(&gateway, "before");
    let gateway = gateway.killed_and_restarted();
    assert_eq!(texts(&gateway.logs("f", "")), ["before"]);
    write(&gateway, "after");
    assert_eq!(texts(&gateway.logs("f", "")), ["before", "after"]);
}

fn stream_ends_with_its_function(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::sh("f", WRITES));
    write(&gateway, "last words");
    let mut client = follow(&gateway, "");
    assert_eq!(next(&mut client), "last words");
    gateway.remove("f");
    let (_, end) = client.read_body();
    assert_eq!(end, e2e::End::Complete);
}
