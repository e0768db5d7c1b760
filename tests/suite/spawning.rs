//! Every way in which the kernel lets a process be started keeps the same promises: clone3(2), and
//! clone(2) where that is refused (issue 3, "Spawning").

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    thread,
    time::{Duration, Instant},
};

use e2e::{DEADLINE, Launch, Request, Watchdog, eventually, procfs};

use crate::{
    REFUSE,
    processes::{leaves_nothing_behind, passed_on},
    watchdog,
};

const FORKING: [&str; 3] = ["classic", "serializing", "streaming"];

/// clone3(2) as it is; refused, as by old kernels and seccomp profiles; refused with `pidfd_open`(2).
/// 38 is `ENOSYS`; 435 and 434 are those calls' numbers on every architecture. `EPERM` is not
/// among them: glibc could not make a thread then, so that no watchdog would run.
const WAYS: [&[&str]; 3] = [&[], &["38", "435"], &["38", "435", "434"]];

fn by(way: &[&str], mode: &str) -> Launch {
    let mut words = vec![REFUSE];
    words.extend(way);
    words.push("--");
    let words = if way.is_empty() { &[][..] } else { &words };
    watchdog().mode(mode).through(words)
}

fn for_each(check: impl Fn(&[&str], &str)) {
    for way in WAYS {
        for mode in FORKING {
            check(way, mode);
        }
    }
}

/// proc(5): 2 is a filter.
fn is_filtered(dog: &Watchdog) -> bool {
    let status = fs::read_to_string(format!("/proc/{}/status", dog.pid())).expect("it runs");
    status.lines().any(|line| line.split_whitespace().eq(["Seccomp:", "2"]))
}

#[test]
fn bodies_of_every_size_pass_through() {
    for_each(|way, mode| {
        let dog = by(way, mode).fprocess("cat").start();
        assert!(way.is_empty() || is_filtered(&dog), "the filter is not in force");
        // Around what an empty pipe takes for certain, what it takes by default, and beyond.
        for size in [0, 1, 4095, 4096, 4097, 65_535, 65_536, 65_537, 1_000_000] {
            let body: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
            let response = dog.post("/", &body);
            assert_eq!(response.status(), 200, "{way:?} {mode} {size}");
            assert!(response.body == body, "{way:?} {mode} {size}: another body");
            let pieces: Vec<&[u8]> = body.chunks(40_000).collect();
            let response = dog.call(&Request::new("POST", "/").chunked(pieces));
            assert!(response.body == body, "{way:?} {mode} {size} in chunks: another body");
        }
    });
}

#[test]
fn input_that_is_not_read_is_no_error() {
    for_each(|way, mode| {
        let dog = by(way, mode).fprocess("echo answer").start();
        for size in [1, 4097, 1_000_000] {
            let response = dog.post("/", vec![b'x'; size]);
            assert_eq!((response.status(), response.text().as_str()), (200, "answer\n"));
        }
    });
}

#[test]
fn process_starts_clean() {
    let mask = |text: &str, name: &str| {
        let hex = text.lines().find_map(|line| line.strip_prefix(name)).expect("a mask");
        u64::from_str_radix(hex.trim(), 16).expect("hexadecimal")
    };
    let ours = fs::read_to_string("/proc/self/status").expect("proc");
    // signal(7): SIGPIPE is 13. What else whoever started the tests ignores is passed on, but for
    // what the watchdog hears itself: HUP, INT, QUIT and TERM are 1, 2, 3 and 15. Background jobs
    // of a shell ignore two of them.
    let heard = [1, 2, 3, 13, 15].iter().fold(0, |all, signal| all | 1 << (signal - 1));
    let ignored = mask(&ours, "SigIgn:") & !heard;
    for_each(|way, mode| {
        let dog = by(way, mode).fprocess("cat /proc/self/status /proc/self/stat").start();
        let text = dog.post("/", "input").text();
        for (name, expected) in [("SigBlk:", 0), ("SigCgt:", 0), ("SigIgn:", ignored)] {
            assert_eq!(mask(&text, name), expected, "{way:?} {mode} {name}");
        }
        let stat: Vec<&str> = text.lines().last().expect("a line").split(' ').collect();
        assert_eq!(stat[0], stat[4], "{way:?} {mode}: process and group");
    });
}

