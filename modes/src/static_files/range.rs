//! The Range header (RFC 9110 section 14).

use http::{HeaderMap, header::RANGE};

/// What a Range header asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// Everything: there is no usable range.
    Whole,
    /// `length` bytes from `offset` on; at least one, and all of them exist.
    Part { offset: u64, length: u64 },
    /// A range that no byte lies in: 416.
    Unsatisfiable,
}

/// The range that a request asks for of a representation of `length` bytes.
///
/// One range of bytes is served. Several ranges, other units and what breaks the syntax are
/// ignored, as section 14.2 allows, and so is any range of an empty representation: no
/// Content-Range could name its bytes, and clients that send a Range with every request would
/// get an error (Go's file server does the same).
pub(super) fn parse(headers: &HeaderMap, length: u64) -> Range {
    let mut values = headers.get_all(RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if length > 0 => value
            .to_str()
            .ok()
            .and_then(single_range)
            .map_or(Range::Whole, |bounds| bounds.within(length)),
        _ => Range::Whole,
    }
}

#[derive(Clone, Copy)]
enum Bounds {
    /// `first-last` or `first-`, both included.
    From(u64, Option<u64>),
    /// `-count`.
    Last(u64),
}

impl Bounds {
    /// `length` is not 0.
    fn within(self, length: u64) -> Range {
        match self {
            Self::From(first, _) if first >= length => Range::Unsatisfiable,
            Self::From(first, last) => {
                let last = last.unwrap_or(u64::MAX).min(length - 1);
                Range::Part { offset: first, length: last - first + 1 }
            }
            Self::Last(0) => Range::Unsatisfiable,
            Self::Last(count) => {
                let count = count.min(length);
                Range::Part { offset: length - count, length: count }
            }
        }
    }
}

fn single_range(value: &str) -> Option<Bounds> {
    let (unit, set) = value.split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    // Empty elements of a list do not count (section 5.6.1.2).
    let elements = set.split(',').map(|element| element.trim_matches([' ', '\t']));
    let mut elements = elements.filter(|element| !element.is_empty());
    let (range, None) = (elements.next()?, elements.next()) else {
        return None;
    };
    match range.split_once('-')? {
        ("", count) => Some(Bounds::Last(number(count)?)),
        (first, "") => Some(Bounds::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Bounds::From(first, Some(last)))
        }
    }
}

/// Digits only. A number that is too large for any file counts as the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn range(value: &str, length: u64) -> Range {
        parse(&HeaderMap::from_iter([(RANGE, HeaderValue::from_str(value).unwrap())]), length)
    }

    #[test]
    fn a_single_range_is_a_part() {
        for (value, offset, length) in [
            ("bytes=0-0", 0, 1),
            ("bytes=0-9", 0, 10),
            ("bytes=0-99", 0, 10),
            ("bytes=3-5", 3, 3),
            ("bytes=9-", 9, 1),
            ("bytes=0-", 0, 10),
            ("bytes=-1", 9, 1),
            ("bytes=-10", 0, 10),
            ("bytes=-11", 0, 10),
            ("BYTES=3-5", 3, 3),
            ("bytes= 3-5 ,", 3, 3),
            ("bytes=,,3-5", 3, 3),
            ("bytes=003-00000000000000000000000005", 3, 3),
            ("bytes=3-99999999999999999999999", 3, 7),
            ("bytes=-99999999999999999999999", 0, 10),
            ("bytes=0-18446744073709551615", 0, 10),
        ] {
            assert_eq!(range(value, 10), Range::Part { offset, length }, "{value}");
        }
    }

    #[test]
    fn a_range_behind_the_end_is_unsatisfiable() {
        for value in
            ["bytes=10-", "bytes=10-12", "bytes=-0", "bytes=99999999999999999999999-", "bytes=11-"]
        {
            assert_eq!(range(value, 10), Range::Unsatisfiable, "{value}");
        }
    }

    #[test]
    fn anything_else_is_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=,",
            "bytes=5-3",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=--1",
            "bytes=1 -2",
            "bytes =1-2",
            "lines=1-2",
            "1-2",
            "bytes=1-2=3",
            "bytes=12-11",
            "bytes=1-\u{b2}",
        ] {
            assert_eq!(range(value, 10), Range::Whole, "{value}");
        }
        assert_eq!(parse(&HeaderMap::new(), 10), Range::Whole);
        let mut twice = HeaderMap::new();
        twice.append(RANGE, HeaderValue::from_static("bytes=1-2"));
        twice.append(RANGE, HeaderValue::from_static("bytes=1-2"));
        assert_eq!(parse(&twice, 10), Range::Whole);
    }

    #[test]
    fn an_empty_file_is_always_whole() {
        for value in ["bytes=0-", "bytes=-5", "bytes=0-0", "bytes=-0"] {
            assert_eq!(range(value, 0), Range::Whole, "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_file(value in prop_oneof![
            "[ -~]{0,30}",
            "bytes=[0-9]{0,21}-[0-9]{0,21}",
        ], total: u64) {
            if let Range::Part { offset, length } = range(&value, total) {
                prop_assert!(length > 0);
                prop_assert!(offset.checked_add(length).is_some_and(|end| end <= total));
            }
        }

        #[test]
        fn a_range_of_existing_bytes_is_exact(first in 0u64..1000, more in 0u64..1000) {
            let last = first + more;
            prop_assert_eq!(
                range(&format!("bytes={first}-{last}"), 2000),
                Range::Part { offset: first, length: more + 1 }
            );
        }
    }
}
