//! The `process_*` series that every Prometheus client exports, read from proc(5) at each scrape.

use std::{fmt::Write as _, fs};

/// Appends the series of this process. What the kernel does not tell (a container may hide
/// `/proc`) is left out rather than shown as zero.
pub(super) fn render(text: &mut String) {
    let stat = fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(Stat::parse);
    if let Some(stat) = &stat {
        let help = "Total user and system CPU time spent in seconds.";
        series(text, "process_cpu_seconds_total", "counter", help, stat.cpu_seconds());
        let help = "Virtual memory size in bytes.";
        series(text, "process_virtual_memory_bytes", "gauge", help, stat.virtual_bytes);
        let help = "Resident memory size in bytes.";
        let resident = stat.resident_pages * rustix::param::page_size() as u64;
        series(text, "process_resident_memory_bytes", "gauge", help, resident);
    }
    if let Some(open) = fs::read_dir("/proc/self/fd").ok().map(Iterator::count) {
        // One of them is the directory that is being read.
        let help = "Number of open file descriptors.";
        series(text, "process_open_fds", "gauge", help, open.saturating_sub(1));
    }
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    if let Some(most) = limits.current {
        let help = "Maximum number of open file descriptors.";
        series(text, "process_max_fds", "gauge", help, most);
    }
    if let (Some(stat), Some(booted)) = (&stat, boot_time()) {
        let help = "Start time of the process since unix epoch in seconds.";
        #[expect(clippy::cast_precision_loss, reason = "it is shown with hundredths")]
        let started = booted as f64 + seconds(stat.started_ticks);
        series(text, "process_start_time_seconds", "gauge", help, format_args!("{started:.2}"));
    }
}

fn series(text: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

/// What is needed of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    /// Since the machine started.
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// proc(5): `pid (comm) state …`, where comm may hold anything, parentheses included. Fields
    /// count from 1.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The first field behind the name is number 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }

    fn cpu_seconds(&self) -> f64 {
        seconds(self.cpu_ticks)
    }
}

#[expect(clippy::cast_precision_loss, reason = "ticks are hundredths of a second")]
fn seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// When the machine started, in seconds since 1970.
fn boot_time() -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stat_lines_are_read_behind_any_name() {
        let line = "12 (a) b) S 1 12 12 0 -1 4194560 1 2 3 4 70 30 7 8 20 0 5 0 4711 123456 789 1";
        let expected = Stat {
            cpu_ticks: 100,
            started_ticks: 4711,
            virtual_bytes: 123_456,
            resident_pages: 789,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        for broken in ["", "12 (a", "12 (a) S", "12 (a) S 1 2 3 4 5 6 7 8 9 10 x 12"] {
            assert_eq!(Stat::parse(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn this_process_has_all_series() {
        let mut text = String::new();
        render(&mut text);
        for name in [
            "process_cpu_seconds_total",
            "process_virtual_memory_bytes",
            "process_resident_memory_bytes",
            "process_open_fds",
            "process_max_fds",
            "process_start_time_seconds",
        ] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{name} "))), "{name}");
        }
    }

    proptest! {
        #[test]
        fn the_name_never_shifts_the_fields(
            comm in prop_oneof!["(?s).{0,15}", "[() 0-9\n]{0,15}"],
            numbers in proptest::collection::vec(any::<u64>(), 49),
        ) {
            // Field 4 is the first behind the state.
            let field = |number: usize| numbers[number - 4];
            let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
            let line = format!("12 ({comm}) S {}", texts.join(" "));
            let expected = field(14).checked_add(field(15)).map(|cpu_ticks| Stat {
                cpu_ticks,
                started_ticks: field(22),
                virtual_bytes: field(23),
                resident_pages: field(24),
            });
            prop_assert_eq!(Stat::parse(&line), expected);
        }

        #[test]
        fn any_text_is_read_or_refused(
            line in prop_oneof!["(?s).{0,80}", r"[0-9]{0,3} \(a\) S( -?[0-9]{0,20}){0,25}"],
        ) {
            if Stat::parse(&line).is_some() {
                prop_assert!(line.contains(')') && line.split_ascii_whitespace().count() >= 22);
            }
        }
    }
}
