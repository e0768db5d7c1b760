//! The environment: the only place that reads it.
//!
//! [`parse`] goes once through the table of variables, fills in [`Settings`] and reports every
//! mistake in one go. A value that cannot be taken leaves its default in place, unless the function
//! could not be served as it was meant; `strict_config=true` leaves no such room.
//!
//! ```text
//! Environment ─▶ table (a row per setting) ─▶ parsers ─▶ rules (between settings) ─▶ Outcome ─▶ report
//! ```

mod fprocess;
mod parsers;
mod report;
mod rules;
mod table;
mod upstream;

pub use self::report::{Entry, Mistake, Notice, Source, Unusable, render_config, render_help};
pub use self::table::{GROUPS, Group, Variable, variables};

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use self::parsers::Refusal;
use crate::settings::{LOCK_FILE, Mode, Settings};

/// Kubernetes mounts the namespace of a pod's service account here.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// The environment of a process: names and values as bytes, each name once.
#[derive(Clone, Debug)]
pub struct Environment {
    entries: Vec<(OsString, OsString)>,
    dropped: Vec<OsString>,
    namespace_file: PathBuf,
}

/// What [`parse`] found: the settings if they can be used, and all there is to say about them
/// either way.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The settings, complete and free of contradictions.
    pub settings: Result<Settings, Unusable>,
    /// Every value that was not taken and everything that is missing, in the order of the table.
    pub mistakes: Vec<Mistake>,
    /// What may have been meant differently.
    pub notices: Vec<Notice>,
    /// Every setting with its value and where that came from, in the order of the table.
    pub entries: Vec<Entry>,
}

/// What `--run-healthcheck` needs, which is known even where the settings are not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthTarget {
    /// Where the lock file is, if there is one.
    pub lock_file: PathBuf,
    /// Whether the watchdog works without a lock file.
    pub suppress_lock: bool,
    /// The port the watchdog listens on; 0 when it was left to the system.
    pub port: u16,
    /// The socket it listens on instead.
    pub socket: Option<PathBuf>,
}

/// Settings on their way from defaults to checked values.
struct Reading<'a> {
    environment: &'a Environment,
    settings: Settings,
    mistakes: Vec<Mistake>,
    /// Where values that are not defaults came from, by the first name of the row.
    sources: HashMap<&'static str, Source>,
}

/// Reads every setting and reports every mistake.
///
/// # Errors
/// `settings` of the outcome is an error when a mistake is fatal: no `fprocess` in a mode that runs
/// one, an unknown mode, a port out of range or used twice, `mode=http` without a usable upstream,
/// token authentication without the function's name and namespace, spares in a mode or with an
/// option that cannot have them, or any mistake at all with `strict_config`.
#[must_use]
pub fn parse(environment: &Environment) -> Outcome {
    let mut reading = Reading::new(environment);
    rules::check(&mut reading);
    let notices = rules::notices(&reading);
    reading.into_outcome(notices)
}

/// Reads a truth value as every boolean setting does; `None` if it is none.
#[must_use]
pub fn parse_boolean(text: &str) -> Option<bool> {
    parsers::boolean(text).ok()
}

/// Reads only what `--run-healthcheck` needs; mistakes leave the defaults in place.
#[must_use]
pub fn health_target(environment: &Environment) -> HealthTarget {
    let settings = Reading::new(environment).settings;
    HealthTarget {
        lock_file: settings.temp_dir.join(LOCK_FILE),
        suppress_lock: settings.suppress_lock,
        port: settings.port,
        socket: settings.socket,
    }
}

// === impl Environment ===

impl Environment {
    /// The environment this process was started with.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one reader the others are sent to")]
    pub fn from_process() -> Self {
        let mut environment = Self::from_pairs(std::env::vars_os());
        // The standard library passes over entries without a name, so they have to be looked for in
        // the block itself (proc(5)). It is only for a report: where it cannot be read, nothing is
        // missing.
        if let Ok(block) = std::fs::read("/proc/self/environ") {
            environment.dropped = block
                .split(|byte| *byte == 0)
                .filter(|entry| !entry.is_empty() && !has_name(entry))
                .map(|entry| OsString::from_vec(entry.to_vec()))
                .collect();
        }
        environment
    }

