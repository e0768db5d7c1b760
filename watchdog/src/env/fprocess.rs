//! `fprocess`: one variable that holds a whole argument list.

use super::parsers::{Parsed, Refusal};

/// Splits a command into its arguments.
///
/// Every single space separates, as in both predecessors: there is no quoting, and `a  b` has an
/// empty argument in the middle. A value that starts with `[` is a JSON array of strings and gives
/// the exact list instead.
///
/// # Errors
/// A list without a program, malformed JSON or JSON of another shape, and an argument with a NUL
/// byte, which execve(2) cannot pass.
pub(super) fn parse(text: &str) -> Parsed<Vec<String>> {
    let arguments: Vec<String> = if text.starts_with('[') {
        serde_json::from_str(text)
            .map_err(|error| Refusal::new(format!("is not a JSON array of strings ({error})")))?
    } else {
        text.split(' ').map(str::to_owned).collect()
    };
    match arguments.first() {
        None => return Err(Refusal::new("is an empty list: it names no program")),
        Some(program) if program.is_empty() => {
            return Err(Refusal::new("starts with an empty argument: it names no program"));
        }
        Some(_) => {}
    }
    if arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(Refusal::new("contains a NUL byte"));
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_single_space_separates() {
        let cases: &[(&str, &[&str])] = &[
            ("cat", &["cat"]),
            ("a b", &["a", "b"]),
            ("a  b", &["a", "", "b"]),
            ("a ", &["a", ""]),
            ("sh -c 'echo 1'", &["sh", "-c", "'echo", "1'"]),
            ("a\tb=c", &["a\tb=c"]),
        ];
        for (text, arguments) in cases {
            assert_eq!(parse(text).unwrap(), *arguments, "{text:?}");
        }
    }

    #[test]
    fn json_array_is_the_exact_list() {
        let arguments = parse(r#"["python3", "-c", "print( 1 )", "", "\u00e9"]"#).unwrap();
        assert_eq!(arguments, ["python3", "-c", "print( 1 )", "", "\u{e9}"]);
    }

    #[test]
    fn lists_that_cannot_be_run_are_refused() {
        let cases = [
            ("[", "JSON"),
            (r#"["a""#, "JSON"),
            (r#"["a"] x"#, "JSON"),
            (r#"["a", 1]"#, "JSON"),
            (r#"[["a"]]"#, "JSON"),
            ("[]", "no program"),
            (r#"[""]"#, "no program"),
            (" cat", "no program"),
            ("", "no program"),
            (r#"["a\u0000b"]"#, "NUL"),
            ("a\0b", "NUL"),
        ];
        for (text, problem) in cases {
            let refusal = parse(text).unwrap_err();
            assert!(refusal.problem.contains(problem), "{text:?}: {}", refusal.problem);
        }
    }

    proptest! {
        #[test]
        fn joining_with_spaces_undoes_the_split(
            text in prop_oneof!["(?s).{0,24}", "[ a\x00]{0,9}"],
        ) {
            prop_assume!(!text.starts_with('['));
            let runnable = !text.is_empty() && !text.starts_with(' ') && !text.contains('\0');
            match parse(&text) {
                Ok(arguments) => prop_assert_eq!(arguments.join(" "), text.as_str()),
                Err(refusal) => prop_assert!(!runnable, "{:?}", refusal),
            }
        }

        #[test]
        fn json_list_is_taken_as_it_is(
            arguments in proptest::collection::vec(prop_oneof!["(?s).{0,8}", "[a\x00]{0,3}"], 0..4),
        ) {
            let runnable = arguments.first().is_some_and(|program| !program.is_empty())
                && !arguments.concat().contains('\0');
            let parsed = parse(&serde_json::to_string(&arguments).unwrap());
            prop_assert_eq!(parsed.ok(), runnable.then_some(arguments));
        }

        #[test]
        fn what_is_accepted_can_be_run(
            text in prop_oneof!["(?s).{0,24}", r#"\[("(a|\\u0000|\\n| )*"[,\]]){0,3}"#],
        ) {
            if let Ok(arguments) = parse(&text) {
                prop_assert!(!arguments[0].is_empty());
                prop_assert!(!arguments.concat().contains('\0'));
            }
        }
    }
}
