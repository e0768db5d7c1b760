//! Which scheduling policy the loops of calls have: `SCHED_BATCH` while they are busy with files, and
//! the usual one wherever a process could inherit it.

use std::{fs, thread};

use e2e::{DEADLINE, Request, Watchdog, eventually, procfs};

use crate::watchdog;

/// `SCHED_OTHER` and `SCHED_BATCH` of sched(7).
const OTHER: u32 = 0;
const BATCH: u32 = 3;

fn policies(dog: &Watchdog) -> Vec<u32> {
    procfs::policies(dog.pid(), "call")
}

/// Looks while some clients keep calls under way all the time.
fn while_busy(dog: &Watchdog, request: &Request, look: impl FnOnce()) {
    let stop = dog.temp_dir().join("stop");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = dog.connect();
                while !stop.exists() {
                    assert_eq!(client.call(request).status(), 200);
                }
            });
        }
        // Also when it panics: the scope waits for the callers.
        let _ended = Created(&stop);
        dog.wait_for_access_lines(100);
        look();
    });
}

/// A file that is there when this is dropped.
struct Created<'a>(&'a std::path::Path);

impl Drop for Created<'_> {
    fn drop(&mut self) {
        fs::write(self.0, "").expect("a file");
    }
}

#[test]
fn loops_that_send_files_wait_for_their_wakers_while_busy() {
    let launch = watchdog().mode("static");
    launch.write("large", vec![b'x'; 1 << 20]);
    launch.write("small", "x");
    let root = launch.temp_dir().to_owned();
    let dog = launch.env("static_path", root).start_ready();
    assert!(policies(&dog).iter().all(|&policy| policy == OTHER), "{:?}", policies(&dog));
    while_busy(&dog, &Request::get("/large"), || {
        eventually(DEADLINE, "a busy loop to wait for its wakers", || {
            policies(&dog).contains(&BATCH)
        });
    });
    // A loop looks at itself when it has work: each of them gets some.
    let mut clients: Vec<_> = (0..16).map(|_| dog.connect()).collect();
    eventually(DEADLINE, "quiet loops to be woken at once again", || {
        for client in &mut clients {
            assert_eq!(client.call(&Request::get("/small")).status(), 200);
        }
        policies(&dog).iter().all(|&policy| policy == OTHER)
    });
}

/// A process that such a loop started would never be woken at once.
#[test]
fn loops_that_start_processes_stay_as_they_are() {
    for mode in ["classic", "streaming"] {
        let dog = watchdog().mode(mode).sh("cut -d' ' -f41 /proc/$$/stat; cat >/dev/null").start();
        let large = Request::post("/", vec![b'x'; 1 << 20]);
        while_busy(&dog, &large, || {
            for _ in 0..20 {
                assert_eq!(dog.call(&Request::get("/")).text().trim(), "0", "{mode}");
                assert!(policies(&dog).iter().all(|&policy| policy == OTHER), "{mode}");
            }
        });
    }
}
