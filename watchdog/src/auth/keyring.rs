//! The current keys, and their renewal: regularly, and when a token names a key that is not known yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::discovery::Found;
use super::fetch;
use super::keys::KeySet;

/// How patient and how eager fetching is. The defaults are what every caller gets; tests use shorter times.
#[derive(Debug, Clone)]
pub(super) struct Timing {
    /// For each fetch of a document.
    pub(super) deadline: Duration,
    /// How often the documents are tried at start.
    pub(super) tries: u32,
    /// Pause after the first failure at start; it doubles with each further one.
    pub(super) first_pause: Duration,
    /// No try at start begins later than this.
    pub(super) start_limit: Duration,
    /// Pause between regular renewals: how long a withdrawn key may live on.
    pub(super) interval: Duration,
    /// Unknown keys cause no renewal this soon after the last one: anyone can send a token with an invented key id.
    pub(super) min_gap: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            tries: 5,
            first_pause: Duration::from_millis(500),
            start_limit: Duration::from_secs(20),
            interval: Duration::from_secs(5 * 60),
            min_gap: Duration::from_secs(10),
        }
    }
}

/// A request waits for a renewal so much longer than the fetch may take.
const SPARE_WAIT: Duration = Duration::from_secs(1);

/// The issuer's keys, as far as known.
#[derive(Debug)]
pub(super) struct Keyring {
    issuer: String,
    url: String,
    timing: Timing,
    state: watch::Sender<State>,
}

#[derive(Debug)]
struct State {
    keys: Arc<KeySet>,
    fetching: bool,
    /// When the last fetch began, whether it succeeded or not.
    tried_at: Instant,
}

impl Keyring {
    pub(super) fn new(found: Found, timing: Timing) -> Arc<Self> {
        let state = State { keys: Arc::new(found.keys), fetching: false, tried_at: Instant::now() };
        Arc::new(Self {
            issuer: found.issuer,
            url: found.keys_url,
            timing,
            state: watch::Sender::new(state),
        })
    }

    /// The keys known now.
    pub(super) fn current(&self) -> Arc<KeySet> {
        Arc::clone(&self.state.borrow().keys)
    }

    /// The keys after a renewal, which all callers share, or the ones known now if the last renewal is too recent.
    pub(super) async fn newer(self: &Arc<Self>) -> Arc<KeySet> {
        if self.is_renewing(self.timing.min_gap) {
            self.renewed().await;
        }
        self.current()
    }

    /// Renews the keys regularly, for ever.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.timing.interval).await;
            if self.is_renewing(Duration::ZERO) {
                self.renewed().await;
            }
        }
    }

    /// Starts a fetch unless one is under way or the last one began less than `gap` ago; whether one is under way now.
    fn is_renewing(self: &Arc<Self>, gap: Duration) -> bool {
        let mut is_starting = false;
        let mut is_fetching = false;
        self.state.send_if_modified(|state| {
            is_starting = !state.fetching && state.tried_at.elapsed() >= gap;
            if is_starting {
                state.fetching = true;
                state.tried_at = Instant::now();
            }
            is_fetching = state.fetching;
            // Only the end of a fetch is news.
            false
        });
        if is_starting {
            // A task of its own: a caller who leaves must not stop what others wait for. Its life is bounded by the
            // deadline of the fetch.
            tokio::spawn(Renewal::new(Arc::clone(self)).run());
        }
        is_fetching
    }

    /// Waits for the end of the fetch that is under way, but not for ever.
    async fn renewed(&self) {
        let mut state = self.state.subscribe();
        let finished = state.wait_for(|state| !state.fetching);
        // Late or not, the caller looks at the keys there are then.
        let _ = tokio::time::timeout(self.timing.deadline + SPARE_WAIT, finished).await;
    }
}

/// One fetch of the keys. Dropping it ends it, even unfinished, so that there is always a next one.
struct Renewal {
    keyring: Arc<Keyring>,
    keys: Option<Arc<KeySet>>,
}

impl Renewal {
    fn new(keyring: Arc<Keyring>) -> Self {
        Self { keyring, keys: None }
    }

    async fn run(mut self) {
        let url = &self.keyring.url;
        let old = self.keyring.current();
        let fetched = match fetch::get(url, self.keyring.timing.deadline).await {
            Ok(document) if old.is_from(&document) => return,
            Ok(document) => KeySet::parse(document, &self.keyring.issuer),
            Err(failure) => Err(failure.to_string()),
        };
        match fetched {
            Ok(keys) => {
                for reason in keys.skipped() {
                    tracing::warn!(%url, "ignored a key of the issuer: {reason}");
                }
                // An empty set is the issuer's word, too: it has withdrawn them all.
                if keys.is_empty() {
                    tracing::warn!(%url, "the issuer has no usable key now, every call will be refused");
                }
                tracing::info!(%url, %keys, "the issuer's keys have changed");
                self.keys = Some(Arc::new(keys));
            }
            Err(reason) => {
                tracing::warn!(%url, "cannot renew the issuer's keys, the old ones stay: {reason}");
            }
        }
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.keyring.state.send_modify(|state| {
            state.fetching = false;
            if let Some(keys) = self.keys.take() {
                state.keys = keys;
            }
        });
    }
}
