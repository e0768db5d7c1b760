use std::{ffi::CString, fs, io::Read as _, os::fd::AsFd as _, os::unix::fs::PermissionsExt as _};

use rustix::process::WaitStatus;

use super::*;

const WAYS: [Way; 2] = [Way::Clone3, Way::Clone];

/// Runs `program` with its output into a pipe.
fn run(
    way: Way,
    program: &str,
    arguments: &[&str],
    environment: &[&str],
) -> Result<(WaitStatus, String), Failure> {
    let strings = |strings: &[&str]| -> Vec<CString> {
        strings.iter().map(|text| CString::new(*text).unwrap()).collect()
    };
    let (arguments, environment) = (strings(arguments), strings(environment));
    let (mut ours, theirs) = io::pipe().unwrap();
    let (empty, _) = io::pipe().unwrap();
    let result = spawn_by(
        way,
        &Command {
            program: &CString::new(program).unwrap(),
            arguments: &arguments.iter().map(CString::as_c_str).collect(),
            environment: &environment.iter().map(CString::as_c_str).collect(),
            streams: [empty.as_fd(), theirs.as_fd(), theirs.as_fd()],
            bound: false,
        },
    );
    drop(theirs);
    let child = result?;
    let mut output = String::new();
    ours.read_to_string(&mut output).unwrap();
    let (_, status) = rustix::process::waitpid(Some(child), WaitOptions::empty()).unwrap().unwrap();
    Ok((status, output))
}

fn errno(way: Way, program: &str, environment: &[&str]) -> i32 {
    match run(way, program, &["x"], environment) {
        Err(Failure::Errno(errno)) => errno,
        other => panic!("{way:?} {program}: {other:?}"),
    }
}

#[test]
fn program_runs_with_its_arguments_and_environment_and_its_status_is_there() {
    for way in WAYS {
        let script = "echo $0 $1 $A; echo error >&2; exit 7";
        let (status, output) =
            run(way, "/bin/sh", &["sh", "-c", script, "zero", "one"], &["A=b"]).unwrap();
        assert_eq!(output, "zero one b\nerror\n", "{way:?}");
        assert_eq!(status.exit_status(), Some(7), "{way:?}");
    }
}

#[test]
fn errno_of_a_failed_exec_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let locked = file("locked", "#!/bin/sh\n", 0o644);
    let lost = file("lost", "#!/no/such/interpreter\n", 0o755);
    let plain = file("plain", "neither a script nor a binary\n", 0o755);
    let huge = format!("A={}", "a".repeat(200 * 1024));
    for way in WAYS {
        assert_eq!(errno(way, "/no/such/program", &[]), libc::ENOENT, "{way:?}");
        assert_eq!(errno(way, &locked, &[]), libc::EACCES, "{way:?}");
        assert_eq!(errno(way, "/", &[]), libc::EACCES, "{way:?}");
        assert_eq!(errno(way, &lost, &[]), libc::ENOENT, "{way:?}");
        assert_eq!(errno(way, &plain, &[]), libc::ENOEXEC, "{way:?}");
        assert_eq!(errno(way, "/bin/true", &[&huge]), libc::E2BIG, "{way:?}");
    }
}

#[test]
fn many_threads_start_processes_at_once() {
    std::thread::scope(|scope| {
        for way in WAYS {
            for number in 0..4 {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let number = number.to_string();
                        let (status, output) =
                            run(way, "/bin/echo", &["echo", &number], &[]).unwrap();
                        assert!(status.exit_status() == Some(0) && output.trim() == number);
                    }
                });
            }
        }
    });
}

#[test]
fn child_forgets_handlers_keeps_ignored_signals_and_leads_a_group() {
    // tokio's runtime has a handler for SIGCHLD as soon as somebody listens, and keeps it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        drop(tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined2()));
    });
    for way in WAYS {
        let (_, status) =
            run(way, "/bin/cat", &["cat", "/proc/self/status", "/proc/self/stat"], &[]).unwrap();
        let mask = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(mask("SigCgt:"), 0, "{way:?}");
        assert_eq!(mask("SigBlk:"), 0, "{way:?}");
        assert_eq!(mask("SigIgn:") & (1 << (libc::SIGPIPE - 1)), 0, "{way:?}");
        let stat: Vec<&str> = status.lines().last().unwrap().split(' ').collect();
        assert_eq!(stat[0], stat[4], "{way:?}: process and group");
    }
}
