//! What was learnt of files, so that the next request for one asks the disk for nothing.
//!
//! Nothing is believed for longer than [`FRESH`]: then the name is resolved anew, through every
//! link on its way, and what it leads to is compared. Names that lead to no file are not kept.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use super::resource::Resource;

/// For how long a name is taken to lead to the same content.
pub(super) const FRESH: Duration = Duration::from_secs(1);

/// What nobody asked for during this long is forgotten, and its descriptors are closed: a deleted
/// file takes its place on the disk no longer.
const KEPT: Duration = Duration::from_secs(5);

/// The most names.
const NAMES: usize = 512;
/// The most descriptors, a small part of the 1024 that a process may have unless told otherwise.
const DESCRIPTORS: usize = 128;
/// The most bytes of content.
const MEMORY: usize = 2 << 20;

/// Resources by name.
#[derive(Debug, Default)]
pub(super) struct Cache {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    entries: HashMap<Box<[u8]>, Entry>,
    /// Sums over `entries`.
    memory: usize,
    descriptors: usize,
    /// A task forgets what is not asked for.
    is_swept: bool,
}

#[derive(Debug)]
struct Entry {
    resource: Arc<Resource>,
    checked: Instant,
    used: Instant,
}

impl Cache {
    /// What is known of `name`, and whether it still holds at `now`.
    pub(super) fn get(&self, name: &[u8], now: Instant) -> Option<(Arc<Resource>, bool)> {
        let mut known = self.lock();
        let entry = known.entries.get_mut(name)?;
        entry.used = now;
        let is_fresh = now.saturating_duration_since(entry.checked) < FRESH;
        Some((Arc::clone(&entry.resource), is_fresh))
    }

    /// `name` was found to lead to `resource` by a look that began at `checked`. Has to be called
    /// inside a tokio runtime.
    pub(super) fn put(self: &Arc<Self>, name: &[u8], resource: Arc<Resource>, checked: Instant) {
        let mut known = self.lock();
        if known.entries.get(name).is_some_and(|entry| entry.checked > checked) {
            // Somebody who looked later was faster.
            return;
        }
        known.remove(name);
        known.memory += resource.memory();
        known.descriptors += resource.descriptors();
        let entry = Entry { resource, checked, used: Instant::now() };
        known.entries.insert(name.into(), entry);
        while known.entries.len() > NAMES
            || known.descriptors > DESCRIPTORS
            || known.memory > MEMORY
        {
            known.remove_oldest();
        }
        if !std::mem::replace(&mut known.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// `name` leads to no file any more.
    pub(super) fn forget(&self, name: &[u8]) {
        self.lock().remove(name);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn remove(&mut self, name: &[u8]) {
        if let Some(Entry { resource, .. }) = self.entries.remove(name) {
            self.memory -= resource.memory();
            self.descriptors -= resource.descriptors();
        }
    }

    fn remove_oldest(&mut self) {
        let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
        if let Some(name) = oldest.map(|(name, _)| name.clone()) {
            self.remove(&name);
        }
    }

    /// Forgets what was not used since `limit`; whether anything is left.
    fn retain_used_since(&mut self, limit: Instant) -> bool {
        let old = self.entries.iter().filter(|(_, entry)| entry.used < limit);
        let old: Vec<Box<[u8]>> = old.map(|(name, _)| name.clone()).collect();
        for name in old {
            self.remove(&name);
        }
        if self.entries.is_empty() {
            self.entries = HashMap::new();
        }
        !self.entries.is_empty()
    }
}

/// Runs as long as there is something to forget.
async fn sweep(cache: Weak<Cache>) {
    loop {
        tokio::time::sleep(KEPT).await;
        let Some(cache) = cache.upgrade() else { return };
        let Some(limit) = Instant::now().checked_sub(KEPT) else { continue };
        let mut known = cache.lock();
        if !known.retain_used_since(limit) {
            known.is_swept = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests;
