//! Ending a process group: TERM, a grace period for every member, KILL, reap.

use std::{fs, io, sync::Arc, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::{
    net::unix::pipe,
    task::coop::consume_budget,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::{Exit, Process, signal_group};

/// Ends what calls leave behind, and knows when the last of it is gone.
#[derive(Clone, Debug)]
pub struct Reaper {
    grace: Duration,
    pending: TaskTracker,
}

impl Reaper {
    /// `grace` is how long a group has between TERM and KILL.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        Self { grace, pending: TaskTracker::new() }
    }

    /// Ends `process` in the background; at once where there is no runtime any more.
    pub(super) fn take(&self, mut process: Process) {
        if tokio::runtime::Handle::try_current().is_ok() {
            self.pending.spawn(async move { end(&mut process).await });
        }
    }

    /// Done when every group that was handed over so far has ended.
    pub async fn idle(&self) {
        self.pending.close();
        self.pending.wait().await;
        self.pending.reopen();
    }
}

/// Ends the group that `process` leads; `None` when somebody else reaped it.
pub(super) async fn end(process: &mut Process) -> Option<Exit> {
    let deadline = Instant::now() + process.reaper.grace;
    signal_group(process.leader, Signal::TERM);
    let draining = tokio::spawn(drain(Arc::clone(&process.stdout)));
    // Without descriptors nothing can be watched: then KILL follows at once, rather than a leak.
    let exited = std::future::poll_fn(|cx| process.poll_exited(cx));
    if timeout_at(deadline, exited).await.is_ok() {
        // The leader was quick (a shell is); its children have the same grace to clean up.
        let mut pause = Duration::from_millis(1);
        while Instant::now() < deadline && has_other_members(process.leader) {
            sleep(pause.min(deadline - Instant::now())).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
    draining.abort();
    signal_group(process.leader, Signal::KILL);
    process.wait().await.ok()
}

/// Throws away what a function still writes while it tidies up, so that it neither blocks nor dies
/// of a broken pipe.
async fn drain(pipe: Arc<pipe::Receiver>) {
    let mut rest = [0_u8; 4096];
    while pipe.readable().await.is_ok() {
        consume_budget().await;
        match pipe.try_read(&mut rest) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Whether a live process besides the leader is in its group. The kernel has no call for it (a
/// zombie leader still counts for kill(2)), so this reads `/proc`; where there is none, nobody is
/// given more time.
pub(super) fn has_other_members(leader: Pid) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            return false;
        };
        pid != leader.as_raw_nonzero().get()
            && fs::read_to_string(entry.path().join("stat"))
                .is_ok_and(|stat| is_live_member(&stat, leader.as_raw_nonzero().get()))
    })
}

/// proc(5): `pid (comm) state ppid pgrp …`, where comm may hold anything, parentheses included.
fn is_live_member(stat: &str, group: i32) -> bool {
    let Some((_, rest)) = stat.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next();
    let pgrp = fields.nth(1).and_then(|field| field.parse().ok());
    pgrp == Some(group) && !matches!(state, Some("Z" | "X") | None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Input, Launcher, Program, Stderr};

    #[test]
    fn process_ends_with_the_runtime_that_was_to_end_it() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let program = Program::new(&["/bin/sleep".into(), "1000".into()], None);
        let launcher = Launcher::new(program, &[], Reaper::new(Duration::from_secs(600)));
        let sleep =
            || launcher.spawn(crate::process::Environment::new(), Input::Open, Stderr::Pipe);
        let leaders = runtime.block_on(async {
            let (being_ended, _pipes) = sleep().unwrap();
            let (held, pipes) = sleep().unwrap();
            let leaders = [being_ended.leader, held.leader];
            drop(being_ended);
            // Ended when the runtime drops its tasks.
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop((held, pipes));
            });
            tokio::task::yield_now().await;
            leaders
        });
        let begun = Instant::now();
        drop(runtime);
        assert!(begun.elapsed() < Duration::from_secs(60));
        for leader in leaders {
            let left = rustix::process::test_kill_process(leader);
            assert_eq!(left, Err(rustix::io::Errno::SRCH), "{leader:?} is left");
        }
    }

    #[test]
    fn group_members_are_told_from_stat_lines() {
        assert!(is_live_member("12 (a) b) S 1 77 77 0", 77));
        assert!(!is_live_member("12 (sh) Z 1 77 77 0", 77), "a zombie needs no time");
        assert!(!is_live_member("12 (sh) S 1 78 77 0", 77));
        assert!(!is_live_member("", 77));
        assert!(!is_live_member("12 (sh) S", 77));
    }
}
