//! What reading the environment found out, and how it is written for a reader.

use std::fmt;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::Outcome;
use super::table::GROUPS;

/// A variable whose value could not be taken, or that is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting it is about, under the first name of its row.
    pub setting: &'static str,
    /// The variable as it was, or should have been, set.
    pub variable: &'static str,
    /// Its value, with bytes that are not UTF-8 replaced; `None` when it is not set.
    pub value: Option<String>,
    /// What is wrong, as a fragment that follows variable and value.
    pub problem: String,
    /// What the variable accepts.
    pub accepted: &'static str,
    /// The value the setting has instead.
    pub kept: String,
    /// Whether it keeps the watchdog from starting; with `strict_config` every mistake does.
    pub fatal: bool,
}

/// Something that is allowed but may not be what was meant; never fatal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice(pub String);

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing set it.
    Default,
    /// This variable, with this value.
    Variable {
        /// The name that was set.
        name: &'static str,
        /// Its text.
        value: String,
    },
    /// A file that stands in for the variable.
    File(PathBuf),
}

/// One setting as it was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The first name of its row.
    pub setting: &'static str,
    /// Its value, as the variable would take it.
    pub value: String,
    /// Where the value came from.
    pub source: Source,
}

/// The environment holds no usable settings; the mistakes that say why stand in the [`Outcome`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has {0} mistake(s) that keep the watchdog from starting")]
pub struct Unusable(pub usize);

// === impl Mistake ===

impl Mistake {
    fn variable_and_value(&self) -> String {
        match &self.value {
            Some(value) => format!("{}={}", self.variable, quoted(value)),
            None => self.variable.to_owned(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.variable_and_value();
        write!(f, "{subject} {}; accepted: {}", self.problem, self.accepted)?;
        if self.fatal {
            return Ok(());
        }
        write!(f, "; default {} kept", quoted_if_odd(&self.kept))
    }
}

// === impl Notice ===

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// === impl Source ===

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Variable { name, value } => write!(f, "from {name}={}", quoted(value)),
            Source::File(path) => write!(f, "from {}", path.display()),
        }
    }
}

/// Lists every setting with its value and where that came from, then every mistake and notice: the
/// output of `--print-config`.
///
/// One line a setting, `name=value  (source)`, in the order of the table. It is complete whether or
/// not the settings can be used.
#[must_use]
pub fn render_config(outcome: &Outcome) -> String {
    /// Values longer than this would push the sources of all the others out of sight.
    const WIDEST: usize = 44;

    let lines: Vec<(String, &Entry)> = outcome
        .entries
        .iter()
        .map(|entry| (format!("{}={}", entry.setting, quoted_if_odd(&entry.value)), entry))
        .collect();
    let width = lines
        .iter()
        .map(|(text, _)| text.chars().count())
        .filter(|width| *width <= WIDEST)
        .max()
        .unwrap_or_default();

    // Writing to a `String` cannot fail.
    let mut page = String::new();
    for (text, entry) in lines {
        let _ = write!(page, "{text:width$}  ({}", entry.source);
        for mistake in outcome.mistakes.iter().filter(|m| m.setting == entry.setting) {
            let _ = write!(page, "; {} {}", mistake.variable_and_value(), mistake.problem);
        }
        page.push_str(")\n");
    }
    if !outcome.mistakes.is_empty() || !outcome.notices.is_empty() {
        page.push('\n');
    }
    for mistake in &outcome.mistakes {
        let kind = if mistake.fatal { "error" } else { "warning" };
        let _ = writeln!(page, "{kind}: {mistake}");
    }
    for notice in &outcome.notices {
        let _ = writeln!(page, "note: {notice}");
    }
    page
}

/// The table for `--help`: every variable by group, with its meaning, its default and what it
/// accepts.
#[must_use]
pub fn render_help() -> String {
    // Writing to a `String` cannot fail.
    let mut page = String::from("Environment variables (the first name of several wins):\n");
    for group in &GROUPS {
        let _ = writeln!(page, "\n{}:", group.title);
        for variable in group.variables {
            let _ = writeln!(page, "  {}", variable.names.join(", "));
            let _ = writeln!(page, "      {}", variable.help);
            let _ = writeln!(page, "      default: {}", variable.default);
            let _ = writeln!(page, "      accepts: {}", variable.accepts);
        }
    }
    page
}

/// Quotes text so that it stays on one line and cannot pass for a line of its own, and cuts it
/// where nobody reads on.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

fn quoted_if_odd(text: &str) -> String {
    if text.is_empty() || text.contains(char::is_control) {
        format!("{text:?}")
    } else {
        text.to_owned()
    }
}
