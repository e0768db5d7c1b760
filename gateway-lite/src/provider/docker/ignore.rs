//! `.dockerignore`: what is not sent to the engine (Docker's reference, ".dockerignore file").

use std::path::Path;

/// The lines of such a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Ignored {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// What it matches is sent after all.
    is_exception: bool,
    /// Between slashes.
    parts: Vec<String>,
}

impl Ignored {
    /// Reads them; there is none that makes no sense.
    pub(super) fn parse(text: &str) -> Self {
        let lines = text.trim_start_matches('\u{feff}').lines();
        let lines = lines.filter(|line| !line.starts_with('#')).map(str::trim);
        let rule = |line: &str| {
            let (is_exception, pattern) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let mut parts: Vec<String> = Vec::new();
            for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
                match part {
                    ".." => drop(parts.pop()),
                    _ => parts.push(part.to_owned()),
                }
            }
            (!parts.is_empty()).then_some(Rule { is_exception, parts })
        };
        Self { rules: lines.filter_map(rule).collect() }
    }

    /// Whether something in a folder that is ignored may be sent.
    pub(super) fn has_exceptions(&self) -> bool {
        self.rules.iter().any(|rule| rule.is_exception)
    }

    /// Whether `path`, from the root of the context, is ignored: the last line that matches it or a
    /// folder that it is in decides.
    pub(super) fn has(&self, path: &Path) -> bool {
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        let matches = |rule: &&Rule| (1..=parts.len()).any(|n| path_is(&rule.parts, &parts[..n]));
        self.rules.iter().rev().find(matches).is_some_and(|rule| !rule.is_exception)
    }
}

fn path_is(pattern: &[String], path: &[&str]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return path.is_empty() };
    if first == "**" {
        // At the end it stands for something, elsewhere also for nothing.
        let least = usize::from(rest.is_empty());
        return (least..=path.len()).any(|n| path_is(rest, &path[n..]));
    }
    let Some((name, below)) = path.split_first() else { return false };
    let (pattern, name): (Vec<char>, Vec<char>) = (first.chars().collect(), name.chars().collect());
    name_is(&pattern, &name) && path_is(rest, below)
}

/// The rules of Go's `path/filepath.Match` within one name. `*` is tried again from the last one
/// only, so the time is bounded by the product of both lengths.
fn name_is(pattern: &[char], name: &[char]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut again = None;
    while n < name.len() || p < pattern.len() {
        match step(&pattern[p..], name.get(n).copied()) {
            Step::Star => {
                again = Some((p, n));
                p += 1;
                continue;
            }
            Step::One(length) => {
                (p, n) = (p + length, n + 1);
                continue;
            }
            Step::No => {}
        }
        match again {
            Some((star, from)) if from < name.len() => {
                again = Some((star, from + 1));
                (p, n) = (star + 1, from + 1);
            }
            _ => return false,
        }
    }
    true
}

enum Step {
    /// Any number of characters.
    Star,
    /// One character, by so much of the pattern.
    One(usize),
    No,
}

fn step(pattern: &[char], next: Option<char>) -> Step {
    let fits = |fits, length| if fits { Step::One(length) } else { Step::No };
    match (pattern, next) {
        (['*', ..], _) => Step::Star,
        ([], _) | (_, None) => Step::No,
        (['?', ..], Some(_)) => Step::One(1),
        (['\\', literal, ..], Some(next)) => fits(*literal == next, 2),
        (['[', inner @ ..], Some(next)) => match class(inner, next) {
            Some((matches, length)) => fits(matches, length + 1),
            None => fits(next == '[', 1),
        },
        ([literal, ..], Some(next)) => fits(*literal == next, 1),
    }
}

/// `a-z]`, `^a]`: whether it has `next`, and how long it is; `None` if it does not end.
fn class(inner: &[char], next: char) -> Option<(bool, usize)> {
    let is_not = inner.first() == Some(&'^');
    let mut at = usize::from(is_not);
    let mut found = false;
    let begin = at;
    loop {
        let mut low = *inner.get(at)?;
        if low == ']' && at > begin {
            return Some((found != is_not, at + 1));
        }
        if low == '\\' {
            at += 1;
            low = *inner.get(at)?;
        }
        at += 1;
        let mut high = low;
        if inner.get(at) == Some(&'-') && inner.get(at + 1).is_some_and(|c| *c != ']') {
            high = *inner.get(at + 1)?;
            at += 2;
        }
        found |= (low..=high).contains(&next);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn has(rules: &str, path: &str) -> bool {
        Ignored::parse(rules).has(Path::new(path))
    }

    #[test]
    fn patterns_are_docker_s() {
        let rows = [
            ("node_modules", "node_modules/a/b", true),
            ("node_modules", "a/node_modules", false),
            ("**/node_modules", "a/b/node_modules/c", true),
            ("**/node_modules", "node_modules", true),
            ("/build/", "build/x", true),
            ("*.log", "a.log", true),
            ("*.log", "d/a.log", false),
            ("*/*.log", "d/a.log", true),
            ("**/*.log", "c/d/a.log", true),
            ("docs/**", "docs/a/b", true),
            ("docs/**", "docs", false),
            ("?at", "cat", true),
            ("?at", "at", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[x", "[x", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("# a comment", "# a comment", false),
            ("*\n!a", "a", false),
            ("*\n!a", "b", true),
            ("!a\n*", "a", true),
            ("./a/../b", "b", true),
            ("", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
        ];
        for (rules, path, expected) in rows {
            assert_eq!(has(rules, path), expected, "{rules:?} {path:?}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let (pattern, name) = ("a*".repeat(60), "a".repeat(200));
        assert!(!has(&format!("{pattern}b"), &name) && has(&pattern, &name));
    }

    proptest! {
        #[test]
        fn no_file_is_too_strange(rules in ".*", path in "[^\0]{0,20}") {
            let _ = has(&rules, &path);
        }

        #[test]
        fn names_match_themselves(name in "[a-z]{1,9}(/[a-z]{1,9}){0,3}") {
            prop_assert!(has(&name, &name));
        }
    }
}
