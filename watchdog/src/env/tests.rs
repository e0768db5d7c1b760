use std::time::Duration;

use super::*;
use crate::settings::Upstream;

fn read(pairs: &[(&str, &str)]) -> Outcome {
    parse(&environment(pairs))
}

/// An environment whose namespace file does not exist, whatever machine the test runs on.
fn environment(pairs: &[(&str, &str)]) -> Environment {
    let mut environment = Environment::from_pairs(pairs.iter().copied());
    environment.namespace_file = PathBuf::from("/nonexistent/namespace");
    environment
}

fn settings(pairs: &[(&str, &str)]) -> Settings {
    let outcome = read(pairs);
    let mistakes = outcome.mistakes;
    outcome.settings.unwrap_or_else(|_| panic!("{mistakes:?}"))
}

/// The variables with a fatal mistake.
fn fatal(pairs: &[(&str, &str)]) -> Vec<&'static str> {
    let outcome = read(pairs);
    let fatal: Vec<_> = outcome
        .mistakes
        .iter()
        .filter(|mistake| mistake.fatal)
        .map(|mistake| mistake.variable)
        .collect();
    assert_eq!(outcome.settings.is_err(), !fatal.is_empty());
    fatal
}

const SECONDS_30: Option<Duration> = Some(Duration::from_secs(30));

#[test]
fn defaults_follow_the_mode() {
    let classic = settings(&[("mode", "classic"), ("fprocess", "cat")]);
    assert_eq!(classic.exec_timeout, None);
    assert_eq!(classic.content_type, None);
    let mut expected = Settings::defaults(Mode::Classic);
    expected.fprocess = vec!["cat".to_owned()];
    assert_eq!(classic, expected);

    for mode in ["serializing", "streaming"] {
        let forking = settings(&[("mode", mode), ("fprocess", "cat")]);
        assert_eq!(forking.exec_timeout, SECONDS_30);
        assert_eq!(forking.content_type.unwrap(), "application/octet-stream");
    }
    assert_eq!(settings(&[("mode", "static")]).exec_timeout, SECONDS_30);
    assert_eq!(settings(&[("fprocess", "cat")]).mode, Mode::DEFAULT);
}

#[test]
fn values_set_to_nothing_count_as_unset() {
    let settings = settings(&[
        ("function_process", ""),
        ("fprocess", "cat"),
        ("mode", ""),
        ("port", ""),
        ("max_inflight", ""),
        ("TMPDIR", ""),
    ]);
    let mut expected = Settings::defaults(Mode::DEFAULT);
    expected.fprocess = vec!["cat".to_owned()];
    assert_eq!(settings, expected);
}

#[test]
fn first_alias_wins_and_the_other_is_noted() {
    let outcome = read(&[("fprocess", "env"), ("function_process", "cat")]);
    assert_eq!(outcome.settings.unwrap().fprocess, ["cat"]);
    assert_eq!(outcome.notices.len(), 1);
    assert!(outcome.notices[0].0.contains("fprocess is ignored"));

    let same = read(&[("fprocess", "cat"), ("function_process", "cat")]);
    assert_eq!(same.notices, []);

    let old = settings(&[("fprocess", "cat"), ("log_call_id", "1"), ("combined_output", "false")]);
    assert!(old.log_callid && !old.combine_output);
}

#[test]
fn every_mistake_is_reported_at_once_with_its_default() {
    let outcome = read(&[
        ("fprocess", "cat"),
        ("max_inflight", "many"),
        ("port", "abc"),
        ("read_timeout", "1.5"),
        ("log_buffer_size", "0"),
        ("prefix_logs", "maybe"),
        ("spool_limit", "big"),
    ]);
    let reports: Vec<_> = outcome.mistakes.iter().map(ToString::to_string).collect();
    assert_eq!(
        reports,
        [
            "spool_limit=\"big\" is not a size; accepted: bytes (1048576) or a size (1MiB, 512Ki, 10MB); default 4GiB kept",
            "port=\"abc\" is not a port; accepted: 0 to 65535; default 8080 kept",
            "read_timeout=\"1.5\" is not a duration; accepted: seconds (10) or a Go duration (300ms, 1m30s), 0 = off; \
             default 30s kept",
            "max_inflight=\"many\" is not a whole number; accepted: a whole number; default unlimited kept",
            "prefix_logs=\"maybe\" is not a boolean; accepted: true or false (1, t, yes, on; 0, f, no, off); \
             default true kept",
            "log_buffer_size=\"0\" leaves no room for a line; accepted: a whole number other than 0; default 65536 kept",
        ]
    );
    let mut expected = Settings::defaults(Mode::DEFAULT);
    expected.fprocess = vec!["cat".to_owned()];
    assert_eq!(outcome.settings, Ok(expected));
}

