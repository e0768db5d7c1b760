use http::HeaderValue;
use proptest::prelude::*;

use super::*;

const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const EXACT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn current() -> Validators {
    let modified = httpdate::parse_http_date(EXACT).unwrap();
    Validators { etag: "\"a\"".into(), modified }
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn conditions_are_evaluated_in_order() {
    use Verdict::{NotModified, PreconditionFailed, Send};
    let (im, inm) = ("if-match", "if-none-match");
    let (ims, ius) = ("if-modified-since", "if-unmodified-since");
    for (lines, expected) in [
        (&[][..], Send),
        // If-None-Match: the weak comparison.
        (&[(inm, "\"a\"")], NotModified),
        (&[(inm, "W/\"a\"")], NotModified),
        (&[(inm, "\"b\"")], Send),
        (&[(inm, "*")], NotModified),
        (&[(inm, " * ")], NotModified),
        (&[(inm, "\"*\"")], Send),
        (&[(inm, "\"b\", W/\"c\" ,\"a\"")], NotModified),
        (&[(inm, ",, \"b\",,\"a\"")], NotModified),
        (&[(inm, "\"b\""), (inm, "\"a\"")], NotModified),
        (&[(inm, "\"x,y\",\"a\"")], NotModified),
        (&[(inm, "")], Send),
        (&[(inm, "a")], Send),
        (&[(inm, "\"a")], Send),
        (&[(inm, "w/\"a\"")], Send),
        (&[(inm, "\"b\" \"a\"")], Send),
        (&[(inm, "b, \"a\"")], Send),
        // If-Modified-Since.
        (&[(ims, BEFORE)], Send),
        (&[(ims, EXACT)], NotModified),
        (&[(ims, AFTER)], NotModified),
        (&[(ims, "Sunday, 06-Nov-94 08:49:37 GMT")], NotModified),
        (&[(ims, "Sun Nov  6 08:49:37 1994")], NotModified),
        (&[(ims, "yesterday")], Send),
        (&[(ims, AFTER), (ims, AFTER)], Send),
        // It does not count beside If-None-Match.
        (&[(inm, "\"b\""), (ims, AFTER)], Send),
        (&[(inm, "\"a\""), (ims, BEFORE)], NotModified),
        (&[(inm, "junk"), (ims, AFTER)], Send),
        // If-Match: the strong comparison.
        (&[(im, "\"a\"")], Send),
        (&[(im, "W/\"a\"")], PreconditionFailed),
        (&[(im, "\"b\"")], PreconditionFailed),
        (&[(im, "\"b\", \"a\"")], Send),
        (&[(im, "*")], Send),
        (&[(im, "junk")], PreconditionFailed),
        (&[(im, "")], PreconditionFailed),
        // If-Unmodified-Since.
        (&[(ius, BEFORE)], PreconditionFailed),
        (&[(ius, EXACT)], Send),
        (&[(ius, AFTER)], Send),
        (&[(ius, "yesterday")], Send),
        // It does not count beside If-Match.
        (&[(im, "\"a\""), (ius, BEFORE)], Send),
        (&[(im, "\"b\""), (ius, AFTER)], PreconditionFailed),
        // Preconditions come before 304.
        (&[(im, "\"a\""), (inm, "\"a\"")], NotModified),
        (&[(im, "\"b\""), (inm, "\"a\"")], PreconditionFailed),
        (&[(ius, BEFORE), (ims, AFTER)], PreconditionFailed),
        (&[(ius, AFTER), (ims, AFTER)], NotModified),
    ] {
        assert_eq!(evaluate(&headers(lines), Some(&current())), expected, "{lines:?}");
    }
}

#[test]
fn without_validators_only_a_star_matches() {
    for (name, value, expected) in [
        ("if-match", "*", Verdict::Send),
        ("if-match", "\"a\"", Verdict::PreconditionFailed),
        ("if-none-match", "*", Verdict::NotModified),
        ("if-none-match", "\"a\"", Verdict::Send),
        ("if-modified-since", AFTER, Verdict::Send),
        ("if-unmodified-since", BEFORE, Verdict::Send),
    ] {
        assert_eq!(evaluate(&headers(&[(name, value)]), None), expected, "{name}: {value}");
    }
}

#[test]
fn a_range_is_wanted_of_the_current_content_only() {
    for (value, expected) in [
        ("\"a\"", true),
        ("W/\"a\"", false),
        ("\"b\"", false),
        ("\"a\", \"b\"", false),
        ("*", false),
        (EXACT, true),
        (BEFORE, false),
        (AFTER, false),
        ("junk", false),
    ] {
        let headers = headers(&[("if-range", value)]);
        assert_eq!(is_range_wanted(&headers, Some(&current())), expected, "{value}");
        assert!(!is_range_wanted(&headers, None), "{value}");
    }
    assert!(is_range_wanted(&HeaderMap::new(), None));
}

#[test]
fn validators_say_what_the_file_system_knows() {
    let at = |seconds, nanos| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    let now = at(2_000_000_000, 5);
    let tag = |length, time, coding| Validators::new(length, time, coding, now).unwrap().etag;
    let time = at(1_000_000_000, 1);
    assert_eq!(tag(255, time, None), "\"ff-de0b6b3a7640001\"");
    assert_eq!(tag(255, time, Some(Coding::Brotli)), "\"ff-de0b6b3a7640001-br\"");
    let tags = [
        tag(1, time, None),
        tag(2, time, None),
        tag(1, at(1_000_000_000, 2), None),
        tag(1, time, Some(Coding::Brotli)),
        tag(1, time, Some(Coding::Zstandard)),
        tag(1, time, Some(Coding::Gzip)),
    ];
    assert_eq!(std::collections::HashSet::from(tags).len(), 6);
    for (time, shown) in [
        (time, Some(at(1_000_000_000, 0))),
        (at(1_999_999_999, 999_999_999), Some(at(1_999_999_999, 0))),
        (at(3_000_000_000, 0), Some(at(2_000_000_000, 0))),
        (at(0, 0), None),
        (at(1, 0), None),
        // 1980-01-01 and the time of day that a time zone can add to it.
        (at(315_532_800 + 86_400, 0), None),
        (at(347_155_200, 0), Some(at(347_155_200, 0))),
        (SystemTime::UNIX_EPOCH - Duration::from_secs(1), None),
    ] {
        let modified = Validators::new(1, time, None, now).map(|validators| validators.modified);
        assert_eq!(modified, shown, "{time:?}");
    }
}

proptest! {
    #[test]
    fn no_header_breaks_the_evaluation(
        name in prop::sample::select(&[
            "if-match", "if-none-match", "if-range", "if-modified-since", "if-unmodified-since",
        ][..]),
        value in prop_oneof!["[ -~]{0,40}", "((W/)?\"[ab]\"?[, *]*){0,5}"],
    ) {
        let headers = headers(&[(name, &value)]);
        for current in [None, Some(&current())] {
            evaluate(&headers, current);
            is_range_wanted(&headers, current);
        }
    }

    #[test]
    fn a_tag_is_found_anywhere_in_a_list(
        before in prop::collection::vec("(W/)?\"[b-z,*]{0,5}\"", 0..5),
        after in prop::collection::vec("(W/)?\"[b-z,*]{0,5}\"", 0..5),
    ) {
        let list = [before, vec!["W/\"a\"".into()], after].concat().join(" , ");
        let headers = headers(&[("if-none-match", &list)]);
        prop_assert_eq!(evaluate(&headers, Some(&current())), Verdict::NotModified);
    }
}
