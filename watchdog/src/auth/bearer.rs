//! Finds the token in a request's headers.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::Denied;

/// Longest token looked at. Real ones are a few kilobytes at most; this bounds what an unknown caller makes us parse.
const MAX_BYTES: usize = 64 * 1024;

const SCHEME: &str = "Bearer";

/// The token of the only `Authorization` header.
///
/// The scheme may be spelt in any letter case (RFC 9110 section 11.1) and may be missing altogether, as the
/// OpenFaaS watchdog takes a bare token too. A second `Authorization` header is refused: someone behind us might look
/// at the other one.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, second) = (values.next(), values.next());
    if second.is_some() {
        return Err(Denied::unauthorized("more than one Authorization header"));
    }
    let value = value.map_or(Ok(""), |value| value.to_str());
    let value = value.map_err(|_| Denied::unauthorized("the Authorization header is not text"))?;
    let token = without_scheme(value.trim());
    if token.is_empty() {
        return Err(Denied::unauthorized("no bearer token in the Authorization header"));
    }
    if token.contains([' ', '\t']) {
        return Err(Denied::unauthorized("the Authorization header is not a bearer token"));
    }
    if token.len() > MAX_BYTES {
        return Err(Denied::invalid("it is too long"));
    }
    Ok(token)
}

fn without_scheme(value: &str) -> &str {
    match value.split_at_checked(SCHEME.len()) {
        Some((scheme, "")) if scheme.eq_ignore_ascii_case(SCHEME) => "",
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) && rest.starts_with(' ') => {
            rest.trim_start_matches(' ')
        }
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{MAX_BYTES, token};

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for value in values {
            map.append("authorization", HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    #[test]
    fn scheme_in_any_case_or_none_is_taken_off() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER   a.b.c", "a.b.c", " a.b.c "] {
            assert_eq!(token(&headers(&[value.as_bytes()])), Ok("a.b.c"), "{value:?}");
        }
        // Not the scheme, only a token that begins like it.
        assert_eq!(token(&headers(&[b"Bearera.b.c"])), Ok("Bearera.b.c"));
    }

    #[test]
    fn anything_but_one_token_is_unauthorized() {
        let long = vec![b'a'; MAX_BYTES + 1];
        let cases: [&[&[u8]]; 9] = [
            &[],
            &[b""],
            &[b"Bearer"],
            &[b"Bearer  "],
            &[b"Basic dTpw"],
            &[b"Bearer a.b.c d.e.f"],
            &[b"Bearer a.b.c", b"Bearer a.b.c"],
            &[b"Bearer \xff.b.c"],
            &[&long],
        ];
        for case in cases {
            let map = headers(case);
            let denied = token(&map).unwrap_err();
            assert_eq!(denied.status(), StatusCode::UNAUTHORIZED, "{:?}", map.len());
        }
    }

    proptest! {
        #[test]
        fn any_value_gives_one_word_of_it_or_none(
            values in vec(prop_oneof![
                vec(prop_oneof![Just(b'\t'), 32..127_u8, 128..=255_u8], 0..24),
                "[Bb]?(?i)(bearer)?[ \t]{0,2}[a-z.=]{0,8}[ \t]?".prop_map(String::into_bytes),
            ], 0..3),
        ) {
            let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
            let map = headers(&values);
            if let Ok(token) = token(&map) {
                prop_assert_eq!(values.len(), 1);
                let words = str::from_utf8(values[0]).unwrap().split_ascii_whitespace();
                let words: Vec<&str> = words.collect();
                prop_assert!(words.len() <= 2);
                prop_assert_eq!(words.last(), Some(&token));
                prop_assert!(words.len() == 1 || words[0].eq_ignore_ascii_case("bearer"));
            }
        }

        #[test]
        fn any_token_is_found_behind_the_scheme(
            scheme in "(?i)bearer {1,3}| {0,2}",
            expected in "[A-Za-z0-9_.~+/=-]{1,40}",
        ) {
            prop_assume!(!expected.eq_ignore_ascii_case("bearer"));
            let value = scheme + &expected;
            let map = headers(&[value.as_bytes()]);
            prop_assert_eq!(token(&map), Ok(expected.as_str()));
        }
    }
}
