//! The environment: the only place that reads it.
//!
//! [`parse`] goes once through the table of variables and reports every mistake in one go. Flags of
//! the command line are variables that win.

mod table;

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fmt::Write as _,
    path::PathBuf,
};

pub use self::table::VARIABLES;
use crate::settings::Settings;

/// Names and values.
#[derive(Clone, Debug, Default)]
pub struct Environment(HashMap<String, String>);

impl Environment {
    /// That of this process. What is no text is left out.
    #[must_use]
    pub fn of_process() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this is the module that reads it")]
        let texts = std::env::vars_os();
        Self(
            texts
                .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
        )
    }

    /// One that has `value` for `name`, whatever it was before.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<String>) -> Self {
        if let Some(value) = value {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    /// A variable that is set and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All of them, for what is substituted in files.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// All of them, for processes.
    #[must_use]
    pub fn pairs(&self) -> Vec<(OsString, OsString)> {
        self.0.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// Where this user's data goes (XDG Base Directory Specification); root's is the machine's.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        if rustix::process::geteuid().is_root() {
            return PathBuf::from("/var/lib/kennel");
        }
        let home = self.get("HOME").map_or_else(|| PathBuf::from("/"), PathBuf::from);
        let data = self.get("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        data.unwrap_or_else(|| home.join(".local/share")).join("kennel")
    }
}

/// Every mistake in the environment, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mistakes(String);

/// Reads every setting.
///
/// # Errors
/// All values that cannot be taken: which, what is wrong, and what is.
pub fn parse(environment: &Environment) -> Result<Settings, Mistakes> {
    let mut settings = table::defaults(environment);
    let mut mistakes = String::new();
    for variable in VARIABLES {
        let set = variable.names.iter().find_map(|name| Some((name, environment.get(name)?)));
        let Some((name, value)) = set else { continue };
        if !(variable.set)(&mut settings, value.trim()) {
            // Writing to a string cannot fail.
            let _ = writeln!(mistakes, "{name}={value:?} is refused: use {}", variable.accepts);
        }
    }
    if !settings.basic_auth && !settings.address.is_loopback() && !settings.allow_open {
        let _ = writeln!(
            mistakes,
            "basic_auth=false with listen_address={}: everybody who reaches this machine could run \
             programs on it. Leave basic_auth on, listen on 127.0.0.1, or set allow_open=true",
            settings.address
        );
    }
    if mistakes.is_empty() { Ok(settings) } else { Err(Mistakes(mistakes.trim_end().to_owned())) }
}

/// Every variable, for `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Environment variables:\n");
    for variable in VARIABLES {
        let names = variable.names.join(", ");
        let (help, default) = (variable.help, variable.default);
        let _ = writeln!(text, "  {names}\n          {help} [default: {default}]");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::ProviderKind;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn defaults_are_safe() {
        let settings = parse(&Environment::default()).unwrap();
        assert!(settings.basic_auth && settings.address.is_loopback());
        assert_eq!((settings.provider, settings.port), (ProviderKind::Docker, 8080));
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let environment = environment(&[
            ("provider", "kubernetes"),
            ("port", "80800"),
            ("upstream_timeout", "soon"),
            ("basic_auth", "perhaps"),
            ("log_format", "xml"),
        ]);
        let mistakes = parse(&environment).unwrap_err().to_string();
        assert_eq!(mistakes.lines().count(), 5, "{mistakes}");
        for named in ["kubernetes", "80800", "soon", "perhaps", "xml"] {
            assert!(mistakes.contains(named), "{named}: {mistakes}");
        }
    }

    #[test]
    fn every_variable_is_documented() {
        let page = include_str!("../../docs/gateway.md");
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        for variable in VARIABLES {
            for name in variable.names {
                assert!(rows.iter().any(|row| row.starts_with(&format!("| `{name}` |"))), "{name}");
            }
        }
    }

    #[test]
    fn an_open_control_plane_has_to_be_wanted() {
        let open = [("basic_auth", "false"), ("listen_address", "0.0.0.0")];
        assert!(parse(&environment(&open)).unwrap_err().to_string().contains("allow_open"));
        let wanted = [&open[..], &[("allow_open", "true")]].concat();
        parse(&environment(&wanted)).unwrap();
        parse(&environment(&[("basic_auth", "0")])).unwrap();
    }

    #[test]
    fn numbers_without_a_unit_are_seconds() {
        let settings = parse(&environment(&[("upstream_timeout", "90"), ("metrics_port", "0")]));
        let settings = settings.unwrap();
        assert_eq!(settings.upstream_timeout.as_secs(), 90);
        assert_eq!(settings.metrics_port, None);
    }
}
