//! `gateway-lite up`: a stack file, running.

use std::{fs, path::PathBuf};

use e2e::{
    Ended, Request,
    gateway::{Gateway, GatewayLaunch, Provider},
};

use crate::{gateway, launch};

on_processes! {
    examples_run_with_one_command
    stack_is_deployed_to_a_gateway_that_is_there
    mistakes_are_named_and_nothing_is_started
    everything_of_a_stack_reaches_its_functions
    filter_picks_functions
    function_that_does_not_start_is_told
    gateway_is_started_at_the_address_that_nobody_answers_at
}

/// With the base images of the examples, which no registry is asked for.
mod docker_only {
    #[test]
    fn examples_run_with_one_command() {
        const IMAGES: [&str; 3] = ["kennel/watchdog", "alpine:latest", "python:3-alpine"];
        if let Some(docker) = e2e::gateway::Provider::docker_with(&IMAGES) {
            super::examples_run_with_one_command(docker);
        }
    }

    #[test]
    fn stack_is_built_deployed_and_built_again() {
        if let Some(docker) = e2e::gateway::Provider::docker_with(&["kennel/alpine"]) {
            super::stack_is_built_deployed_and_built_again(docker);
        }
    }
}

/// A launch of `up` in a folder with these files.
fn up(provider: Provider, files: &[(&str, &str)], arguments: &[&str]) -> GatewayLaunch {
    let launch = launch(provider);
    for (name, text) in files {
        launch.write(name, text);
    }
    launch.args(["up"].into_iter().chain(arguments.iter().copied()))
}

#[track_caller]
fn succeeds(ended: &Ended) {
    assert_eq!(ended.code(), Some(0), "{}\n{}", ended.stdout, ended.stderr);
}

fn examples_run_with_one_command(provider: Provider) {
    let examples = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/stack.yaml"));
    let file = examples.to_str().unwrap();
    // Whoever has it: the clock finds another port.
    let _taken = std::net::TcpListener::bind(("127.0.0.1", 5000));
    let arguments = ["up", "-f", file, "--provider", provider.name()];
    let gateway = launch(provider).args(arguments).start();
    gateway.wait_for_output(|text| text.contains("/function/site"));
    assert!(!gateway.log().contains("/system/"), "what up asks has lines: {}", gateway.log());
    let table = gateway.output();
    for name in ["shout", "hello", "site", "clock"] {
        let row = table.lines().find(|line| line.contains(&format!("/function/{name}")));
        assert!(row.is_some_and(|row| row.contains(" ready ")), "{name}: {}", gateway.log());
    }
    let answer = |response: e2e::Response| {
        assert_eq!(response.status(), 200, "{}\n{}", response.text(), gateway.log());
        response.text()
    };
    assert_eq!(answer(gateway.post("/function/shout", "hello\n")), "OLLEH\n");
    assert!(answer(gateway.post("/function/hello", "you")).contains("you"));
    assert!(answer(gateway.get("/function/site/")).contains("<h1>"));
    let time = answer(gateway.get("/function/clock"));
    assert_eq!((time.len(), &time[2..3], &time[5..6]), ("hh:mm:ss\n".len(), ":", ":"), "{time}");
    // Replicas share the loopback of processes.
    gateway.scale("clock", 2);
    gateway.wait_ready("clock", 2);
    for _ in 0..4 {
        assert_eq!(answer(gateway.get("/function/clock")).len(), time.len());
    }
    // In the foreground, with what the functions write, until somebody has had enough.
    gateway.wait_for_output(|text| text.contains("shout | "));
    assert!(!gateway.has_exited());
    gateway.signal(rustix::process::Signal::INT);
    assert_eq!(gateway.wait_exit().code(), Some(0), "{}", gateway.log());
    let left = gateway.running_replicas();
    // Containers go on; processes have nobody to look after them.
    assert_eq!(left, if provider == Provider::Docker { 5 } else { 0 }, "{}", gateway.log());
}

