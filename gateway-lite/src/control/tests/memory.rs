//! A back end in memory, for orders of events that a real one cannot be made to produce on demand.
//! What an instance does follows from its image: `good` listens, `silent` never does, `broken`
//! does not get up, `refused` cannot be started, `missing` cannot be had, `slow` can only once
//! [`Memory::arrived`] is set.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use modes::proxy::Target;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
};

use super::super::*;
use crate::provider::{Info, Line, LineStream, Lines, Order};

#[derive(Debug)]
pub(super) struct Memory {
    pub(super) instances: Mutex<BTreeMap<String, Instance>>,
    /// Those that are to be parked.
    pub(super) dismissed: Mutex<BTreeSet<String>>,
    /// Whether nothing can be parked.
    pub(super) is_stubborn: AtomicBool,
    /// Whether it does not answer.
    pub(super) is_away: AtomicBool,
    /// Whether the image `slow` is there.
    pub(super) arrived: watch::Sender<bool>,
    changes: watch::Sender<u64>,
    made: AtomicU64,
    port: u16,
}

impl Memory {
    pub(super) async fn start() -> Arc<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut head = [0; 4096];
                    let _ = stream.read(&mut head).await;
                    let answer =
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                    let _ = stream.write_all(answer).await;
                });
            }
        });
        Arc::new(Self {
            instances: Mutex::default(),
            dismissed: Mutex::default(),
            is_stubborn: AtomicBool::new(false),
            is_away: AtomicBool::new(false),
            arrived: watch::Sender::new(false),
            changes: watch::Sender::new(0),
            made: AtomicU64::new(0),
            port,
        })
    }

    pub(super) fn running(&self) -> State {
        State::Running { target: Target::Tcp { host: "127.0.0.1".to_owned(), port: self.port } }
    }

    /// Somebody else does something to an instance.
    pub(super) fn meddle(&self, id: &str, state: State) {
        // It may be gone by now.
        if let Some(instance) = self.instances.lock().unwrap().get_mut(id) {
            instance.state = state;
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Somebody else removes one.
    pub(super) fn lose(&self, id: &str) {
        self.instances.lock().unwrap().remove(id).unwrap();
        self.changes.send_modify(|n| *n += 1);
    }

    pub(super) fn come_back(&self) {
        self.is_away.store(false, Ordering::SeqCst);
        self.changes.send_modify(|n| *n += 1);
    }

    /// What a back end does when it is opened after its gateway was killed.
    pub(super) fn reopen(&self) {
        let dismissed = std::mem::take(&mut *self.dismissed.lock().unwrap());
        for (id, instance) in &mut *self.instances.lock().unwrap() {
            if dismissed.contains(id) {
                instance.state = State::Parked;
            }
        }
    }

    /// Versions and states, in the order they were made.
    pub(super) fn all(&self) -> Vec<(u64, State)> {
        let instances = self.instances.lock().unwrap();
        instances.values().map(|one| (one.revision, one.state.clone())).collect()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        self.instances.lock().unwrap().keys().cloned().collect()
    }

    fn answers(&self) -> Result<()> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("nobody is there".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for Memory {
    fn info(&self) -> Info {
        Info { name: "memory".to_owned(), orchestration: String::new(), version: String::new() }
    }

    async fn list(&self) -> Result<Vec<Instance>> {
        self.answers()?;
        Ok(self.instances.lock().unwrap().values().cloned().collect())
    }

    async fn prepare(&self, spec: &FunctionSpec) -> Result<()> {
        self.answers()?;
        match spec.image.as_str() {
            "missing" => Err(Error::Invalid("there is no image missing".to_owned())),
            "slow" => {
                let _ = self.arrived.subscribe().wait_for(|arrived| *arrived).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn create(&self, order: &Order) -> Result<Instance> {
        self.answers()?;
        let id = format!("i{:04}", self.made.fetch_add(1, Ordering::SeqCst));
        let instance = Instance {
            id: id.clone(),
            function: order.function.clone(),
            spec: Arc::clone(&order.spec),
            revision: order.revision,
            deployed: order.deployed,
            state: State::Parked,
            deaths: 0,
            last_death: None,
        };
        self.instances.lock().unwrap().insert(id, instance.clone());
        Ok(instance)
    }

    async fn start(&self, id: &str) -> Result<Instance> {
        self.answers()?;
        self.dismissed.lock().unwrap().remove(id);
        let mut instances = self.instances.lock().unwrap();
        let gone = || Error::NotFound(id.to_owned());
        let instance = instances.get_mut(id).ok_or_else(gone)?;
        instance.state = match instance.spec.image.as_str() {
            "refused" => return Err(Error::Failed("no such command".to_owned())),
            "broken" => State::Failing { why: "exit status 3".to_owned() },
            "silent" => State::Running { target: Target::Unix("/nowhere/socket".into()) },
            _ => self.running(),
        };
        Ok(instance.clone())
    }

    async fn dismiss(&self, id: &str) -> Result<()> {
        self.answers()?;
        self.dismissed.lock().unwrap().insert(id.to_owned());
        Ok(())
    }

    async fn park(&self, id: &str, _: Duration) -> Result<()> {
        self.answers()?;
        if self.is_stubborn.load(Ordering::SeqCst) {
            return Err(Error::Unavailable("it does not end".to_owned()));
        }
        if let Some(instance) = self.instances.lock().unwrap().get_mut(id) {
            instance.state = State::Parked;
        }
        Ok(())
    }

    async fn remove(&self, id: &str) -> Result<()> {
        self.answers()?;
        self.instances.lock().unwrap().remove(id);
        Ok(())
    }

    async fn usage(&self, _: &str) -> Result<Usage> {
        Ok(Usage { cpu: 1.0, memory: 2.0 })
    }

    async fn lines(&self, _: &str, _: Lines) -> Result<LineStream> {
        let line = Line { at: OffsetDateTime::UNIX_EPOCH, text: "cannot open the oven".to_owned() };
        Ok(stream::iter([Ok(line)]).boxed())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
