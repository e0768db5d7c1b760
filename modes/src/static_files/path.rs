//! From the path of a URL to the name of a file, or to a refusal. Pure; nothing here asks the disk.

use std::borrow::Cow;

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode, percent_encode};

/// What a request for a folder gets.
const INDEX: &[u8] = b"index.html";

/// The one name with a leading dot that the web uses on purpose (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// All but the unreserved characters of RFC 3986 section 2.3: with no colon and no slash left, a
/// name can never be read as a scheme or as a host.
const NOT_UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A file below the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Relative to the root, without empty, `.` or `..` segments; bytes, because a file name need
    /// not be UTF-8. Never empty.
    pub(super) file: Vec<u8>,
    /// The path ended in a slash, so that `file` is the index of a folder.
    pub(super) is_index: bool,
}

/// Why a path names no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No file name can be had from it: 400.
    Malformed,
    /// Such files are never served: 404.
    Hidden,
}

/// The file that an absolute URL path names.
///
/// Every segment is percent-decoded once, by itself. Refused are, as malformed, a `%` that two
/// hexadecimal digits do not follow, and a NUL; as hidden, a slash or backslash inside a segment
/// and a leading dot (`.`, `..`, dot-files), except in a first segment `.well-known`. Empty
/// segments are dropped: `/a//b` is `/a/b`, as Go's file server and nginx have it.
pub(super) fn map(path: &str) -> Result<Target, Refusal> {
    let mut file = Vec::with_capacity(path.len() + INDEX.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        let name = decode(segment)?;
        let is_well_known = file.is_empty() && *name == *WELL_KNOWN;
        let is_dotted = name.starts_with(b".") && !is_well_known;
        if is_dotted || name.contains(&b'/') || name.contains(&b'\\') {
            return Err(Refusal::Hidden);
        }
        if !file.is_empty() {
            file.push(b'/');
        }
        file.extend_from_slice(&name);
    }
    let is_index = file.is_empty() || path.ends_with('/');
    if is_index {
        if !file.is_empty() {
            file.push(b'/');
        }
        file.extend_from_slice(INDEX);
    }
    Ok(Target { file, is_index })
}

/// The Location (RFC 9110 section 10.2.2) that adds a slash to a path whose last segment is the
/// name of the folder `target`.
///
/// It is relative to the request, as Go's file server sends it: a gateway that put
/// `/function/NAME` before the path took that off on the way in and could not put it back into an
/// absolute one.
pub(super) fn with_slash(target: &Target, query: Option<&str>) -> Option<HeaderValue> {
    let name = target.file.rsplit(|&byte| byte == b'/').next()?;
    let mut location = percent_encode(name, NOT_UNRESERVED).to_string();
    location.push('/');
    if let Some(query) = query {
        location.push('?');
        location.extend(percent_encode(query.as_bytes(), CONTROLS));
    }
    HeaderValue::try_from(location).ok()
}

fn decode(segment: &str) -> Result<Cow<'_, [u8]>, Refusal> {
    if !segment.contains('%') && !segment.contains('\0') {
        return Ok(Cow::Borrowed(segment.as_bytes()));
    }
    let is_malformed = segment.split('%').skip(1).any(|escaped| {
        !matches!(escaped.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
    });
    let name: Vec<u8> = percent_decode(segment.as_bytes()).collect();
    if is_malformed || name.contains(&0) { Err(Refusal::Malformed) } else { Ok(name.into()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths_map_to_files() {
        for (path, file, is_index) in [
            ("/", &b"index.html"[..], true),
            ("", b"index.html", true),
            ("//", b"index.html", true),
            ("/a", b"a", false),
            ("/a/", b"a/index.html", true),
            ("/a//b", b"a/b", false),
            ("//evil.example", b"evil.example", false),
            ("/index.html", b"index.html", false),
            ("/a%20b%2Bc+d", b"a b+c+d", false),
            ("/%61%2e%62", b"a.b", false),
            ("/%252e%252e", b"%2e%2e", false),
            ("/%FF\u{e9}", b"\xFF\xC3\xA9", false),
            ("/a..b/c.", b"a..b/c.", false),
            ("/.well-known/acme", b".well-known/acme", false),
            ("/%2Ewell-known/", b".well-known/index.html", true),
        ] {
            assert_eq!(map(path), Ok(Target { file: file.into(), is_index }), "{path}");
        }
    }

    #[test]
    fn paths_outside_of_the_contract_are_refused() {
        for (path, refusal) in [
            ("/..", Refusal::Hidden),
            ("/../etc/passwd", Refusal::Hidden),
            ("/a/../b", Refusal::Hidden),
            ("/a/./b", Refusal::Hidden),
            ("/%2e%2e/b", Refusal::Hidden),
            ("/.%2e/b", Refusal::Hidden),
            ("/..%2fb", Refusal::Hidden),
            ("/a%2Fb", Refusal::Hidden),
            ("/a\\b", Refusal::Hidden),
            ("/..%5cb", Refusal::Hidden),
            ("/.env", Refusal::Hidden),
            ("/%2eenv", Refusal::Hidden),
            ("/a/.git/config", Refusal::Hidden),
            ("/a/.well-known/x", Refusal::Hidden),
            ("/.well-known/.x", Refusal::Hidden),
            ("/.well-knownx", Refusal::Hidden),
            ("/a%00.html", Refusal::Malformed),
            ("/a%", Refusal::Malformed),
            ("/a%4", Refusal::Malformed),
            ("/a%4/1", Refusal::Malformed),
            ("/a%zz", Refusal::Malformed),
            ("/%+1", Refusal::Malformed),
            ("/%%41", Refusal::Malformed),
        ] {
            assert_eq!(map(path), Err(refusal), "{path}");
        }
    }

    #[test]
    fn a_location_is_relative_and_cannot_name_another_host() {
        for (path, query, expected) in [
            ("/a/b", None, "b/"),
            ("/a", Some("x=1&y=%20"), "a/?x=1&y=%20"),
            ("/a", Some(""), "a/?"),
            ("//evil.example", None, "evil.example/"),
            ("/http:%0d%0ax", None, "http%3A%0D%0Ax/"),
            ("/\u{e9}%FF", Some("\u{e9}"), "%C3%A9%FF/?%C3%A9"),
        ] {
            let location = with_slash(&map(path).unwrap(), query).unwrap();
            assert_eq!(location, expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leaves_the_root(path in prop_oneof![
            any::<String>(),
            "(/|//|\\.|%2[eEfF]|%5[cC]|\\\\|%00|%|a|b|\\.well-known){0,12}",
        ], query: Option<String>) {
            let Ok(target) = map(&path) else { return Ok(()) };
            prop_assert!(!target.file.contains(&0) && !target.file.contains(&b'\\'));
            for (i, name) in target.file.split(|&byte| byte == b'/').enumerate() {
                prop_assert!(!name.is_empty());
                prop_assert!(name[0] != b'.' || (i == 0 && name == WELL_KNOWN));
            }
            let location = with_slash(&target, query.as_deref()).unwrap();
            let location = location.to_str().unwrap();
            let (name, _) = location.split_once('/').unwrap();
            prop_assert!(!name.is_empty() && !name.contains([':', '\\', '?']));
        }

        #[test]
        fn an_encoded_name_maps_to_itself(
            name in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            prop_assume!(!name.starts_with(b"."));
            prop_assume!(!name.iter().any(|byte| b"/\\\0".contains(byte)));
            let path = format!("/{}", percent_encode(&name, NON_ALPHANUMERIC));
            prop_assert_eq!(map(&path).unwrap().file, name);
        }
    }
}
