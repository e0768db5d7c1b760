//! Whether this machine moves a pipe's bytes cheaper by copying or by splicing them.
//!
//! It differs: splicing saves a copy and gives the writer's pages away, which the writer then has to
//! replace and the receiver to fetch. So the first large outputs of a process are moved both ways in
//! turn, two megabytes each, and this process's processor time is measured around every call that
//! touches the pipe or the socket. What costs less for a byte is used from then on, until so many
//! bytes have passed that the answer may have changed.

use std::{
    io::IoSlice,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use rustix::time::{ClockId, clock_gettime};

/// How a pipe's bytes get to a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// read(2) and write(2).
    Copy,
    /// splice(2).
    Splice,
}

/// Bytes moved one way before the other has its turn. The first turn of each warms up and does not
/// count.
const TURN: u64 = 2 << 20;
/// Turns that count.
const TURNS: u64 = 8;
/// Bytes after which it is measured again.
const VALID: u64 = 64 << 30;
/// Writes of fewer bytes are of something else.
const LARGE: usize = 16 * 1024;

/// The trial of this process: a process that never moves a large output never measures.
static TRIAL: Trial = Trial::new();

pub(super) struct Trial {
    state: AtomicU8,
    /// Bytes moved since the last verdict.
    since: AtomicU64,
    tally: Mutex<[Account; 2]>,
}

const IDLE: u8 = 0;
const RUNNING: u8 = 1;
const COPY: u8 = 2;
const SPLICE: u8 = 3;

/// What one way has cost so far.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    bytes: u64,
    nanoseconds: u64,
}

impl Account {
    /// Nanoseconds for a mebibyte, of the turns that count.
    fn cost(self) -> u64 {
        let counted = self.bytes.saturating_sub(TURN).max(1);
        let cost = u128::from(self.nanoseconds) * (1 << 20) / u128::from(counted);
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

impl Trial {
    const fn new() -> Self {
        let nothing = Account { bytes: 0, nanoseconds: 0 };
        Self {
            state: AtomicU8::new(IDLE),
            since: AtomicU64::new(0),
            tally: Mutex::new([nothing; 2]),
        }
    }

    /// How the next piece of a large output is to be moved.
    fn choose(&self) -> Way {
        match self.state.load(Ordering::Relaxed) {
            COPY => Way::Copy,
            SPLICE => Way::Splice,
            _ => {
                self.state.store(RUNNING, Ordering::Relaxed);
                let [copy, splice] = *self.tally();
                if copy.bytes.min(splice.bytes) >= (TURNS + 1) * TURN {
                    // Only now: the last piece has been sent, too.
                    return self.decide(copy, splice);
                }
                if copy.bytes / TURN <= splice.bytes / TURN { Way::Copy } else { Way::Splice }
            }
        }
    }

    fn is_running(&self) -> bool {
        self.state.load(Ordering::Relaxed) == RUNNING
    }

    /// `bytes` were moved `way`, or are about to be, at this cost.
    fn record(&self, way: Way, bytes: u64, nanoseconds: u64) {
        let mut tally = self.tally();
        let account = &mut tally[way as usize];
        if account.bytes >= TURN {
            account.nanoseconds += nanoseconds;
        }
        account.bytes += bytes;
    }

    fn decide(&self, copy: Account, splice: Account) -> Way {
        let (copied, spliced) = (copy.cost(), splice.cost());
        // What splicing costs the writer and the receiver is on their accounts, so it has to be a
        // tenth cheaper on ours.
        let (state, way) =
            if spliced < copied / 10 * 9 { (SPLICE, Way::Splice) } else { (COPY, Way::Copy) };
        tracing::info!(
            "zero_copy=auto: large outputs are {} from now on (a megabyte costs {} us of processor \
             time when it is copied, {} us when it is spliced)",
            if way == Way::Splice { "spliced" } else { "copied" },
            copied / 1000,
            spliced / 1000,
        );
        self.state.store(state, Ordering::Relaxed);
        *self.tally() = Default::default();
        way
    }

    /// `bytes` more were moved as the last verdict says.
    fn pass(&self, bytes: u64) {
        if self.since.fetch_add(bytes, Ordering::Relaxed) + bytes > VALID {
            self.since.store(0, Ordering::Relaxed);
            self.state.store(IDLE, Ordering::Relaxed);
        }
    }

    fn tally(&self) -> MutexGuard<'_, [Account; 2]> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How the next piece of a large output is to be moved.
pub(super) fn choose() -> Way {
    TRIAL.choose()
}

/// Runs `take`, which takes a piece out of a pipe and says its length, or prepares for that.
pub(super) fn timed_take<T>(way: Way, take: impl FnOnce() -> (T, usize)) -> T {
    if !TRIAL.is_running() {
        let (taken, bytes) = take();
        TRIAL.pass(bytes as u64);
        return taken;
    }
    let before = processor_time();
    let (taken, bytes) = take();
    TRIAL.record(way, bytes as u64, processor_time().saturating_sub(before));
    taken
}

/// Runs `send`, which moves ranges.
pub(super) fn timed_splice<T>(send: impl FnOnce() -> T) -> T {
    timed(Way::Splice, TRIAL.is_running(), send)
}

/// Runs `write`, which writes `slices` to a socket: while it is measured how pipes move, that is
/// part of the cost of copying.
pub fn timed_write<T>(slices: &[IoSlice<'_>], write: impl FnOnce() -> T) -> T {
    let counts =
        TRIAL.is_running() && slices.iter().map(|slice| slice.len()).sum::<usize>() >= LARGE;
    timed(Way::Copy, counts, write)
}

fn timed<T>(way: Way, counts: bool, work: impl FnOnce() -> T) -> T {
    if !counts {
        return work();
    }
    let before = processor_time();
    let done = work();
    TRIAL.record(way, 0, processor_time().saturating_sub(before));
    done
}

/// Of this thread, in nanoseconds.
fn processor_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moves pieces of 256 KiB, at these costs a piece, until there is a verdict.
    fn verdict(trial: &Trial, copy: u64, splice: u64) -> (Way, u64) {
        const PIECE: u64 = 256 * 1024;
        let mut moved = 0;
        loop {
            let way = trial.choose();
            if trial.state.load(Ordering::Relaxed) != RUNNING {
                return (way, moved);
            }
            let first = moved < 2 * TURN;
            let cost = if way == Way::Copy { copy } else { splice };
            // The first turns are not typical.
            trial.record(way, PIECE, if first { 1_000_000_000 } else { cost / 2 });
            trial.record(way, 0, cost - cost / 2);
            moved += PIECE;
        }
    }

    #[test]
    fn cheaper_way_is_chosen_after_both_had_as_many_turns() {
        for (copy, splice, expected) in
            [(1000, 800, Way::Splice), (1000, 950, Way::Copy), (800, 1000, Way::Copy)]
        {
            let trial = Trial::new();
            let (way, moved) = verdict(&trial, copy, splice);
            assert_eq!(way, expected);
            assert!(moved <= 2 * (TURNS + 1) * TURN + TURN, "{moved} bytes to find out");
        }
    }

    #[test]
    fn verdict_holds_until_many_bytes_have_passed() {
        let trial = Trial::new();
        assert_eq!(verdict(&trial, 100, 200).0, Way::Copy);
        trial.pass(VALID);
        assert_eq!((trial.choose(), trial.is_running()), (Way::Copy, false));
        trial.pass(1);
        assert_eq!(verdict(&trial, 200, 100).0, Way::Splice);
    }
}
