//! Configuration: what a variable means, and what happens when it means nothing.

mod ports;

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use e2e::{DEADLINE, Ended, Launch, Request, eventually};

use crate::watchdog;

/// A configuration with which nothing can be started: exit code 2.
#[track_caller]
fn is_refused(launch: Launch) -> Ended {
    ends_with(2, launch)
}

/// Starts what cannot start, and checks what holds for every such failure: its code, a message, and
/// no lock file left behind.
#[track_caller]
fn ends_with(code: i32, mut launch: Launch) -> Ended {
    let ended = launch.spawn_expecting_exit();
    assert_eq!(ended.code(), Some(code), "{ended:?}");
    assert!(!ended.stderr.trim().is_empty(), "a silent failure");
    assert!(!ended.stderr.contains("panicked"), "a panic is no message: {}", ended.stderr);
    assert!(!launch.temp_dir().join(".lock").exists(), "a lock file was left behind");
    ended
}

#[track_caller]
fn assert_names(ended: &Ended, words: &[&str]) {
    for word in words {
        assert!(ended.stderr.contains(word), "{word:?} is missing in:\n{}", ended.stderr);
    }
}

/// The line of `--print-config` about one variable.
#[track_caller]
fn printed(launch: Launch, variable: &str) -> String {
    let ended = launch.arg("--print-config").spawn_expecting_exit();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
    ended
        .stdout
        .lines()
        .find(|line| line.split([' ', '=']).next() == Some(variable))
        .unwrap_or_else(|| panic!("{variable} is missing in:\n{}", ended.stdout))
        .to_owned()
}

// === what must be there ===

#[test]
fn fprocess_missing_is_fatal() {
    let ended = is_refused(watchdog().mode("streaming"));
    assert_names(&ended, &["fprocess"]);
}

#[test]
fn fprocess_in_upper_case_is_another_variable() {
    is_refused(watchdog().env("FPROCESS", "cat"));
}

#[test]
fn fprocess_with_a_leading_space_has_no_program() {
    is_refused(watchdog().fprocess(" cat"));
}

#[test]
fn fprocess_is_not_needed_in_static_mode() {
    let launch = watchdog().mode("static");
    let root = launch.temp_dir().to_owned();
    launch.write("hello.txt", "hello");
    let dog = launch.env("static_path", root).start();
    assert_eq!(dog.get("/hello.txt").text(), "hello");
}

#[test]
fn fprocess_that_does_not_exist_is_named_at_start_and_calls_fail() {
    for mode in ["classic", "streaming", "serializing"] {
        let launch = watchdog().mode(mode);
        let program = launch.temp_dir().join("comes-later");
        let dog = launch.fprocess(&format!("{} x", program.display())).start();
        assert!(dog.stderr().contains("comes-later"), "{}", dog.log());
        assert_eq!(dog.get("/").status(), 500, "{mode}");
        // A volume may bring the program later.
        symlink(find("true"), &program).unwrap();
        assert_eq!(dog.get("/").status(), 200, "{mode}");
    }
}

#[test]
fn mode_unknown_is_fatal_and_named() {
    for mode in ["nonsense", "HTTP", "Streaming"] {
        let ended = is_refused(watchdog().mode(mode).fprocess("cat"));
        assert_names(&ended, &["mode", mode]);
    }
}

#[test]
fn mode_inproc_and_afterburn_are_refused() {
    for mode in ["inproc", "afterburn"] {
        let ended = is_refused(watchdog().mode(mode).fprocess("cat"));
        assert_names(&ended, &[mode]);
    }
}

#[test]
fn mode_unset_or_empty_is_classic() {
    for launch in [watchdog(), watchdog().mode("")] {
        let dog = launch.fprocess("cat").start();
        // Only classic mode has a list of methods.
        assert_eq!(dog.call(&Request::new("OPTIONS", "/")).status(), 405);
        assert_eq!(dog.post("/", "hello").text(), "hello");
    }
}

#[test]
fn upstream_url_missing_in_http_mode_is_fatal() {
    let ended = is_refused(watchdog().mode("http").fprocess("cat"));
    assert_names(&ended, &["http_upstream_url"]);
}

