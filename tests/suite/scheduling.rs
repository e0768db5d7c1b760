//! Which scheduling policy the loops of calls have: `SCHED_BATCH` while they are busy with files, and
//! the usual one wherever a process could inherit it.

use std::{
    fs,
    io::{self, Write as _},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

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

/// Never waits for an answer: all the work is the watchdog's.
fn flood(dog: &Watchdog, stop: &AtomicBool) {
    let mut writer = TcpStream::connect(dog.addr()).expect("a connection");
    let mut reader = writer.try_clone().expect("the same connection");
    let requests = Request::get("/file").to_bytes().repeat(100);
    thread::scope(|scope| {
        scope.spawn(move || io::copy(&mut reader, &mut io::sink()));
        while !stop.load(Ordering::Relaxed) {
            writer.write_all(&requests).expect("the watchdog reads");
        }
        writer.shutdown(Shutdown::Both).expect("an end");
    });
}

#[test]
fn loops_that_send_files_wait_for_their_wakers_while_busy() {
    let launch = watchdog().mode("static");
    launch.write("file", "x");
    let root = launch.temp_dir().to_owned();
    let dog = launch.env("static_path", root).start_ready();
    assert!(policies(&dog).iter().all(|&policy| policy == OTHER), "{:?}", policies(&dog));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| flood(&dog, &stop));
        }
        // An eighth of a CPU for 20 ms: other tests leave it that sooner or later.
        let start = Instant::now();
        while !policies(&dog).contains(&BATCH) && start.elapsed() < 3 * DEADLINE {
            thread::sleep(Duration::from_millis(5));
        }
        let then = policies(&dog);
        stop.store(true, Ordering::Relaxed);
        assert!(then.contains(&BATCH), "{then:?}");
    });
    // A loop looks at itself when it has work: each of them gets some.
    let mut clients: Vec<_> = (0..16).map(|_| dog.connect()).collect();
    eventually(DEADLINE, "quiet loops to be woken at once again", || {
        for client in &mut clients {
            assert_eq!(client.call(&Request::get("/file")).status(), 200);
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
