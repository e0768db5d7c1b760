//! Patterns that name functions: `*` stands for any run of characters, everything else for itself.

/// Whether `pattern` describes the whole of `name`.
///
/// Anchored at both ends: `ns1:fn` opens `ns1:fn` and nothing else. Takes time linear in the lengths, whatever the
/// pattern, since patterns come with tokens: after the fixed ends are cut off, each inner piece is looked for once, and
/// taking its first place is always right as a later piece only needs what is left.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let (inner, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut left) = name.strip_prefix(head).and_then(|name| name.strip_suffix(tail)) else {
        return false;
    };
    inner.split('*').all(|piece| match left.find(piece) {
        Some(place) => {
            left = &left[place + piece.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn pattern_table_matches_whole_names_only() {
        for (pattern, name, expected) in [
            ("*", "ns1:fn", true),
            ("*", "", true),
            ("ns1:fn", "ns1:fn", true),
            ("ns1:fn", "ns1:fn1", false),
            ("ns1:fn", "xns1:fn", false),
            ("ns1:fn", "ns1:f", false),
            ("ns1:fn", "NS1:fn", false),
            ("ns1:*", "ns1:fn", true),
            ("ns1:*", "ns1:", true),
            ("ns1:*", "xns1:fn", false),
            ("ns1:*", "ns10:fn", false),
            ("*:fn", "ns1:fn", true),
            ("*:fn", "ns1:fn1", false),
            ("ns*:f*n", "ns1:fun", true),
            ("ns*:f*n", "ns1:funx", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("**", "x", true),
            ("", "", true),
            ("", "ns1:fn", false),
            ("ns1.fn", "ns1:fn", false),
            ("ns.:fn", "ns1:fn", false),
            ("(ns1:fn|x)", "ns1:fn", false),
            ("n?1:fn", "ns1:fn", false),
            ("ns1:é*", "ns1:été", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern:?} on {name:?}");
        }
    }

    /// The definition, with no thought for speed.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skip| reference(rest, &name[skip..])),
            Some((first, rest)) => name.first() == Some(first) && reference(rest, &name[1..]),
        }
    }

    /// Every word over `letters` of at most `length` letters.
    fn words(letters: &[char], length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut from = 0;
        for _ in 0..length {
            let to = all.len();
            for shorter in from..to {
                for letter in letters {
                    all.push(format!("{}{letter}", all[shorter]));
                }
            }
            from = to;
        }
        all
    }

    #[test]
    fn every_short_pattern_agrees_with_the_definition() {
        let names = words(&['a', 'b'], 6);
        for pattern in words(&['a', 'b', '*'], 6) {
            for name in &names {
                assert_eq!(
                    matches(&pattern, name),
                    reference(pattern.as_bytes(), name.as_bytes()),
                    "{pattern:?} on {name:?}"
                );
            }
        }
    }

    #[test]
    fn hostile_pattern_takes_linear_time() {
        let pattern = "*a".repeat(20_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(40_000)));
    }
}