fn stack_is_built_deployed_and_built_again(provider: Provider) {
    let gateway = gateway(provider);
    let stack = r"
functions:
  built:
    lang: dockerfile
    handler: ./one
    image: kennel-e2e/built
    build_args: {GREETING: hello}
    environment: {A: b}
    secrets: [s]
    readonly_root_filesystem: true
";
    let dockerfile = "FROM kennel/alpine\nARG GREETING\nENV GREETING=$GREETING\nCOPY run.sh words ./\n\
                      ENV fprocess=\"sh run.sh\"\n";
    let script = "cat words; echo $GREETING $A; cat /var/openfaas/secrets/s";
    let with = |words: &str, dockerfile: &str| {
        let files = [
            ("stack.yaml", stack),
            ("one/Dockerfile", dockerfile),
            ("one/words", words),
            ("one/run.sh", script),
            (".secrets/s", "hidden"),
        ];
        against(&gateway, &files, &[])
    };
    let ended = with("one ", dockerfile);
    succeeds(&ended);
    assert!(ended.stdout.contains("Step 1/"), "{}", ended.stdout);
    assert_eq!(gateway.get("/function/built").text(), "one hello b\nhidden");
    // What changed is built, and replaces what runs under the same name.
    succeeds(&with("two ", dockerfile));
    assert_eq!(gateway.get("/function/built").text(), "two hello b\nhidden");
    let ended = with("three ", &format!("{dockerfile}RUN echo no compiler; exit 3\n"));
    assert_eq!(ended.code(), Some(1), "{}", ended.stdout);
    assert!(
        ended.stdout.contains("no compiler") && ended.stderr.contains("kennel-e2e/built"),
        "{}\n{}",
        ended.stdout,
        ended.stderr
    );
    assert_eq!(gateway.get("/function/built").text(), "two hello b\nhidden");
    let ended = with("three ", "FROM 127.0.0.1:1/no-such-image\n");
    assert_eq!(ended.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("127.0.0.1:1"), "{}", ended.stderr);
}

const SCRIPT: &str = "echo \"$A,$B,$C,$D,$(cat \"$secret_mount_path/s\")\"";

const CAT: &str = "functions:\n  one:\n    handler: ./one\n    fprocess: cat\n";

/// `up` of these files, which lie beside the gateway's own because functions run where they are.
fn against(gateway: &Gateway, files: &[(&str, &str)], more: &[&str]) -> Ended {
    let url = format!("http://{}", gateway.addr());
    let password = gateway.data().join("basic-auth-password").display().to_string();
    let folder = gateway.temp_dir().join("stack");
    for name in ["one", "two", ".secrets"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    let file = folder.join("stack.yaml").display().to_string();
    let mut arguments = vec!["-f", &file, "--gateway", &url, "--detach"];
    if !more.contains(&"--password-file") {
        arguments.extend(["--password-file", &password]);
    }
    arguments.extend(more);
    up(gateway.provider(), &[], &arguments).env("SCRIPT", SCRIPT).spawn_expecting_exit()
}

fn stack_is_deployed_to_a_gateway_that_is_there(provider: Provider) {
    let gateway = gateway(provider);
    let ended = against(&gateway, &[("stack.yaml", CAT)], &[]);
    succeeds(&ended);
    let url = format!("http://{}/function/one", gateway.addr());
    assert!(ended.stdout.contains(&url) && ended.stdout.contains("ready"), "{}", ended.stdout);
    assert_eq!(gateway.post("/function/one", "x").text(), "x");
    // Once more is an update.
    let loud = CAT.replace("cat", "tr a-z A-Z");
    succeeds(&against(&gateway, &[("stack.yaml", &loud)], &[]));
    assert_eq!(gateway.post("/function/one", "x").text(), "X");
    // A wrong password, and no gateway at all.
    let wrong = gateway.temp_dir().join("wrong").display().to_string();
    fs::write(&wrong, "wrong").unwrap();
    let ended = against(&gateway, &[("stack.yaml", CAT)], &["--password-file", &wrong]);
    assert_eq!(ended.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stderr.contains("password"), "{}", ended.stderr);
    // A gateway behind a path is somebody else's to start.
    let nowhere = format!("http://127.0.0.1:{}/base", e2e::free_port());
    let launch = up(provider, &[("stack.yaml", CAT), ("one/x", "")], &["--gateway", &nowhere]);
    let ended = launch.spawn_expecting_exit();
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&nowhere), "{}", ended.stderr);
}