#[test]
fn upstream_url_without_a_scheme_is_fatal() {
    for url in ["localhost:3000", "127.0.0.1:3000", "/var/run/x", "ftp://a/"] {
        let launch = watchdog().mode("http").fprocess("cat");
        let ended = is_refused(launch.env("http_upstream_url", url));
        assert_names(&ended, &["http_upstream_url", url]);
    }
}

// === values that cannot be parsed ===

const MISTAKES: [(&str, &str, &str); 6] = [
    ("read_timeout", "soon", "30"),
    ("exec_timeout", "1.5", "30"),
    ("max_inflight", "many", "unlimited"),
    ("prefix_logs", "perhaps", "true"),
    ("log_buffer_size", "big", "65536"),
    ("suppress_lock", "ja", "false"),
];

fn with_mistakes() -> Launch {
    let launch = watchdog().mode("streaming").fprocess("cat");
    MISTAKES.iter().fold(launch, |launch, (name, value, _)| launch.env(name, value))
}

#[test]
fn bad_values_are_all_reported_with_variable_value_and_default() {
    let dog = with_mistakes().start();
    let log = dog.stderr();
    for (name, value, default) in MISTAKES {
        let line = log
            .lines()
            .find(|line| line.contains(name) && line.contains(value))
            .unwrap_or_else(|| panic!("{name}={value} is not reported:\n{log}"));
        let (_, rest) = line.split_once(value).unwrap();
        assert!(rest.contains(default), "the default is missing: {line}");
    }
    assert_eq!(dog.post("/", "works").text(), "works");
}

#[test]
fn bad_values_are_fatal_together_under_strict_config() {
    let ended = is_refused(with_mistakes().env("strict_config", "true"));
    for (name, value, _) in MISTAKES {
        assert_names(&ended, &[name, value]);
    }
}

#[test]
fn good_values_pass_strict_config() {
    let dog = watchdog()
        .env("strict_config", "true")
        .fprocess("cat")
        .env("read_timeout", "1h2m")
        .env("write_timeout", "90")
        .env("exec_timeout", "1500ms")
        .env("healthcheck_interval", "0")
        .env("max_inflight", "7")
        .env("combine_output", "FALSE")
        .env("prefix_logs", "t")
        .env("suppress_lock", "0")
        .start();
    assert_eq!(dog.post("/", "hello").text(), "hello");
}

#[test]
fn max_inflight_junk_is_fatal_under_strict_config() {
    let launch = watchdog().fprocess("cat").env("strict_config", "1");
    is_refused(launch.env("max_inflight", "ten"));
}

#[test]
fn booleans_accept_every_usual_spelling_in_every_mode() {
    // Defect 7 is the security side of this: `1` meant false to one of the Go programs.
    for (mode, value) in
        [("classic", "1"), ("classic", "true"), ("streaming", "TRUE"), ("serializing", "True")]
    {
        let dog = watchdog().mode(mode).fprocess("cat").env("suppress_lock", value).start();
        assert!(!dog.lock_file().exists(), "suppress_lock={value} in {mode}");
    }
}

// === fprocess ===

const SHOW_ARGUMENTS: &str = r#"printf '[%s]' "$@""#;

#[test]
fn fprocess_splits_at_every_single_space_and_knows_no_quotes() {
    let launch = watchdog();
    let script = launch.write("show.sh", SHOW_ARGUMENTS);
    let fprocess = format!("sh {}  'a b' c=d", script.display());
    let dog = launch.fprocess(&fprocess).start();
    assert_eq!(dog.get("/").text(), "[]['a][b'][c=d]");
}

#[test]
fn fprocess_as_a_json_array_is_the_exact_argument_list() {
    let launch = watchdog();
    let arguments = ["sh", "-c", SHOW_ARGUMENTS, "zero", "a b", "", "\"ü\"\n"];
    let dog = launch.fprocess(&serde_json::to_string(&arguments).unwrap()).start();
    assert_eq!(dog.get("/").text(), "[a b][][\"ü\"\n]");
}

#[test]
fn fprocess_json_that_is_no_list_of_words_is_fatal() {
    for fprocess in ["[]", r#"["cat",1]"#, r#"[["cat"]]"#] {
        let ended = is_refused(watchdog().fprocess(fprocess));
        assert_names(&ended, &["fprocess"]);
    }
}

