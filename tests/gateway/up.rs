//! `gateway-lite up`: a stack file, running.

use std::{fs, path::PathBuf};

use e2e::{
    Ended, Request,
    gateway::{Gateway, GatewayLaunch, Provider},
};

use crate::{gateway, launch};

mod process {
    #[test]
    fn examples_run_with_one_command() {
        super::examples_run_with_one_command(e2e::gateway::Provider::Process);
    }

    #[test]
    fn stack_is_deployed_to_a_gateway_that_is_there() {
        super::stack_is_deployed_to_a_gateway_that_is_there(e2e::gateway::Provider::Process);
    }

    #[test]
    fn mistakes_are_named_and_nothing_is_started() {
        super::mistakes_are_named_and_nothing_is_started(e2e::gateway::Provider::Process);
    }

    #[test]
    fn everything_of_a_stack_reaches_its_functions() {
        super::everything_of_a_stack_reaches_its_functions(e2e::gateway::Provider::Process);
    }

    #[test]
    fn filter_picks_functions() {
        super::filter_picks_functions(e2e::gateway::Provider::Process);
    }

    #[test]
    fn function_that_does_not_start_is_told() {
        super::function_that_does_not_start_is_told(e2e::gateway::Provider::Process);
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
    // Three of them: the fourth has a port of its own, which somebody else may use.
    for name in ["shout", "hello", "site"] {
        let gateway = launch(provider).args(["up", "-f", file, "--filter", name]).start();
        gateway.wait_for_output(|text| text.contains(&format!("/function/{name}")));
        assert!(gateway.output().contains("ready"), "{}", gateway.log());
        let response = gateway.post(&format!("/function/{name}"), "hello\n");
        let response = if name == "site" { gateway.get("/function/site/") } else { response };
        assert_eq!(response.status(), 200, "{}", response.text());
        match name {
            "shout" => assert_eq!(response.text(), "OLLEH\n"),
            "hello" => assert!(!response.text().is_empty()),
            _ => assert!(response.text().contains('<'), "{}", response.text()),
        }
        // In the foreground, until somebody has had enough.
        assert!(!gateway.has_exited());
        gateway.signal(rustix::process::Signal::INT);
        assert_eq!(gateway.wait_exit().code(), Some(0), "{}", gateway.log());
    }
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
    let nowhere = format!("http://127.0.0.1:{}", e2e::free_port());
    let launch = up(provider, &[("stack.yaml", CAT), ("one/x", "")], &["--gateway", &nowhere]);
    let ended = launch.spawn_expecting_exit();
    assert_eq!(ended.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains(&nowhere), "{}", ended.stderr);
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
