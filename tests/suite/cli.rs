//! The command line.

use e2e::{DEADLINE, eventually};

use crate::watchdog;

#[test]
fn help_prints_usage_and_variables_without_a_configuration() {
    for flag in ["--help", "-help", "-h"] {
        let ended = watchdog().arg(flag).spawn_expecting_exit();
        assert_eq!(ended.code(), Some(0), "{flag}: {ended:?}");
        for word in ["--version", "--run-healthcheck", "--print-config", "fprocess", "mode"] {
            assert!(ended.stdout.contains(word), "{flag}: {word} is missing in {}", ended.stdout);
        }
    }
}

#[test]
fn version_is_told_without_a_configuration() {
    for flag in ["--version", "-version"] {
        let ended = watchdog().arg(flag).spawn_expecting_exit();
        assert_eq!(ended.code(), Some(0), "{flag}: {ended:?}");
        let told = ended.stdout + &ended.stderr;
        assert!(told.contains(env!("CARGO_PKG_VERSION")), "{flag}: {told}");
    }
}

#[test]
fn run_healthcheck_with_a_lock_file_exits_0() {
    for flag in ["--run-healthcheck", "-run-healthcheck"] {
        let mut launch = watchdog().arg(flag);
        launch.write(".lock", "");
        let ended = launch.spawn_expecting_exit();
        assert_eq!(ended.code(), Some(0), "{flag}: {ended:?}");
        assert!(launch.temp_dir().join(".lock").exists());
    }
}

#[test]
fn run_healthcheck_without_a_lock_file_exits_1() {
    for flag in ["--run-healthcheck", "-run-healthcheck"] {
        let ended = watchdog().arg(flag).spawn_expecting_exit();
        assert_eq!(ended.code(), Some(1), "{flag}: {ended:?}");
        let told = ended.stdout + &ended.stderr;
        assert!(told.contains("unable to find lock file"), "{told}");
    }
}

#[test]
fn run_healthcheck_agrees_with_a_running_watchdog() {
    let dog = watchdog().fprocess("cat").start();
    let ended =
        watchdog().arg("--run-healthcheck").env("TMPDIR", dog.temp_dir()).spawn_expecting_exit();
    assert_eq!(ended.code(), Some(0), "{ended:?}");
}

#[test]
fn run_healthcheck_without_a_lock_file_by_choice_asks_the_watchdog() {
    let dog = watchdog().fprocess("cat").env("suppress_lock", "true").start();
    let check = |port: u16| {
        watchdog()
            .arg("--run-healthcheck")
            .env("suppress_lock", "true")
            .env("port", port.to_string())
            .spawn_expecting_exit()
            .code()
    };
    assert_eq!(check(dog.addr().port()), Some(0));
    assert_eq!(check(e2e::free_port()), Some(1));
}

#[test]
fn print_config_tells_values_and_the_variables_they_came_from() {
    for flag in ["--print-config", "-print-config"] {
        let mut launch = watchdog()
            .mode("http")
            .arg(flag)
            .env("fprocess", "cat")
            .env("upstream_url", "http://127.0.0.1:3000")
            .env("read_timeout", "45s");
        let ended = launch.spawn_expecting_exit();
        assert_eq!(ended.code(), Some(0), "{flag}: {ended:?}");
        let line = |words: &[&str]| {
            assert!(
                ended.stdout.lines().any(|line| words.iter().all(|word| line.contains(word))),
                "no line with {words:?} in\n{}",
                ended.stdout
            );
        };
        line(&["mode=http", "(from mode="]);
        // The row has the chief name, whichever the value came from.
        line(&["function_process=[\"cat\"]", "(from fprocess="]);
        line(&["http_upstream_url=http://127.0.0.1:3000", "(from upstream_url="]);
        line(&["read_timeout=45s", "(from read_timeout="]);
        line(&["write_timeout", "30s", "default"]);
        // It tells and does nothing else.
        assert!(!launch.temp_dir().join(".lock").exists());
    }
}

#[test]
fn print_config_reports_bad_values() {
    let ended = watchdog()
        .arg("--print-config")
        .fprocess("cat")
        .env("read_timeout", "soon")
        .spawn_expecting_exit();
    let told = ended.stdout + &ended.stderr;
    assert!(
        told.lines().any(|line| line.contains("read_timeout") && line.contains("soon")),
        "{told}"
    );
}

#[test]
fn print_config_with_a_mistake_under_strict_config_exits_2() {
    let ended = watchdog()
        .arg("--print-config")
        .fprocess("cat")
        .env("read_timeout", "soon")
        .env("strict_config", "true")
        .spawn_expecting_exit();
    assert_eq!(ended.code(), Some(2), "{ended:?}");
}

#[test]
fn flag_unknown_exits_2_and_shows_the_usage() {
    for flag in ["--nonsense", "-nonsense"] {
        let mut launch = watchdog().fprocess("cat").arg(flag);
        let ended = launch.spawn_expecting_exit();
        assert_eq!(ended.code(), Some(2), "{flag}: {ended:?}");
        assert!(ended.stderr.contains("Usage: "), "{}", ended.stderr);
        assert!(!launch.temp_dir().join(".lock").exists());
    }
}

#[test]
fn positional_arguments_are_ignored() {
    let dog = watchdog().fprocess("cat").arg("anything").start();
    eventually(DEADLINE, "an answer", || {
        dog.try_get("/_/health").is_some_and(|r| r.status() == 200)
    });
}
