//! Instructions in user mode, by valgrind(1)'s callgrind: the watchdog's own.
//!
//! Its simulated CPU has no `clone3`, so a call's process is started the way that a seccomp
//! profile without it would have it.

use std::collections::BTreeMap;

use super::{Cost, FEW, MANY, Subject, each};
use crate::{Result, in_path};

/// In thousands.
pub(super) fn measure(subject: &Subject<'_>) -> Result<Cost> {
    let many = least(subject, MANY)?;
    let few = least(subject, FEW)?;
    Ok(Cost { figure: each(many, few) / 1e3, parts: BTreeMap::new() })
}

/// Of three runs: where the heap lies decides whether a large zeroed buffer has to be cleared.
fn least(subject: &Subject<'_>, requests: u32) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..3 {
        least = least.min(count(subject, requests)?);
    }
    Ok(least)
}

fn count(subject: &Subject<'_>, requests: u32) -> Result<f64> {
    let valgrind = in_path("valgrind").ok_or("no valgrind in PATH: install it")?;
    let file = subject.folder.join("callgrind.out");
    let _ = std::fs::remove_file(&file);
    let through = vec![
        valgrind.to_string_lossy().into_owned(),
        "--tool=callgrind".into(),
        "--quiet".into(),
        format!("--callgrind-out-file={}", file.display()),
    ];
    subject.run(&through, requests)?;
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("{}: valgrind left no count: {error}", subject.name))?;
    total(&text).ok_or_else(|| format!("{}: no total in valgrind's count", subject.name).into())
}

/// The line `summary: COUNT` or `totals: COUNT`.
fn total(text: &str) -> Option<f64> {
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")))?;
    total.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found() {
        assert_eq!(total("events: Ir\nsummary: 1234\n\nfn=(1) x\n1 2\n"), Some(1234.0));
        assert_eq!(total("events: Ir\n"), None);
    }
}