#[test]
fn strict_config_makes_every_mistake_fatal_but_no_notice() {
    assert_eq!(
        fatal(&[
            ("fprocess", "cat"),
            ("strict_config", "yes"),
            ("read_timeout", "x"),
            ("port", "abc")
        ]),
        ["port", "read_timeout"]
    );
    let noted = read(&[
        ("fprocess", "cat"),
        ("strict_config", "true"),
        ("exec_timout", "1"),
        ("max_queue", "1"),
    ]);
    assert_eq!(noted.notices.len(), 2);
    assert!(noted.settings.is_ok());
}

#[test]
fn what_cannot_be_served_as_meant_is_fatal() {
    type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);
    let cases: &[Case] = &[
        (&[], &["fprocess"]),
        (&[("fprocess", " cat")], &["fprocess"]),
        (&[("fprocess", "[1]")], &["fprocess"]),
        (&[("fprocess", "cat"), ("mode", "HTTP")], &["mode"]),
        (&[("fprocess", "cat"), ("mode", "inproc")], &["mode"]),
        (&[("fprocess", "cat"), ("port", "99999")], &["port"]),
        (&[("fprocess", "cat"), ("port", "-1")], &["port"]),
        (&[("fprocess", "cat"), ("metrics_port", "70000")], &["metrics_port"]),
        (&[("fprocess", "cat"), ("port", "8081")], &["metrics_port"]),
        (&[("fprocess", "cat"), ("metrics_port", "8080")], &["metrics_port"]),
        (&[("fprocess", "cat"), ("mode", "http")], &["http_upstream_url"]),
        (
            &[("fprocess", "cat"), ("mode", "http"), ("upstream_url", "localhost:3000")],
            &["upstream_url"],
        ),
        (&[("fprocess", "cat"), ("jwt_auth", "ture")], &["jwt_auth"]),
        (&[("fprocess", "cat"), ("jwt_auth", "1")], &["OPENFAAS_NAME", "OPENFAAS_NAMESPACE"]),
        (
            &[("mode", "nothing"), ("port", "x"), ("jwt_auth", "on")],
            &["mode", "fprocess", "OPENFAAS_NAME", "OPENFAAS_NAMESPACE"],
        ),
    ];
    for (pairs, variables) in cases {
        assert_eq!(fatal(pairs), *variables, "{pairs:?}");
    }
}

#[test]
fn mistakes_in_settings_the_mode_does_not_need_are_not_fatal() {
    assert_eq!(fatal(&[("mode", "static"), ("fprocess", "[")]), [""; 0]);
    assert_eq!(fatal(&[("fprocess", "cat"), ("upstream_url", "localhost:3000")]), [""; 0]);
    assert_eq!(fatal(&[("fprocess", "cat"), ("port", "0"), ("metrics_port", "0")]), [""; 0]);
    assert_eq!(fatal(&[("fprocess", "cat"), ("port", "8081"), ("metrics_port", "0")]), [""; 0]);
}