fn gateway_is_started_at_the_address_that_nobody_answers_at(provider: Provider) {
    let port = e2e::free_port();
    let here = format!("http://127.0.0.1:{port}");
    let arguments = ["--gateway", &here, "--provider", provider.name()];
    let gateway = up(provider, &[("stack.yaml", CAT), ("one/x", "")], &arguments).start();
    gateway.wait_for_output(|text| text.contains(&format!("{here}/function/one")));
    assert_eq!(gateway.post("/function/one", "x").text(), "x");
}

fn mistakes_are_named_and_nothing_is_started(provider: Provider) {
    for (text, named) in [
        (
            "functions:\n  f:\n    handler: .\n    enviroment: {a: b}\n",
            "did you mean `environment`",
        ),
        ("functions:\n  f:\n    handlr: .\n", "did you mean `handler`"),
        ("function:\n  f:\n    handler: .\n", "did you mean `functions`"),
        ("functions:\n  f:\n    handler: ./missing\n", "missing"),
        ("functions:\n  F_1:\n    handler: .\n", "F_1"),
        ("functions:\n  f:\n    handler: .\n    limits: {memory: much}\n", "much"),
        ("functions:\n  f:\n    handler: .\n    environment_file: [none.yml]\n", "none.yml"),
        ("functions:\n  f:\n    handler: ${UNCLOSED\n", "line 3"),
        ("provider: {name: other}\nfunctions: {f: {handler: .}}\n", "openfaas"),
        ("functions: {}\n", "no functions"),
        ("\t{", "stack.yaml"),
    ] {
        let ended = up(provider, &[("stack.yaml", text)], &[]).spawn_expecting_exit();
        assert_eq!(ended.code(), Some(2), "{text}: {}", ended.stderr);
        assert!(ended.stderr.contains(named), "{named} is not in {}", ended.stderr);
        assert!(!ended.stderr.contains("Listening"), "{}", ended.stderr);
    }
    let ended = up(provider, &[], &["-f", "nowhere.yaml"]).spawn_expecting_exit();
    assert!(ended.code() == Some(2) && ended.stderr.contains("nowhere.yaml"), "{}", ended.stderr);
}

fn everything_of_a_stack_reaches_its_functions(provider: Provider) {
    let gateway = gateway(provider);
    let stack = r"
functions:
  one:
    handler: ./one
    fprocess: sh ../../function/run.sh
    environment:
      SCRIPT: ${SCRIPT}
      A: plain
      B: ${MISSING:-fallback}
      C: from the stack
    environment_file: [more.yml]
    secrets: [s]
    labels: {l: 1}
    annotations: {a: true}
    limits: {memory: 64Mi}
";
    let files = [
        ("stack.yaml", stack),
        ("more.yml", "environment:\n  C: from the file\n  D: 7\n"),
        (".secrets/s", "hidden"),
    ];
    succeeds(&against(&gateway, &files, &[]));
    assert_eq!(gateway.get("/function/one").text(), "plain,fallback,from the file,7,hidden\n");
    let status = gateway.status("one");
    assert_eq!(
        (&status["labels"]["l"], &status["annotations"]["a"]),
        (&"1".into(), &"true".into())
    );
    assert_eq!(status["limits"]["memory"], "64Mi");
}

fn filter_picks_functions(provider: Provider) {
    let gateway = gateway(provider);
    let stack = format!("{CAT}  two:\n    handler: ./two\n    fprocess: cat\n");
    succeeds(&against(&gateway, &[("stack.yaml", &stack)], &["--filter", "t*"]));
    assert_eq!(gateway.call(&Request::get("/function/one")).status(), 404);
    assert_eq!(gateway.post("/function/two", "x").text(), "x");
    let ended = against(&gateway, &[("stack.yaml", &stack)], &["--filter", "x*"]);
    assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("one, two"), "{}", ended.stderr);
}

fn function_that_does_not_start_is_told(provider: Provider) {
    let gateway = gateway(provider);
    let stack = CAT.replace("cat", "no-such-program")
        + "    environment: {mode: http, http_upstream_url: 'http://127.0.0.1:1'}\n";
    let ended = against(&gateway, &[("stack.yaml", &stack)], &[]);
    assert_eq!(ended.code(), Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains("no-such-program"), "{}", ended.stdout);
    assert!(ended.stderr.contains("one"), "{}", ended.stderr);
}
