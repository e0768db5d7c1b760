//! State that each event loop has for itself, so that none waits for a line of another CPU's cache.

use std::{
    cell::Cell,
    ops::Index,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

thread_local! {
    /// This thread's number, given out with the first use.
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// One `T` for each CPU, and so for each event loop. Threads that are more share.
#[derive(Debug)]
pub struct Lanes<T>(Box<[Apart<T>]>);

/// Two lines: processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

impl<T: Default> Default for Lanes<T> {
    fn default() -> Self {
        let count = thread::available_parallelism().map_or(1, usize::from);
        Self((0..count).map(|_| Apart::default()).collect())
    }
}

impl<T> Lanes<T> {
    /// Which one is the calling thread's.
    #[must_use]
    pub fn here(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            NUMBER.set(Some(number));
            number
        });
        number % self.0.len()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|apart| &apart.0)
    }
}

impl<T> Index<usize> for Lanes<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        &self.0[place].0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn threads_keep_their_lanes_and_share_them_only_when_they_are_more() {
        let lanes = Lanes::<()>::default();
        let count = lanes.iter().count();
        let places: HashSet<usize> = thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|_| {
                    scope.spawn(|| {
                        let place = lanes.here();
                        assert_eq!(place, lanes.here());
                        place
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(places.iter().all(|place| *place < count));
        assert!(!places.is_empty());
    }
}