#[test]
fn values_that_are_not_utf8_are_mistakes() {
    let bytes = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
    let environment = Environment::from_pairs([
        (OsString::from("fprocess"), bytes(b"cat \xff")),
        (OsString::from("read_timeout"), bytes(b"\xff")),
        (OsString::from("other"), bytes(b"\xff")),
    ]);
    let outcome = parse(&environment);
    assert_eq!(outcome.mistakes.len(), 2);
    assert!(outcome.mistakes[0].fatal && outcome.mistakes[0].variable == "fprocess");
    assert!(!outcome.mistakes[1].fatal && outcome.mistakes[1].problem == "is not UTF-8");
    assert_eq!(environment.base().len(), 3);

    let mode = Environment::from_pairs([(OsString::from("mode"), bytes(b"static\xff"))]);
    assert!(
        parse(&mode).mistakes.iter().any(|mistake| mistake.variable == "mode" && mistake.fatal)
    );
}

#[test]
fn timeouts_are_switched_off_by_zero_and_below() {
    let off = settings(&[
        ("fprocess", "cat"),
        ("read_timeout", "0"),
        ("write_timeout", "-1s"),
        ("exec_timeout", "0s"),
        ("idle_timeout", "0"),
    ]);
    assert_eq!(
        (off.read_timeout, off.write_timeout, off.exec_timeout, off.idle_timeout),
        (None, None, None, None)
    );
    assert_eq!(off.healthcheck_interval, Duration::from_secs(30));
}

#[test]
fn healthcheck_interval_follows_write_timeout_unless_set() {
    let follows = settings(&[("fprocess", "cat"), ("write_timeout", "5")]);
    assert_eq!(follows.healthcheck_interval, Duration::from_secs(5));
    let set =
        settings(&[("fprocess", "cat"), ("healthcheck_interval", "0"), ("write_timeout", "5")]);
    assert_eq!(set.healthcheck_interval, Duration::ZERO);
}

#[test]
fn identity_comes_from_variables_or_the_service_account() {
    let file = std::env::temp_dir().join(format!("namespace-{}", std::process::id()));
    std::fs::write(&file, "from-file\n").unwrap();
    let mut environment =
        environment(&[("fprocess", "cat"), ("jwt_auth", "1"), ("OPENFAAS_NAME", "fn")]);
    environment.namespace_file.clone_from(&file);
    let outcome = parse(&environment);
    std::fs::remove_file(&file).unwrap();
    let settings = outcome.settings.clone().unwrap();
    let jwt = settings.jwt().unwrap();
    assert_eq!((jwt.name, jwt.namespace), ("fn", "from-file"));
    assert!(render_config(&outcome).contains("OPENFAAS_NAMESPACE=from-file"));

    let set = read(&[
        ("fprocess", "cat"),
        ("jwt_auth", "1"),
        ("OPENFAAS_NAME", "fn"),
        ("OPENFAAS_NAMESPACE", "ns"),
    ]);
    assert_eq!(set.settings.unwrap().jwt().unwrap().namespace, "ns");
    let off = read(&[("fprocess", "cat"), ("OPENFAAS_NAME", "fn")]);
    assert_eq!(off.settings.unwrap().jwt(), None);
}

#[test]
fn http_mode_takes_its_settings() {
    let http = settings(&[
        ("mode", "http"),
        ("fprocess", "[\"node\", \"index.js\"]"),
        ("upstream_url", "unix:/run/app.sock"),
        ("buffer_http", "true"),
        ("ready_path", "/ready"),
        ("max_inflight", "4"),
        ("max_queue", "8"),
        ("metrics_port", "0"),
        ("log_format", "json"),
    ]);
    assert_eq!(http.fprocess, ["node", "index.js"]);
    assert_eq!(http.upstream, Some(Upstream::Unix { path: "/run/app.sock".into() }));
    assert!(http.buffer_request_body);
    assert_eq!(http.ready_path.as_deref(), Some("/ready"));
    assert_eq!(
        (http.max_inflight.map(std::num::NonZero::get), http.max_queue, http.metrics_port),
        (Some(4), 8, None)
    );
}

