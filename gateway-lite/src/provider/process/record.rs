//! What is written down about an instance, so that a gateway that starts finds it again.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    sync::Arc,
};

use modes::process::detached::Identity;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::function::FunctionSpec;

/// The record's name in the instance's directory.
const NAME: &str = "instance.json";

/// One instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// What was deployed, word for word.
    #[serde(with = "shared")]
    pub(super) spec: Arc<FunctionSpec>,
    pub(super) revision: u64,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) deployed: OffsetDateTime,
    pub(super) desired: Desired,
    /// How often it was started again because it had died.
    pub(super) restarts: u64,
    /// The process that runs, or did when this was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<Process>,
}

/// What it is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Desired {
    Parked,
    Running,
}

/// A process over reboots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Process {
    pub(super) pid: i32,
    /// In clock ticks since the machine started.
    pub(super) started: u64,
    /// Which start of the machine that was.
    pub(super) boot: String,
}

/// What is shared in memory is written as what it is.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Arc<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        T::serialize(value, to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

impl Process {
    pub(super) fn new(identity: Identity) -> Self {
        Self { pid: identity.pid, started: identity.started, boot: boot() }
    }

    /// `None` for one of another start of the machine.
    pub(super) fn identity(&self) -> Option<Identity> {
        let identity = Identity { pid: self.pid, started: self.started };
        (self.boot == boot()).then_some(identity)
    }
}

fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

impl Record {
    /// Reads that of the instance in `directory`.
    pub(super) fn load(directory: &Path) -> io::Result<Self> {
        let bytes = fs::read(directory.join(NAME))?;
        serde_json::from_slice(&bytes).map_err(io::Error::other)
    }

    /// Writes it, whole or not at all, and for good.
    pub(super) fn save(&self, directory: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        let new = directory.join(format!("{NAME}.new"));
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, directory.join(NAME))?;
        File::open(directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back_as_they_were() {
        let directory = tempfile::tempdir().unwrap();
        let own = Identity { pid: 7, started: 1 << 60 };
        let mut record = Record {
            spec: Arc::new(FunctionSpec { service: "f".to_owned(), ..FunctionSpec::default() }),
            revision: u64::MAX,
            deployed: OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_456_789).unwrap(),
            desired: Desired::Running,
            restarts: 3,
            process: Some(Process::new(own)),
        };
        assert!(Record::load(directory.path()).is_err());
        record.save(directory.path()).unwrap();
        assert_eq!(Record::load(directory.path()).unwrap(), record);
        assert_eq!(record.process.as_ref().unwrap().identity(), Some(own));
        "before".clone_into(&mut record.process.as_mut().unwrap().boot);
        assert_eq!(record.process.unwrap().identity(), None);
    }
}
