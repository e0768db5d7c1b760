//! Configuration: what a variable means, and what happens when it means nothing.

use std::{fs, net::TcpListener, os::unix::fs::symlink};

use e2e::{DEADLINE, Ended, Launch, Request, eventually, free_port, left_out};

use crate::watchdog;

/// Starts what cannot start, and checks what holds for every such failure: a code other than 0, a
/// message, and no lock file left behind.
#[track_caller]
fn fails(mut launch: Launch) -> Ended {
    let ended = launch.spawn_expecting_exit();
    assert!(
        ended.code().is_some_and(|code| code != 0),
        "it must exit with a code other than 0: {ended:?}"
    );
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
    let ended = fails(watchdog().mode("streaming"));
    assert_names(&ended, &["fprocess"]);
}

#[test]
fn fprocess_in_upper_case_is_another_variable() {
    fails(watchdog().env("FPROCESS", "cat"));
}

#[test]
fn fprocess_with_a_leading_space_has_no_program() {
    fails(watchdog().fprocess(" cat"));
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
        let ended = fails(watchdog().mode(mode).fprocess("cat"));
        assert_names(&ended, &["mode", mode]);
    }
}

#[test]
fn mode_inproc_and_afterburn_are_refused() {
    for mode in ["inproc", "afterburn"] {
        let ended = fails(watchdog().mode(mode).fprocess("cat"));
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
    let ended = fails(watchdog().mode("http").fprocess("cat"));
    assert_names(&ended, &["http_upstream_url"]);
}

#[test]
fn upstream_url_without_a_scheme_is_fatal() {
    for url in ["localhost:3000", "127.0.0.1:3000", "/var/run/x", "ftp://a/"] {
        let launch = watchdog().mode("http").fprocess("cat");
        let ended = fails(launch.env("http_upstream_url", url));
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
    let ended = fails(with_mistakes().env("strict_config", "true"));
    assert_eq!(ended.code(), Some(2), "{}", ended.stderr);
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
    let ended = fails(launch.env("max_inflight", "ten"));
    assert_eq!(ended.code(), Some(2));
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

// === ports ===

#[test]
fn port_out_of_range_is_fatal() {
    for port in ["-1", "65536", "99999"] {
        let ended = fails(watchdog().fprocess("cat").env("port", port));
        assert_names(&ended, &["port", port]);
    }
}

#[test]
fn port_junk_is_never_a_random_port() {
    let launch = watchdog().fprocess("cat").env("port", "abc");
    let ended = fails(launch.env("strict_config", "true"));
    assert_eq!(ended.code(), Some(2));
    assert_names(&ended, &["port", "abc"]);
    let line = printed(watchdog().fprocess("cat").env("port", "abc"), "port");
    assert!(line.contains("8080"), "{line}");
}

#[test]
fn port_in_use_exits_non_zero_without_a_lock_file() {
    // Defect 10.
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = fails(watchdog().fprocess("cat").env("port", &port));
    assert_names(&ended, &[&port]);
}

#[test]
fn metrics_port_in_use_exits_non_zero_without_a_lock_file() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = fails(watchdog().fprocess("cat").env("metrics_port", &port));
    assert_names(&ended, &["metrics", &port]);
}

#[test]
fn metrics_port_equal_to_port_is_fatal() {
    let port = free_port().to_string();
    let launch = watchdog().fprocess("cat").env("port", &port);
    let ended = fails(launch.env("metrics_port", &port));
    assert_names(&ended, &["metrics_port"]);
}

#[test]
fn metrics_port_zero_opens_no_listener() {
    let dog = watchdog().fprocess("cat").start();
    assert_eq!(dog.listening_ports(), [dog.addr().port()]);
}

#[test]
fn metrics_port_opens_a_second_listener() {
    let dog = watchdog().fprocess("cat").metrics().start();
    let mut ports = [dog.addr().port(), dog.metrics_addr().port()];
    ports.sort_unstable();
    assert_eq!(dog.listening_ports(), ports);
}

#[test]
fn port_answers_over_ipv6_as_well() {
    let Ok(_probe) = TcpListener::bind("[::1]:0") else {
        left_out("the tests of IPv6 need the address ::1");
        return;
    };
    let dog = watchdog().fprocess("cat").start();
    let addr = format!("[::1]:{}", dog.addr().port()).parse().unwrap();
    let response = e2e::Client::connect(addr).call(&Request::post("/", "six"));
    assert_eq!(response.text(), "six");
}

// === the lock file ===

#[test]
fn lock_file_that_cannot_be_written_is_fatal() {
    // Defect 10. A path below a regular file cannot be created even by root.
    let launch = watchdog().fprocess("cat");
    let file = launch.write("file", "");
    let ended = fails(launch.env("TMPDIR", file.join("below")));
    assert_names(&ended, &[".lock"]);
}

#[test]
fn lock_file_directory_is_created() {
    let launch = watchdog().fprocess("cat");
    let directory = launch.temp_dir().join("new").join("deep");
    let dog = launch.env("TMPDIR", &directory).start();
    assert!(directory.join(".lock").exists());
    drop(dog);
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
        let ended = fails(watchdog().fprocess(fprocess));
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