#[test]
fn surprises_are_noted() {
    let outcome = read(&[
        ("mode", "classic"),
        ("fprocess", "cat"),
        ("upstream_url", "http://127.0.0.1:3000"),
        ("max_queue", "5"),
        ("ready_path", "ready"),
        ("exec_timout", "1"),
        ("EXEC_TIMOUT", "1"),
        ("my_own_variable", "1"),
        ("node_env", "1"),
        ("=odd", "1"),
    ]);
    let notes: Vec<_> = outcome.notices.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "http_upstream_url has no effect in mode=classic; a function that is an HTTP server needs mode=http",
            "max_queue has no effect without max_inflight",
            "ready_path=\"ready\" has no leading slash and is read as \"/ready\"",
            "exec_timout is not a setting of the watchdog; did you mean exec_timeout?",
            "environment entry \"=odd=1\" has no name and is not passed on",
        ]
    );
    assert_eq!(outcome.settings.unwrap().ready_path.as_deref(), Some("/ready"));
}

#[test]
fn settings_the_mode_has_no_use_for_are_named() {
    let outcome = read(&[
        ("mode", "streaming"),
        ("fprocess", "cat"),
        ("static_path", "/srv"),
        ("combined_output", "false"),
        // These only repeat a default, as many images do.
        ("marshal_request", "false"),
        ("upstream_restart", "0"),
    ]);
    let notes: Vec<_> = outcome.notices.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["no effect in mode=streaming: static_path, combined_output"]);
    assert_eq!(read(&[("mode", "static"), ("static_path", "/srv")]).notices, []);
}

#[test]
fn environment_keeps_the_last_of_a_repeated_name() {
    let environment =
        Environment::from_pairs([("A", "1"), ("B", "2"), ("A", "3"), ("", "x"), ("C", "a=b")]);
    let pairs: Vec<_> = environment
        .base()
        .iter()
        .map(|(k, v)| (k.to_str().unwrap(), v.to_str().unwrap()))
        .collect();
    assert_eq!(pairs, [("A", "3"), ("B", "2"), ("C", "a=b")]);
    assert_eq!(environment.dropped, ["=x"]);
    assert!(!Environment::from_process().base().is_empty());
}

#[test]
fn listing_shows_value_and_source_of_every_setting() {
    let outcome = read(&[
        ("mode", "static"),
        ("exec_timeout", "10"),
        ("read_timeout", "abc"),
        ("max_queue", "-1"),
        ("static_path", "/a\nport=1"),
    ]);
    let page = render_config(&outcome);
    let line = |start: &str| {
        let found = page.lines().find(|line| line.starts_with(start));
        found
            .unwrap_or_else(|| panic!("{start} is not in\n{page}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("mode="), "mode=static (from mode=\"static\")");
    assert_eq!(line("exec_timeout="), "exec_timeout=10s (from exec_timeout=\"10\")");
    assert_eq!(line("port="), "port=8080 (default)");
    assert_eq!(
        line("read_timeout="),
        "read_timeout=30s (default; read_timeout=\"abc\" is not a duration)"
    );
    assert_eq!(
        line("static_path="),
        "static_path=\"/a\\nport=1\" (from static_path=\"/a\\nport=1\")"
    );
    assert_eq!(
        line("warning: max_queue"),
        "warning: max_queue=\"-1\" is negative; accepted: a whole number, zero or more; default 0 kept"
    );
    assert_eq!(page.lines().filter(|line| line.ends_with(')')).count(), variables().count());

    let columns: Vec<_> = page
        .lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.find("  ("))
        .collect();
    assert!(columns.len() == variables().count());
}

#[test]
fn listing_works_without_usable_settings() {
    let page = render_config(&read(&[("mode", "http")]));
    assert!(page.contains("function_process=missing"));
    assert!(page.contains("error: fprocess is not set"));
    assert!(page.contains("error: http_upstream_url is not set"));
}

#[test]
fn health_target_needs_no_usable_settings() {
    let target =
        health_target(&environment(&[("TMPDIR", "/run/x"), ("suppress_lock", "1"), ("port", "9")]));
    assert_eq!(
        target,
        HealthTarget {
            lock_file: "/run/x/.lock".into(),
            suppress_lock: true,
            port: 9,
            socket: None
        }
    );
}

#[test]
fn help_lists_every_name() {
    let page = render_help();
    for name in variables().flat_map(|variable| variable.names) {
        assert!(page.contains(name), "{name}");
    }
}
