//! On what, and with which versions.

use std::{fs, process::Command};

use super::contenders::Contenders;
use crate::{
    affinity::{Pinning, cpus},
    in_path,
};

/// What the report says of a run's surroundings, in order.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub(super) facts: Vec<(&'static str, String)>,
    pub(super) versions: Vec<(String, String)>,
    pub(super) missing: Vec<(String, String)>,
}

impl Machine {
    pub(super) fn look(network: &str, pinning: Option<Pinning>, contenders: &Contenders) -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let line = |text: &str, name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
            value.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let pinned = pinning.map_or_else(
            || "no".to_owned(),
            |pinning| {
                format!(
                    "servers on CPU {}, client and function on CPU {}",
                    pinning.server, pinning.client
                )
            },
        );
        let facts = vec![
            ("date", date()),
            ("CPU", line(&read("/proc/cpuinfo"), "model name")),
            ("CPUs", cpus().to_string()),
            ("memory", line(&read("/proc/meminfo"), "MemTotal")),
            ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
            ("load before", read("/proc/loadavg").trim().to_owned()),
            ("network", network.to_owned()),
            ("pinned", pinned),
            (
                "pipe memory a user (pages)",
                read("/proc/sys/fs/pipe-user-pages-soft").trim().to_owned(),
            ),
        ];
        let mut versions: Vec<_> = contenders
            .all
            .iter()
            .map(|contender| (contender.name.clone(), contender.kind.version(&contender.path)))
            .collect();
        if let Some(gateway) = &contenders.gateway {
            versions.insert(1, ("ours (gateway)".into(), gateway.kind.version(&gateway.path)));
        }
        if let Some(wrk) = in_path("wrk") {
            versions.push(("wrk".into(), first_line(Command::new(wrk).arg("-v"))));
        }
        Self { facts, versions, missing: contenders.missing.clone() }
    }
}

fn first_line(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "unknown".into() };
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or("unknown").to_owned()
}

fn date() -> String {
    first_line(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))
}
