//! `gates`: what a request costs in figures that noise cannot touch, and their limits.
//!
//! System calls are counted with strace(1), instructions with valgrind(1); each watchdog is run
//! twice, and the difference between many and few requests is what those requests cost. It runs
//! on one CPU, where it has one thread, with one request at a time: nothing depends on timing but
//! whether a process has written when it is asked.

mod instructions;
mod limits;
mod syscalls;

use std::{collections::BTreeMap, path::Path};

use self::limits::Limits;
use crate::{
    Result,
    affinity::pin,
    client::Probe,
    load::{fixture::Fixture, scenario::Task},
    server::{Contender, Kind, Work},
    sibling,
};

/// Names in the table of limits, and what is asked.
const SUBJECTS: &[(&str, Task)] = &[
    ("classic", Task::Cat),
    ("streaming", Task::StreamingCat),
    ("static-1k", Task::File(1024)),
    ("static-1m", Task::File(1 << 20)),
    ("http-35", Task::Reply(35)),
    ("http-35-unix", Task::UnixReply(35)),
    ("http-1m", Task::Reply(1 << 20)),
    ("gateway-35", Task::Hop(1, 35)),
];

/// Requests of the two runs.
const FEW: u32 = 20;
const MANY: u32 = 220;

/// One figure.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    /// For each request.
    pub(crate) figure: f64,
    /// What it consists of, if that is known.
    pub(crate) parts: BTreeMap<String, f64>,
}

/// Measures everything, or `only` these subjects, says each figure, and fails when one is over its
/// limit.
pub fn run(
    ours: &Path,
    gateway: &Path,
    only: &[String],
    limits: &str,
    say: &dyn Fn(&str),
) -> Result<()> {
    let limits = Limits::parse(limits)?;
    let folder = tempfile::tempdir()?;
    // What is started inherits it.
    pin(crate::affinity::first()?)?;
    let mut over = Vec::new();
    if let Some(unknown) = only.iter().find(|only| SUBJECTS.iter().all(|(name, _)| name != *only)) {
        let names: Vec<_> = SUBJECTS.iter().map(|(name, _)| *name).collect();
        return Err(format!("no subject {unknown}: there are {}", names.join(", ")).into());
    }
    for (name, task) in SUBJECTS {
        if !only.is_empty() && !only.iter().any(|only| only == name) {
            continue;
        }
        let subject = Subject { name, task: *task, ours, gateway, folder: folder.path() };
        let costs = [
            ("syscalls", syscalls::measure(&subject)?),
            ("kinstructions", instructions::measure(&subject)?),
        ];
        for (metric, cost) in costs {
            let limit = limits.of(name, metric)?;
            let verdict = if cost.figure > limit { "OVER" } else { "ok" };
            say(&format!(
                "{name:13} {metric:14} {:9.2}  limit {limit:9.2}  {verdict}",
                cost.figure
            ));
            if !cost.parts.is_empty() {
                let parts = cost.parts.iter().filter(|(_, count)| **count >= 0.005);
                let parts: Vec<_> =
                    parts.map(|(part, count)| format!("{part} {count:.2}")).collect();
                say(&format!("{:13} {}", "", parts.join(", ")));
            }
            if cost.figure > limit {
                over.push(format!("{name} {metric}: {:.2} > {limit:.2}", cost.figure));
            }
        }
    }
    if over.is_empty() {
        return Ok(());
    }
    Err(format!("over the limits of benches/gates.txt: {}", over.join("; ")).into())
}

/// One mode under measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    name: &'a str,
    task: Task,
    ours: &'a Path,
    gateway: &'a Path,
    folder: &'a Path,
}

impl Subject<'_> {
    /// Runs it through a tool, with so many requests on one connection, each answer checked.
    /// Returns its process id.
    fn run(&self, through: &[String], requests: u32) -> Result<i32> {
        let failed = |error| format!("{} under {}: {error}", self.name, through[0]);
        let fixture = Fixture::make(self.task, self.folder, Some(self.gateway));
        let fixture = fixture.map_err(|error| format!("{}: {error}", self.name))?;
        let mut contender = match fixture.work {
            // Valgrind has no `pidfd_open`, without which the process provider adopts nothing.
            Work::Hop { .. } if through[0].ends_with("valgrind") => {
                let hop = Contender::new("ours", &sibling("examples/hop")?);
                Contender { kind: Kind::Hop, ..hop }
            }
            Work::Hop { .. } => {
                Contender { kind: Kind::Gateway, ..Contender::new("ours", self.gateway) }
            }
            _ => Contender::new("ours", self.ours),
        };
        contender.through = through.to_vec();
        if self.name == "http-1m" {
            // Callgrind 3.19 fails an assertion of its own (threads.c, post_signal) in the trial of
            // splicing: what is counted is copying.
            contender.extra.push(("zero_copy".to_owned(), "off".to_owned()));
        }
        let server = contender.start(&fixture.work, self.folder).map_err(failed)?;
        let mut probe = Probe::connect(server.address)?;
        for _ in 0..requests {
            probe.expect(&fixture.request, fixture.expected.clone()).map_err(failed)?;
        }
        Ok(server.pid())
    }
}

/// What the requests that one run has more than the other cost each.
fn each(many: f64, few: f64) -> f64 {
    (many - few) / f64::from(MANY - FEW)
}
