//! The environment that a Dockerfile sets, for functions that run in place.

use std::collections::BTreeMap;

/// The variables of its last stage (`ENV` of the Dockerfile reference), without substitution.
pub(super) fn environment(text: &str) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for line in instructions(text) {
        let (instruction, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        if instruction.eq_ignore_ascii_case("FROM") {
            variables.clear();
        } else if instruction.eq_ignore_ascii_case("ENV") {
            set(&mut variables, rest.trim());
        }
    }
    variables
}

/// Lines, joined where a backslash at the end says so; comments are none.
fn instructions(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.starts_with('#')) {
        match part.strip_suffix('\\') {
            Some(part) => line.push_str(part),
            None => {
                line.push_str(part);
                all.push(std::mem::take(&mut line));
            }
        }
    }
    all.push(line);
    all
}

/// `NAME=value NAME="a value"`, or the old form `NAME a value`.
fn set(variables: &mut BTreeMap<String, String>, rest: &str) {
    let name_end = rest.find(['=', ' ', '\t']).unwrap_or(rest.len());
    if !rest[name_end..].starts_with('=') {
        let (name, value) = rest.split_at(name_end);
        if !name.is_empty() {
            variables.insert(name.to_owned(), value.trim().to_owned());
        }
        return;
    }
    for word in words(rest) {
        if let Some((name, value)) = word.split_once('=') {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }
}

/// Words with quotes and backslashes undone.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut is_word, mut quote) = (String::new(), false, None);
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('\\', None | Some('"')) => {
                word.extend(characters.next());
                is_word = true;
            }
            ('"' | '\'', None) => (quote, is_word) = (Some(c), true),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c.is_whitespace() => {
                if std::mem::take(&mut is_word) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (c, _) => {
                word.push(c);
                is_word = true;
            }
        }
    }
    if is_word {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        environment(text).into_iter().collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn every_form_is_read() {
        let text = "FROM a AS b\nENV x=gone\nFROM c\n# ENV x=comment\nENV fprocess=\"python3 a.py\"\n\
                    env mode=http upstream_url='http://127.0.0.1:5000' \\\n  a\\ b=c\nENV old form of it\n";
        let expected = [
            pair("a b", "c"),
            pair("fprocess", "python3 a.py"),
            pair("mode", "http"),
            pair("old", "form of it"),
            pair("upstream_url", "http://127.0.0.1:5000"),
        ];
        assert_eq!(pairs(text), expected);
        assert_eq!(pairs("ENV a= b=\"\""), [pair("a", ""), pair("b", "")]);
        assert_eq!(pairs("ENV\nENV \nRUN x"), []);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in r"((ENV|FROM) )?[A-Za-z=\x22' \\\n#]{0,60}") {
            let _ = environment(&text);
        }
    }
}