#[test]
fn program_that_cannot_be_executed_gives_500_with_the_kernels_reason() {
    for_each(|way, mode| {
        let launch = by(way, mode);
        let file = |name: &str, text: &str, mode: u32| {
            let path = launch.write(name, text);
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our file");
            path
        };
        let paths = [
            (file("lost", "#!/no/such/interpreter\n", 0o755), "No such file or directory", ""),
            (file("locked", "#!/bin/sh\n", 0o644), "Permission denied", "it is not executable"),
            (file("plain", "neither a script nor a binary\n", 0o755), "Exec format error", ""),
            (
                launch.temp_dir().join("missing"),
                "no such executable file",
                "no such executable file",
            ),
            (launch.temp_dir().to_owned(), "Permission denied", "it is a directory"),
        ];
        for (path, reason, told_at_start) in paths {
            let dog = by(way, mode).fprocess(&path.display().to_string()).start();
            let log = dog.stderr();
            assert!(log.contains(told_at_start), "{way:?} {mode} {path:?}: {log}");
            let silent = !log.contains("; calls will fail until that has changed");
            assert_eq!(silent, told_at_start.is_empty(), "{way:?} {mode} {path:?}: {log}");
            leaves_nothing_behind(&dog, || {
                for body in [vec![], vec![b'x'; 100_000]] {
                    let response = dog.post("/", body);
                    assert_eq!(response.status(), 500, "{way:?} {mode} {path:?}");
                    let text = response.text();
                    assert!(text.contains(reason), "{way:?} {mode} {path:?}: {text}");
                }
            });
        }
    });
}

#[test]
fn environment_that_is_too_large_gives_431() {
    for way in WAYS {
        let mut request = Request::get("/");
        for number in 0..4 {
            request = request.header(&format!("x-{number}"), "v".repeat(100_000));
        }
        // execve(2): a quarter of the stack's limit, but never less than 128 KiB.
        let mut words = vec!["sh", "-c", r#"ulimit -s 512; exec "$0" "$@""#];
        if !way.is_empty() {
            words.push(REFUSE);
            words.extend(way);
            words.push("--");
        }
        let dog = watchdog().mode("classic").through(&words).fprocess("true").start();
        assert_eq!(dog.call(&request).status(), 431, "{way:?}");
        assert_eq!(dog.get("/").status(), 200, "{way:?}");
    }
}

#[test]
fn timed_out_group_is_ended_and_reaped() {
    for_each(|way, mode| {
        let dog = by(way, mode)
            .sh("sleep 60 & sleep 60")
            .env("exec_timeout", "200ms")
            .env("grace_period", "100ms")
            .start();
        leaves_nothing_behind(&dog, || {
            let expected = if mode == "classic" { 408 } else { 504 };
            assert_eq!(dog.post("/", "input").status(), expected, "{way:?} {mode}");
        });
    });
}

#[test]
fn descriptors_of_other_calls_never_reach_a_process() {
    // The other calls' inputs are open: a process that had one would keep its function waiting.
    let script = r#"case "$Http_Path" in /look) ls -l /proc/self/fd | wc -l ;; *) cat ;; esac"#;
    for_each(|way, mode| {
        let dog = by(way, mode).sh(script).start();
        leaves_nothing_behind(&dog, || {
            let mut held: Vec<_> = (0..8)
                .map(|_| {
                    let mut client = dog.connect();
                    client.send(Request::new("POST", "/").chunked([""; 0]).head_bytes());
                    client.send("6\r\na part\r\n");
                    client
                })
                .collect();
            eventually(DEADLINE, "eight processes", || {
                dog.descendants().iter().filter(|process| process.name == "cat").count() == 8
            });
            // "total 0", the standard three, and the directory that is being listed.
            let alone = (5 + passed_on().len()).to_string();
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for _ in 0..4 {
                            let seen = dog.post("/look", "input").text();
                            assert_eq!(seen.trim(), alone, "{way:?} {mode}");
                        }
                    });
                }
            });
            // Each of them sees the end of its own input at once.
            for client in &mut held {
                let asked = Instant::now();
                client.send("0\r\n\r\n");
                assert_eq!(client.read_response().text(), "a part", "{way:?} {mode}");
                assert!(asked.elapsed() < Duration::from_secs(10), "{way:?} {mode}");
            }
        });
    });
}

#[test]
fn no_call_is_lost_among_many() {
    for way in WAYS {
        let dog = by(way, "classic").fprocess("cat").start();
        leaves_nothing_behind(&dog, || {
            thread::scope(|scope| {
                for caller in 0..16 {
                    let dog = &dog;
                    scope.spawn(move || {
                        for call in 0..20 {
                            let body = format!("{caller} {call}");
                            assert_eq!(dog.post("/", &body).text(), body, "{way:?}");
                        }
                    });
                }
            });
        });
        assert_eq!(procfs::descendants(dog.pid()).len(), 0, "{way:?}");
    }
}
