//! The parse table: one row per setting, read by the parser, by `--help` and by `--print-config`
//! alike.
//!
//! A new setting is a field in `Settings`, a row here and a line in `docs/configuration.md`; a test
//! compares the last two.

mod calls;
mod operation;
mod serving;

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use modes::ZeroCopy;

use super::parsers::Parsed;
use crate::duration::render;
use crate::settings::{Mode, Settings};

/// One setting as the environment knows it.
pub struct Variable {
    /// Its names, the one that wins first. A name that is set but empty counts as not set.
    pub names: &'static [&'static str],
    /// What it does, in one line.
    pub help: &'static str,
    /// Its default, in words where it depends on something.
    pub default: &'static str,
    /// What a value may look like.
    pub accepts: &'static str,
    /// The modes it has a meaning in.
    pub modes: &'static [Mode],
    /// Reads a value into its field, which stays as it is when the value is refused.
    pub(super) set: fn(&mut Settings, &str) -> Parsed<()>,
    /// Writes the field's value in the form the variable takes, or in a word where it has none.
    pub(super) show: fn(&Settings) -> String,
}

/// Settings that belong together.
pub struct Group {
    /// The heading above them.
    pub title: &'static str,
    /// The settings, in the order they are read and listed.
    pub variables: &'static [Variable],
}

/// Every setting, in the order they are read and listed.
///
/// The order matters in two places: `mode` is first because the defaults of others depend on it,
/// and `write_timeout` comes before `healthcheck_interval`, which follows it.
pub static GROUPS: [Group; 7] = [
    calls::FUNCTION,
    calls::RESPONSES,
    serving::LISTENERS,
    serving::TIMEOUTS,
    serving::CONCURRENCY,
    operation::LOGS,
    operation::START,
];

/// Every row of [`GROUPS`].
pub fn variables() -> impl Iterator<Item = &'static Variable> {
    GROUPS.iter().flat_map(|group| group.variables)
}

// === impl Variable ===

impl Variable {
    /// The name it is listed under.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.names[0]
    }
}

/// Modes that start a process of the function.
const RUNS: &[Mode] = &[Mode::Classic, Mode::Serializing, Mode::Streaming, Mode::Http];
/// Modes that start one a call.
const FORKS: &[Mode] = &[Mode::Classic, Mode::Serializing, Mode::Streaming];
/// Modes that hold the whole output.
const BUFFERS: &[Mode] = &[Mode::Classic, Mode::Serializing];
/// Modes that can store a body.
const SPOOLS: &[Mode] = &[Mode::Classic, Mode::Serializing, Mode::Http];

const BOOLEAN: &str = "true or false (1, t, yes, on; 0, f, no, off)";
const DURATION: &str = "seconds (10) or a Go duration (300ms, 1m30s)";
const LIMIT: &str = "seconds (10) or a Go duration (300ms, 1m30s), 0 = off";
const SIZE: &str = "bytes (1048576) or a size (1MiB, 512Ki, 10MB)";
const PORT: &str = "0 to 65535";

fn store<T>(field: &mut T, parsed: Parsed<T>) -> Parsed<()> {
    *field = parsed?;
    Ok(())
}

fn show_limit(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "off".to_owned(), render)
}

fn show_count(count: Option<NonZeroUsize>) -> String {
    count.map_or_else(|| "unlimited".to_owned(), |count| count.to_string())
}

fn show_size_limit(bytes: Option<NonZeroU64>) -> String {
    bytes.map_or_else(|| "unlimited".to_owned(), |bytes| show_size(bytes.get()))
}

fn show_size(bytes: u64) -> String {
    match bytes {
        0 => "0".to_owned(),
        n if n % (1 << 30) == 0 => format!("{}GiB", n >> 30),
        n if n % (1 << 20) == 0 => format!("{}MiB", n >> 20),
        n if n % (1 << 10) == 0 => format!("{}KiB", n >> 10),
        n => n.to_string(),
    }
}

fn show_zero_copy(zero_copy: ZeroCopy) -> &'static str {
    match zero_copy {
        ZeroCopy::Auto => "auto",
        ZeroCopy::On => "on",
        ZeroCopy::Off => "off",
    }
}

fn show_text(text: Option<&str>) -> String {
    text.unwrap_or("none").to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::env::parsers;

    #[test]
    fn no_name_belongs_to_two_settings() {
        let mut seen = HashSet::new();
        for name in variables().flat_map(|variable| variable.names) {
            assert!(seen.insert(name), "{name} is in the table twice");
        }
    }

    #[test]
    fn settings_others_depend_on_come_first() {
        let order: Vec<_> = variables().map(Variable::name).collect();
        let place = |name| order.iter().position(|known| *known == name).unwrap();
        assert_eq!(place("mode"), 0);
        assert!(place("write_timeout") < place("healthcheck_interval"));
    }

    /// What `--print-config` shows can be put back into the variable, words for "nothing" aside.
    #[test]
    fn shown_defaults_read_back_unchanged() {
        for mode in Mode::ALL {
            for variable in variables() {
                let defaults = Settings::defaults(mode);
                let shown = (variable.show)(&defaults);
                if ["none", "off", "unlimited", "missing"].contains(&shown.as_str()) {
                    continue;
                }
                let mut settings = defaults.clone();
                (variable.set)(&mut settings, &shown)
                    .unwrap_or_else(|refusal| panic!("{} {}", variable.name(), refusal.problem));
                assert_eq!(settings, defaults, "{}", variable.name());
            }
        }
    }

    #[test]
    fn every_variable_is_documented() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let document = std::fs::read_to_string(path).unwrap();
        for variable in variables() {
            let start = format!("| `{}`", variable.name());
            let row = document
                .lines()
                .find(|line| line.starts_with(&start))
                .unwrap_or_else(|| panic!("{} has no row in {path}", variable.name()));
            for name in variable.names {
                assert!(row.contains(&format!("`{name}`")), "{name} is not in {row:?}");
            }
            // The default of `mode` depends on the build; the document tells that in words.
            assert!(
                variable.name() == "mode" || row.contains(&format!("| {} |", variable.default)),
                "{:?} is not in {row:?}",
                variable.default
            );
        }
    }

    proptest! {
        #[test]
        fn shown_values_read_back_unchanged(
            bytes in (0..=i64::MAX.unsigned_abs(), 0..33).prop_map(|(n, zeros)| n >> zeros << zeros),
            count in 1_usize..=1 << 28,
            nanoseconds in 1..=i64::MAX.unsigned_abs(),
        ) {
            prop_assert_eq!(parsers::size(&show_size(bytes)), Ok(bytes));
            let count = NonZeroUsize::new(count);
            prop_assert_eq!(parsers::count_limit(&show_count(count)), Ok(count));
            let limit = Some(Duration::from_nanos(nanoseconds));
            prop_assert_eq!(parsers::limit(&show_limit(limit)), Ok(limit));
        }
    }
}
