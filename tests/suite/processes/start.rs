//! What a process is started with.

use std::thread;

use e2e::Request;

use crate::watchdog;

use super::{FORKING, passed_on};

#[test]
fn child_leads_a_process_group_of_its_own() {
    let script = "read -r pid name state parent group rest </proc/self/stat; echo $pid $group";
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).start();
        let text = dog.get("/").text();
        let (pid, group) = text.trim().split_once(' ').expect("two numbers");
        assert_eq!(pid, group, "{mode}");
        assert_ne!(group, dog.pid().to_string());
    }
}

#[test]
fn child_has_no_descriptor_but_its_three_even_among_many() {
    let foreign = passed_on();
    for mode in FORKING {
        let dog = watchdog().mode(mode).fprocess("ls /proc/self/fd").start();
        let look = || {
            let text = dog.post("/", "input").text();
            let mut seen: Vec<&str> = text.lines().collect();
            seen.retain(|descriptor| !foreign.iter().any(|other| other == descriptor));
            // The fourth is the directory that is being listed.
            assert!(seen.starts_with(&["0", "1", "2"]) && seen.len() == 4, "{mode}: {seen:?}");
        };
        thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| (0..8).for_each(|_| look()));
            }
        });
    }
}

#[test]
fn child_starts_with_sigpipe_at_its_default_and_nothing_blocked() {
    let script = r#"
        while read -r name value; do
            case "$name" in SigIgn:|SigBlk:) echo "$name$value" ;; esac
        done </proc/self/status"#;
    for mode in FORKING {
        let dog = watchdog().mode(mode).sh(script).start();
        let text = dog.get("/").text();
        let mask = |name: &str| {
            let hex = text.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
            u64::from_str_radix(hex, 16).expect("hexadecimal")
        };
        assert_eq!(mask("SigBlk:"), 0, "{mode}");
        // signal(7): SIGPIPE is 13, and its bit the 13th.
        assert_eq!(mask("SigIgn:") & (1 << 12), 0, "{mode}");
    }
}

#[test]
fn pipeline_whose_reader_ends_early_stays_quiet() {
    // With SIGPIPE ignored `yes` would complain, and the complaint be part of the answer.
    let dog = watchdog().mode("classic").sh("yes | head -n 1").start();
    assert_eq!(dog.get("/").text(), "y\n");
}

#[test]
fn child_inherits_directory_and_umask() {
    let dog = watchdog()
        .mode("classic")
        .sh("pwd; umask")
        .through(&["sh", "-c", r#"cd / && umask 027 && exec "$0" "$@""#])
        .start();
    assert_eq!(dog.get("/").text(), "/\n0027\n");
}

#[test]
fn child_without_a_request_body_reads_an_empty_input() {
    for mode in FORKING {
        let dog = watchdog().mode(mode).fprocess("wc -c").start();
        assert_eq!(dog.get("/").text().trim(), "0", "{mode}");
        assert_eq!(dog.post("/", "").text().trim(), "0", "{mode}");
        let chunked = Request::new("POST", "/").chunked([""; 0]);
        assert_eq!(dog.call(&chunked).text().trim(), "0", "{mode}");
    }
}

#[test]
fn fprocess_json_array_is_the_exact_argument_list() {
    let dog =
        watchdog().mode("classic").fprocess(r#"["printf","<%s>","two  words","","'q'"]"#).start();
    assert_eq!(dog.get("/").text(), "<two  words><><'q'>");
}

#[test]
fn fprocess_with_two_spaces_has_an_empty_argument() {
    let dog = watchdog().mode("classic").fprocess("printf <%s> a  b").start();
    assert_eq!(dog.get("/").text(), "<a><><b>");
}
