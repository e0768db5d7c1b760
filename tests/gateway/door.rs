//! A socket before the engine's: tells what goes through, and can be shut.

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const ENGINE: &str = "/var/run/docker.sock";

/// Open until it is shut: then whatever is asked of the engine waits.
pub(crate) struct Door {
    path: PathBuf,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Pulls that somebody waits for.
    pulls: AtomicUsize,
    /// Questions that wait at the shut door.
    waiting: AtomicUsize,
    is_shut: AtomicBool,
}

impl Door {
    pub(crate) fn open(folder: &Path) -> Self {
        let path = folder.join("engine");
        let listener = UnixListener::bind(&path).unwrap();
        let seen = Arc::<Seen>::default();
        let door = Self { path, seen: Arc::clone(&seen) };
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, seen) = (client.unwrap(), Arc::clone(&seen));
                thread::spawn(move || forward(client, &seen));
            }
        });
        door
    }

    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    pub(crate) fn shut(&self, is_shut: bool) {
        self.seen.is_shut.store(is_shut, Ordering::SeqCst);
    }

    pub(crate) fn pulls(&self) -> usize {
        self.seen.pulls.load(Ordering::SeqCst)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.seen.waiting.load(Ordering::SeqCst)
    }
}

fn forward(mut client: UnixStream, seen: &Seen) {
    let mut engine = UnixStream::connect(ENGINE).unwrap();
    let (mut from, mut to) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut piece, mut pulling) = ([0; 4096], 0);
    while let Ok(length @ 1..) = client.read(&mut piece) {
        let is_pull = String::from_utf8_lossy(&piece[..length]).contains("/images/create");
        seen.pulls.fetch_add(usize::from(is_pull), Ordering::SeqCst);
        pulling += usize::from(is_pull);
        seen.waiting.fetch_add(1, Ordering::SeqCst);
        while seen.is_shut.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(5));
        }
        seen.waiting.fetch_sub(1, Ordering::SeqCst);
        if engine.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    seen.pulls.fetch_sub(pulling, Ordering::SeqCst);
    let _ = engine.shutdown(Shutdown::Both);
}
