//! What the tests stand in.

use std::path::PathBuf;

use super::{super::*, id, memory::Memory};
use crate::registry::Endpoint;

/// A gateway without its front.
pub(super) struct Kitchen {
    pub(super) provider: Arc<Memory>,
    pub(super) registry: Arc<Registry>,
    pub(super) control: Arc<Control>,
    data: Option<PathBuf>,
}

impl Drop for Kitchen {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(data) = &self.data {
            let _ = std::fs::remove_dir_all(data);
        }
    }
}

pub(super) fn hasty() -> Settings {
    Settings {
        answer_within: Duration::from_secs(20),
        ready_within: Duration::from_secs(10),
        look_every: Duration::from_secs(3600),
        ..Settings::default()
    }
}

impl Kitchen {
    pub(super) async fn open(name: &str) -> Self {
        Self::over(name, Memory::start().await, hasty()).await
    }

    pub(super) async fn over(name: &str, provider: Arc<Memory>, settings: Settings) -> Self {
        let data = std::env::temp_dir().join(format!("control-{name}-{}", std::process::id()));
        Self::at(data, provider, settings).await
    }

    async fn at(data: PathBuf, provider: Arc<Memory>, settings: Settings) -> Self {
        let secrets = Arc::new(Secrets::open(&data).unwrap());
        let promises = Promises::open(&data).unwrap();
        let (registry, asked) = Registry::new();
        let registry = Arc::new(registry);
        let provider_ = Arc::clone(&provider) as Arc<dyn Provider>;
        let known = Arc::clone(&registry);
        let control = Control::start(provider_, known, asked, secrets, promises, settings);
        Self { provider, control: control.await.unwrap(), registry, data: Some(data) }
    }

    /// Another gateway over the same instances and data.
    pub(super) async fn again(mut self) -> Self {
        let (provider, data) = (Arc::clone(&self.provider), self.data.take().unwrap());
        drop(self);
        provider.reopen();
        Self::at(data, provider, hasty()).await
    }

    pub(super) fn function(&self) -> Arc<Function> {
        self.registry.get(&id()).unwrap()
    }

    pub(super) fn ready(&self) -> Vec<Arc<Endpoint>> {
        self.function().endpoints.load().to_vec()
    }

    pub(super) async fn until_ready(&self, revision: u64, replicas: usize) {
        eventually(&format!("{replicas} of version {revision} are ready"), || {
            let ready = self.ready();
            ready.len() == replicas && ready.iter().all(|one| one.revision == revision)
        })
        .await;
    }

    pub(super) async fn until_all(&self, expected: &[(u64, State)]) {
        eventually(&format!("{expected:?}"), || self.provider.all() == expected).await;
    }
}

pub(super) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