#[test]
fn function_process_wins_over_fprocess() {
    let dog = watchdog().env("fprocess", "no-such-program").env("function_process", "cat").start();
    assert_eq!(dog.post("/", "one").text(), "one");
}

#[test]
fn fprocess_without_a_slash_is_found_in_path() {
    let launch = watchdog();
    let directory = launch.temp_dir().join("bin");
    fs::create_dir(&directory).unwrap();
    fs::write(directory.join("own-program"), "not executable").unwrap();
    let path = std::env::var("PATH").unwrap();
    symlink(find("cat"), launch.temp_dir().join("own-program")).unwrap();
    // The first match is no program: the search goes on, as execvp(3) does.
    let path = format!("{}:{}:{path}", directory.display(), launch.temp_dir().display());
    let dog = launch.fprocess("own-program").env("PATH", path).start();
    assert_eq!(dog.post("/", "found").text(), "found");
}

/// Otherwise a later file of that name would take the function's place.
#[test]
fn fprocess_is_resolved_once_at_the_start() {
    let launch = watchdog();
    let [first, second] = ["a", "b"].map(|name| {
        let directory = launch.temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        directory
    });
    let write = |directory: &std::path::Path, text: &str| {
        let program = directory.join("kennel-test-program");
        fs::write(&program, format!("#!/bin/sh\necho {text}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write(&second, "second");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{}:{path}", first.display(), second.display());
    let dog = launch.env("PATH", path).fprocess("kennel-test-program").start();
    assert_eq!(dog.get("/").text(), "second\n");
    write(&first, "first");
    assert_eq!(dog.get("/").text(), "second\n");
}

#[test]
fn fprocess_that_is_relative_belongs_to_the_directory_of_the_start() {
    let launch = watchdog();
    symlink(find("cat"), launch.temp_dir().join("program")).unwrap();
    let directory = launch.temp_dir().to_owned();
    let dog = launch.fprocess("./program").current_dir(directory).mode("streaming").start();
    assert_eq!(dog.post("/", "relative").text(), "relative");
}

fn find(program: &str) -> std::path::PathBuf {
    std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
        .unwrap()
}

#[test]
fn fprocess_inherits_the_whole_environment() {
    let dog = watchdog().env("ANYTHING", "a=b c").sh(r#"printf '%s' "$ANYTHING""#).start();
    assert_eq!(dog.get("/").text(), "a=b c");
}

// === defaults, as --print-config tells them ===

#[test]
fn defaults_are_those_of_the_go_programs() {
    for (mode, variable, default) in [
        ("classic", "exec_timeout", "off"),
        ("streaming", "exec_timeout", "30s"),
        ("serializing", "exec_timeout", "30s"),
        ("classic", "read_timeout", "30s"),
        ("classic", "write_timeout", "30s"),
        ("streaming", "healthcheck_interval", "30s"),
        ("classic", "metrics_port", "8081"),
        ("classic", "max_inflight", "unlimited"),
        ("streaming", "content_type", "application/octet-stream"),
        ("streaming", "log_buffer_size", "65536"),
        ("streaming", "prefix_logs", "true"),
        ("classic", "combine_output", "true"),
        ("serializing", "combine_output", "false"),
        ("classic", "cgi_headers", "true"),
        ("classic", "suppress_lock", "false"),
        ("classic", "log_format", "text"),
    ] {
        let mut launch = watchdog().mode(mode).fprocess("cat");
        if variable == "metrics_port" {
            // Empty means unset; the harness sets 0 otherwise.
            launch = launch.env("metrics_port", "");
        }
        let line = printed(launch, variable);
        assert!(line.contains(default), "{variable} in {mode} is not {default}: {line}");
    }
}

#[test]
fn healthcheck_interval_follows_write_timeout() {
    let launch = watchdog().fprocess("cat").env("write_timeout", "7s");
    let line = printed(launch, "healthcheck_interval");
    assert!(line.contains("7s"), "{line}");
}

#[test]
fn start_says_what_it_understood() {
    let dog = watchdog().mode("streaming").fprocess("cat -u").start();
    eventually(DEADLINE, "the lines of the start", || {
        let log = dog.stderr();
        ["streaming", "cat -u", "Listening on port: "].iter().all(|word| log.contains(word))
    });
}
