//! The table of limits: lines of subject, metric, limit; `#` begins a comment.

use std::collections::BTreeMap;

use crate::Result;

/// See the module.
#[derive(Debug)]
pub(super) struct Limits(BTreeMap<(String, String), f64>);

impl Limits {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut limits = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let limit = match words[..] {
                [] => continue,
                [subject, metric, limit] => {
                    limit.parse().ok().map(|limit| ((subject.to_owned(), metric.to_owned()), limit))
                }
                _ => None,
            };
            let (key, limit) = limit.ok_or_else(|| {
                format!("line {} of the limits is not `subject metric number`", number + 1)
            })?;
            limits.insert(key, limit);
        }
        Ok(Self(limits))
    }

    pub(super) fn of(&self, subject: &str, metric: &str) -> Result<f64> {
        let limit = self.0.get(&(subject.to_owned(), metric.to_owned())).copied();
        limit.ok_or_else(|| format!("no limit for `{subject} {metric}`: add a line").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_and_their_absence_is_an_error() {
        let limits = Limits::parse("# x\nclassic syscalls 44.50 # why\n\n").unwrap();
        assert!((limits.of("classic", "syscalls").unwrap() - 44.5).abs() < 1e-9);
        assert!(limits.of("classic", "kinstructions").is_err());
        assert!(Limits::parse("classic syscalls many").is_err());
        assert!(Limits::parse("classic syscalls").is_err());
    }
}
