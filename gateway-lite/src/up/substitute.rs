//! `${NAME}` in a stack file, as faas-cli substitutes it.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Puts values in the place of names: `${NAME}` (nothing when it is not set), `${NAME:-default}`
/// (also when it is empty) and `${NAME-default}`; `$$` is a dollar sign, and one that nothing of
/// this follows stays.
///
/// # Errors
/// [`Error::Invalid`] for braces that are not closed or hold something else, with their line.
pub(super) fn substitute(text: &str, environment: &BTreeMap<String, String>) -> Result<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('{') {
            let line = || text[..text.len() - rest.len()].matches('\n').count() + 1;
            let refuse = |why: &str| {
                let shown: String = rest.chars().take_while(|c| *c != '\n').take(40).collect();
                let line = line();
                Error::Invalid(format!("line {line}: ${shown} {why}; write $$ for a dollar sign"))
            };
            let end = behind.find(['}', '\n']).filter(|end| behind[*end..].starts_with('}'));
            let end = end.ok_or_else(|| refuse("is not closed"))?;
            out.push_str(
                value(&behind[..end], environment)
                    .ok_or_else(|| refuse("is neither ${NAME} nor ${NAME:-default}"))?,
            );
            rest = &behind[end + 1..];
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// What stands for the inside of braces.
fn value<'a>(inside: &'a str, environment: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let length = inside.bytes().take_while(|c| c.is_ascii_alphanumeric() || *c == b'_').count();
    let (name, operator) = inside.split_at(length);
    let set = environment.get(name).map(String::as_str);
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        None
    } else if operator.is_empty() {
        Some(set.unwrap_or_default())
    } else if let Some(default) = operator.strip_prefix(":-") {
        Some(set.filter(|value| !value.is_empty()).unwrap_or(default))
    } else {
        Some(set.unwrap_or(operator.strip_prefix('-')?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn environment() -> BTreeMap<String, String> {
        [("A", "1"), ("EMPTY", "")].map(|(n, v)| (n.to_owned(), v.to_owned())).into()
    }

    #[test]
    fn names_are_replaced() {
        for (text, expected) in [
            ("a: ${A}", "a: 1"),
            ("${A}${A}", "11"),
            ("[${MISSING}]", "[]"),
            ("${MISSING:-x y}", "x y"),
            ("${EMPTY:-x}", "x"),
            ("[${EMPTY-x}]", "[]"),
            ("${MISSING-http://h:8080}", "http://h:8080"),
            ("p$$word ${A:-}", "p$word 1"),
            ("costs $5, $A", "costs $5, $A"),
            ("$", "$"),
        ] {
            assert_eq!(substitute(text, &environment()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn mistakes_name_their_line() {
        for text in ["a\nb ${A", "a\n${A\n}", "a\n${}", "a\n${A!}", "a\n${1}"] {
            let error = substitute(text, &environment()).unwrap_err().to_string();
            assert!(error.contains("line 2"), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn text_without_dollars_is_left_alone(text in "[^$]{0,60}") {
            prop_assert_eq!(substitute(&text, &environment()).unwrap(), text);
        }

        #[test]
        fn nothing_is_too_strange(text in r"[$\{\}A:a\n\-]{0,40}") {
            let _ = substitute(&text, &environment());
        }

        #[test]
        fn doubled_dollars_give_the_text_back(text in ".{0,60}") {
            let doubled = text.replace('$', "$$");
            prop_assert_eq!(substitute(&doubled, &environment()).unwrap(), text);
        }
    }
}
