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
pub(super) mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

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
    pub(in crate::auth) fn reference(pattern: &[u8], name: &[u8]) -> bool {
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

    proptest! {
        #[test]
        fn patterns_cut_from_a_name_agree_with_the_definition(
            name in "[abé:漢]{0,24}",
            cuts in vec((any::<Index>(), 0_usize..3), 0..4),
            odd in proptest::option::of("[abé:*]"),
        ) {
            // Any run of characters may become a star, and one more character may spoil it.
            let mut pattern: Vec<char> = name.chars().collect();
            for (place, length) in cuts {
                let place = place.index(pattern.len() + 1);
                let end = pattern.len().min(place + length);
                pattern.splice(place..end, ['*']);
            }
            let matching: String = pattern.iter().collect();
            prop_assert!(matches(&matching, &name), "{:?} on {:?}", matching, name);
            let spoilt = matching + odd.as_deref().unwrap_or_default();
            prop_assert_eq!(matches(&spoilt, &name), reference(spoilt.as_bytes(), name.as_bytes()));
        }

        #[test]
        fn any_pattern_agrees_with_the_definition(
            pattern in prop_oneof!["(?s)(.|\\*){0,6}", "[aé*]{0,9}", "[a*]{0,9}"],
            name in prop_oneof!["(?s).{0,6}", "[aé]{0,6}", "a{0,6}"],
        ) {
            let expected = reference(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(matches(&pattern, &name), expected);
        }
    }
}
