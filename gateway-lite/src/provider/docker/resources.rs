//! Limits and requests as the engine takes them.

use bollard::models::HostConfig;

use super::engine::{ASK, Engine};
use crate::{
    error::Result,
    function::{FunctionSpec, cpus, memory_bytes},
};

/// The least memory that the engine takes for a container, in bytes.
const LEAST_MEMORY: u64 = 6 << 20;
/// The least processor time that it takes, in thousandths of a CPU.
const LEAST_CPU: u64 = 10;
/// Thousandths of a CPU in units of the engine, billionths.
const NANO: u64 = 1_000_000;
/// The weight of one CPU, the least and the largest that the kernel takes (cgroups, `cpu.shares`).
const SHARES: u64 = 1024;
const LEAST_SHARES: u64 = 2;
const MOST_SHARES: u64 = 262_144;

/// What the machine has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Machine {
    cpus: u64,
    memory: u64,
}

impl Machine {
    /// That of the engine.
    pub(super) async fn of(engine: &Engine) -> Result<Self> {
        let info = engine.ask(ASK, "ask for the machine's size", engine.api().info()).await?;
        let positive = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        Ok(Self {
            cpus: positive(info.ncpu).unwrap_or(1),
            memory: positive(info.mem_total).unwrap_or(i64::MAX as u64),
        })
    }

    /// Puts what `spec` asks for into `host`, no less than the engine takes and no more than there
    /// is. Returns the limit of memory.
    pub(super) fn limit(self, spec: &FunctionSpec, host: &mut HostConfig) -> Result<Option<u64>> {
        let read = |text: Option<&String>, parse: fn(&str) -> Result<u64>| {
            text.filter(|text| !text.is_empty()).map(|text| parse(text)).transpose()
        };
        let (limits, requests) = (spec.limits.as_ref(), spec.requests.as_ref());
        let most = self.memory.max(LEAST_MEMORY);
        let memory = read(limits.and_then(|one| one.memory.as_ref()), memory_bytes)?;
        let memory = memory.map(|bytes| bytes.clamp(LEAST_MEMORY, most));
        host.memory = memory.map(signed);
        // As much again of swap would make the limit none.
        host.memory_swap = host.memory;
        let needed = read(requests.and_then(|one| one.memory.as_ref()), memory_bytes)?;
        let needed = needed.map(|bytes| bytes.clamp(LEAST_MEMORY, memory.unwrap_or(most)));
        host.memory_reservation = needed.map(signed);
        let cpu = read(limits.and_then(|one| one.cpu.as_ref()), cpus)?;
        let cpu = cpu.map(|milli| milli.clamp(LEAST_CPU, self.cpus * 1000));
        host.nano_cpus = cpu.map(|milli| signed(milli * NANO));
        let share = read(requests.and_then(|one| one.cpu.as_ref()), cpus)?;
        let share = share.map(|milli| (milli * SHARES / 1000).clamp(LEAST_SHARES, MOST_SHARES));
        host.cpu_shares = share.map(signed);
        Ok(memory)
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(json: serde_json::Value) -> HostConfig {
        let spec: FunctionSpec = serde_json::from_value(json).unwrap();
        let mut host = HostConfig::default();
        Machine { cpus: 2, memory: 1 << 30 }.limit(&spec, &mut host).unwrap();
        host
    }

    #[test]
    fn what_is_asked_for_is_passed_on() {
        let host = limited(serde_json::json!({
            "limits": {"memory": "64Mi", "cpu": "500m"}, "requests": {"memory": "32Mi", "cpu": "250m"},
        }));
        assert_eq!((host.memory, host.memory_swap), (Some(64 << 20), Some(64 << 20)));
        assert_eq!(host.memory_reservation, Some(32 << 20));
        assert_eq!((host.nano_cpus, host.cpu_shares), (Some(500_000_000), Some(256)));
        assert_eq!(limited(serde_json::json!({})), HostConfig::default());
    }

    #[test]
    fn absurd_amounts_are_clamped() {
        let small = limited(serde_json::json!({
            "limits": {"memory": "128m", "cpu": "1m"}, "requests": {"memory": "1", "cpu": "1m"},
        }));
        assert_eq!((small.memory, small.memory_reservation), (Some(6 << 20), Some(6 << 20)));
        assert_eq!((small.nano_cpus, small.cpu_shares), (Some(10_000_000), Some(2)));
        let large = limited(serde_json::json!({
            "limits": {"memory": "8Ei", "cpu": "1000"}, "requests": {"memory": "8Ei", "cpu": "1000"},
        }));
        assert_eq!((large.memory, large.memory_reservation), (Some(1 << 30), Some(1 << 30)));
        assert_eq!((large.nano_cpus, large.cpu_shares), (Some(2_000_000_000), Some(262_144)));
    }
}
