//! One output, written by one thread: a caller only ever appends to a bounded buffer.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// What may wait to be written. Beyond it lines are dropped and counted, because the alternative
/// is that a reader of our log who stops reading stops the functions.
const MOST: usize = 1024 * 1024;

/// How long the thread gathers lines before it writes them: waking it and writing once a line
/// would cost a busy watchdog more than the line itself.
const GATHER: Duration = Duration::from_millis(5);

/// What is worth writing before that time is over.
const ENOUGH: usize = 64 * 1024;

/// How long the last lines may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// A handle; the thread lives as long as the process.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when the thread has a reason to go on, and when all is written.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    dropped: u64,
    /// What the thread does.
    thread: Thread,
    /// Somebody waits for the end of the queue.
    hurry: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Thread {
    /// It waits for the first line.
    #[default]
    Asleep,
    /// It waits for more.
    Gathering,
    /// It writes what it took.
    Writing,
}

impl Lines {
    pub(super) fn start(name: &str, output: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let for_thread = Arc::clone(&shared);
        // The thread formats nothing and calls nothing deep.
        let builder = thread::Builder::new().name(name.to_owned()).stack_size(64 * 1024);
        builder.spawn(move || for_thread.write_to(output))?;
        Ok(Self { shared })
    }

    /// Queues `entry`, whole or not at all.
    pub(super) fn push(&self, entry: &[u8]) {
        let mut queue = self.shared.lock();
        // An empty queue takes anything, so that no single entry is too long.
        if !queue.bytes.is_empty() && queue.bytes.len() + entry.len() > MOST {
            queue.dropped += 1;
            return;
        }
        queue.bytes.extend_from_slice(entry);
        let enough = queue.bytes.len() >= ENOUGH && queue.bytes.len() - entry.len() < ENOUGH;
        let needed = match queue.thread {
            Thread::Asleep => true,
            Thread::Gathering => enough,
            Thread::Writing => false,
        };
        if needed {
            // It is on its way: the next line need not wake it again.
            queue.thread = Thread::Gathering;
            drop(queue);
            self.shared.changed.notify_all();
        }
    }

    pub(super) fn flush(&self) {
        let mut queue = self.shared.lock();
        queue.hurry = true;
        self.shared.changed.notify_all();
        let busy = |queue: &mut Queue| queue.thread == Thread::Writing || !queue.bytes.is_empty();
        let (mut queue, _) = self
            .shared
            .changed
            .wait_timeout_while(queue, FLUSH, busy)
            .unwrap_or_else(PoisonError::into_inner);
        queue.hurry = false;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that can panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut output: impl Write) {
        let mut batch = Vec::new();
        loop {
            let mut queue = self.lock();
            queue.thread = Thread::Asleep;
            if queue.bytes.is_empty() {
                self.changed.notify_all();
            }
            while queue.bytes.is_empty() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.thread = Thread::Gathering;
            let gather = |queue: &mut Queue| queue.bytes.len() < ENOUGH && !queue.hurry;
            (queue, _) = self
                .changed
                .wait_timeout_while(queue, GATHER, gather)
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut batch, &mut queue.bytes);
            queue.thread = Thread::Writing;
            let dropped = std::mem::take(&mut queue.dropped);
            drop(queue);
            if dropped > 0 {
                let note = format!("{dropped} log entries dropped: the log's reader is too slow\n");
                batch.extend_from_slice(note.as_bytes());
            }
            // A closed output has no place to complain to.
            let _ = output.write_all(&batch).and_then(|()| output.flush());
            batch.clear();
            // A burst should not stay in memory for ever.
            batch.shrink_to(64 * 1024);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes bytes only when told to, so that the queue fills up.
    struct Gate {
        open: Arc<(Mutex<bool>, Condvar)>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (open, changed) = &*self.open;
            drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_reader_costs_lines_and_is_told_how_many() {
        let open = Arc::new((Mutex::new(false), Condvar::new()));
        let written = Arc::new(Mutex::new(Vec::new()));
        let gate = Gate { open: Arc::clone(&open), written: Arc::clone(&written) };
        let lines = Lines::start("test", gate).unwrap();
        let line = [[b'x'; 1023].as_slice(), b"\n"].concat();
        for _ in 0..3 * 1024 {
            lines.push(&line);
        }
        *open.0.lock().unwrap() = true;
        open.1.notify_all();
        lines.flush();
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let whole = text.lines().filter(|line| line.len() == 1023).count();
        // One for each time that there was room again.
        let notes = text.lines().filter(|line| line.contains("dropped"));
        let dropped: usize =
            notes.map(|note| note.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert!(dropped > 0, "nobody is told");
        assert_eq!(whole + dropped, 3 * 1024);
        assert!(whole >= 1024, "a full queue must have been kept: {whole}");
    }
}
