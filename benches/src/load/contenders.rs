//! Who takes part.

use std::process::Command;

use super::{
    fixture::Fixture,
    options::Options,
    scenario::{Field, Scenario, Task},
};
use crate::{
    Result, in_path,
    server::{Contender, Kind},
    sibling,
};

/// Everyone that was found.
#[derive(Debug)]
pub(super) struct Contenders {
    /// Ours first, the floor last.
    pub(super) all: Vec<Contender>,
    /// Ours, where a gateway is what is measured.
    pub(super) gateway: Option<Contender>,
    /// Named, but not here.
    pub(super) missing: Vec<(String, String)>,
    spares: usize,
    /// Whether ours knows `warm_spares`.
    has_spares: bool,
}

impl Contenders {
    /// Looks for all that `options` name, and for nginx and haproxy.
    pub(super) fn find(options: &Options) -> Result<Self> {
        let mut missing = Vec::new();
        let mut all = vec![Contender::new("ours", &options.ours)];
        all[0].extra.clone_from(&options.environment);
        all[0].through.clone_from(&options.through);
        if !options.ours.is_file() {
            return Err(format!("{}: no such file (--ours)", options.ours.display()).into());
        }
        for (name, path) in &options.peers {
            match in_path(&path.to_string_lossy()) {
                Some(path) => all.push(Contender::new(name, &path)),
                None => {
                    return Err(format!("--peer {name}={}: no such file", path.display()).into());
                }
            }
        }
        for name in ["nginx", "haproxy"] {
            if all.iter().any(|contender| contender.name == name) {
                continue;
            }
            match in_path(name) {
                Some(path) => all.push(Contender::new(name, &path)),
                None => missing.push((name.into(), "not in PATH".into())),
            }
        }
        for name in ["of-watchdog", "classic-watchdog"] {
            if !all.iter().any(|contender| contender.kind == Kind::of(name)) {
                missing.push((name.into(), format!("no --peer {name}=PATH was given")));
            }
        }
        let mut floor = Contender::new("floor", &sibling("floor")?);
        floor.kind = Kind::Floor;
        all.push(floor);
        all.retain(|contender| !options.without.contains(&contender.name));
        let gateway = options.gateway.as_ref().map(|path| {
            let (extra, through) = (options.environment.clone(), options.through.clone());
            Contender { kind: Kind::Gateway, extra, through, ..Contender::new("ours", path) }
        });
        let help = Command::new(&options.ours).arg("--help").output()?;
        let has_spares = String::from_utf8_lossy(&help.stdout).contains("warm_spares");
        Ok(Self { all, gateway, missing, spares: options.spares, has_spares })
    }

    /// Those that can do it; the others are named.
    pub(super) fn for_scenario(
        &self,
        scenario: &Scenario,
        fixture: &Fixture,
        skipped: &mut Vec<(String, String)>,
    ) -> Vec<Contender> {
        if scenario.field == Field::Spares {
            return self.spares(skipped);
        }
        let unix = matches!(scenario.task, Task::UnixReply(_));
        let mut field = Vec::new();
        let gateway = matches!(scenario.task, Task::Hop(..)).then_some(&self.gateway);
        field.extend(gateway.into_iter().flatten().cloned());
        for contender in &self.all {
            let left_out = scenario.field == Field::Files && contender.kind == Kind::OfWatchdog;
            if left_out || !contender.kind.can(&fixture.work) {
                continue;
            }
            if unix && !contender.kind.can_use_unix_sockets() {
                skipped.push((contender.name.clone(), "knows no unix sockets".into()));
                continue;
            }
            field.push(contender.clone());
            if unix && contender.kind == Kind::Nginx {
                // The target is over what nginx does with TCP.
                field.push(Contender { name: "nginx-tcp".into(), ..contender.clone() });
            }
        }
        field
    }

    fn spares(&self, skipped: &mut Vec<(String, String)>) -> Vec<Contender> {
        let Some(ours) = self.all.iter().find(|contender| contender.name == "ours") else {
            return Vec::new();
        };
        let mut cold = ours.clone();
        cold.extra.push(("cgi_headers".into(), "false".into()));
        if !self.has_spares {
            skipped.push(("ours+spares".into(), "this build knows no warm_spares".into()));
            return vec![cold];
        }
        let mut warm = cold.clone();
        warm.name = "ours+spares".into();
        warm.extra.push(("warm_spares".into(), self.spares.to_string()));
        let mut field = vec![cold, warm];
        // The loop that does with spares only what none can avoid.
        if let Some(floor) = self.all.iter().find(|contender| contender.kind == Kind::Floor) {
            let mut floor = floor.clone();
            floor.name = "floor+spares".into();
            floor.extra.push(("warm_spares".into(), self.spares.to_string()));
            field.push(floor);
        }
        field
    }
}