    /// An environment made of these pairs. Of a repeated name the last value counts, and a name
    /// that is empty or contains `=`, which no process could be given, is dropped.
    pub fn from_pairs<K, V>(pairs: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let mut entries: Vec<(OsString, OsString)> = Vec::new();
        let mut places: HashMap<OsString, usize> = HashMap::new();
        let mut dropped = Vec::new();
        for (name, value) in pairs {
            let (mut name, value) = (name.into(), value.into());
            if name.is_empty() || name.as_bytes().contains(&b'=') {
                name.push("=");
                name.push(value);
                dropped.push(name);
            } else if let Some(place) = places.get(&name) {
                entries[*place].1 = value;
            } else {
                places.insert(name.clone(), entries.len());
                entries.push((name, value));
            }
        }
        Self { entries, dropped, namespace_file: PathBuf::from(NAMESPACE_FILE) }
    }

    /// All of it, as handed down to the processes of the function.
    #[must_use]
    pub fn base(&self) -> &[(OsString, OsString)] {
        &self.entries
    }

    /// The value of a variable; a variable that is set to nothing is not set.
    fn value(&self, name: &str) -> Option<&OsStr> {
        let (_, value) = self.entries.iter().find(|(known, _)| known == name)?;
        (!value.is_empty()).then_some(value)
    }

    /// The first name of a row that is set, and its value.
    fn first_of(&self, names: &[&'static str]) -> Option<(&'static str, &OsStr)> {
        names.iter().find_map(|name| Some((*name, self.value(name)?)))
    }
}

/// Whether an entry of the environment block has the form `name=value`.
fn has_name(entry: &[u8]) -> bool {
    entry.iter().position(|byte| *byte == b'=').is_some_and(|at| at > 0)
}

// === impl Reading ===

impl<'a> Reading<'a> {
    /// Reads every row of the table.
    fn new(environment: &'a Environment) -> Self {
        // Defaults depend on the mode, so it is looked at ahead of its own row, which reports it if
        // it is mistaken.
        let mode = environment
            .value("mode")
            .and_then(OsStr::to_str)
            .and_then(|text| parsers::mode(text).ok())
            .unwrap_or(Mode::DEFAULT);
        let mut reading = Self {
            environment,
            settings: Settings::defaults(mode),
            mistakes: Vec::new(),
            sources: HashMap::new(),
        };
        for variable in variables() {
            reading.read(variable);
        }
        reading
    }

    fn read(&mut self, variable: &'static Variable) {
        let Some((name, value)) = self.environment.first_of(variable.names) else {
            return;
        };
        let kept = (variable.show)(&self.settings);
        let refused = match value.to_str() {
            Some(text) => (variable.set)(&mut self.settings, text),
            None => Err(Refusal::new("is not UTF-8")),
        };
        let value = value.to_string_lossy().into_owned();
        match refused {
            Ok(()) => {
                self.sources.insert(variable.name(), Source::Variable { name, value });
            }
            Err(refusal) => self.mistakes.push(Mistake {
                setting: variable.name(),
                variable: name,
                value: Some(value),
                problem: refusal.problem,
                accepted: variable.accepts,
                kept,
                fatal: refusal.fatal,
            }),
        }
    }

    fn into_outcome(mut self, notices: Vec<Notice>) -> Outcome {
        for mistake in &mut self.mistakes {
            mistake.fatal |= self.settings.strict_config;
        }
        let place = |setting| variables().position(|variable| variable.name() == setting);
        self.mistakes.sort_by_key(|mistake| place(mistake.setting));
        let entries = variables()
            .map(|variable| Entry {
                setting: variable.name(),
                value: (variable.show)(&self.settings),
                source: self.sources.remove(variable.name()).unwrap_or(Source::Default),
            })
            .collect();
        let fatal = self.mistakes.iter().filter(|mistake| mistake.fatal).count();
        Outcome {
            settings: if fatal == 0 { Ok(self.settings) } else { Err(Unusable(fatal)) },
            mistakes: self.mistakes,
            notices,
            entries,
        }
    }
}

#[cfg(test)]
mod tests;
