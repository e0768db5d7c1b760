use proptest::prelude::*;

use super::*;

#[test]
fn booleans_take_every_usual_spelling() {
    for text in ["1", "t", "T", "TRUE", "true", "True", "yes", "YES", "on", "On"] {
        assert_eq!(boolean(text), Ok(true), "{text:?}");
    }
    for text in ["0", "f", "F", "FALSE", "false", "False", "no", "No", "off", "OFF"] {
        assert_eq!(boolean(text), Ok(false), "{text:?}");
    }
    for text in ["", "2", "y", "tru", " true", "enabled"] {
        assert!(boolean(text).is_err(), "{text:?}");
    }
}

#[test]
fn every_mode_is_read_by_its_name() {
    for known in Mode::ALL {
        assert_eq!(mode(known.as_str()), Ok(known));
    }
    for (text, problem) in [
        ("HTTP", "not a mode"),
        ("", "not a mode"),
        ("inproc", "mode=http"),
        ("afterburn", "mode=http"),
    ] {
        let refusal = mode(text).unwrap_err();
        assert!(refusal.problem.contains(problem), "{text:?}");
    }
}

#[test]
fn ports_out_of_range_are_fatal_and_junk_is_not() {
    assert_eq!(port("0"), Ok(0));
    assert_eq!(port("65535"), Ok(65_535));
    assert_eq!(port("+80"), Ok(80));
    for text in ["-1", "65536", "99999", "99999999999999999999999999"] {
        assert!(port(text).unwrap_err().fatal, "{text:?}");
    }
    for text in ["", "abc", "-", "80a", "8.0", " 80", ":80"] {
        assert!(!port(text).unwrap_err().fatal, "{text:?}");
    }
    assert_eq!(optional_port("0"), Ok(None));
    assert_eq!(optional_port("9090"), Ok(Some(9090)));
}

#[test]
fn negative_durations_are_off_or_zero_or_refused() {
    assert_eq!(limit("10"), Ok(Some(Duration::from_secs(10))));
    for text in ["0", "0s", "-1s", "-0"] {
        assert_eq!(limit(text), Ok(None), "{text:?}");
        assert_eq!(interval(text), Ok(Duration::ZERO), "{text:?}");
    }
    assert_eq!(wait("0"), Ok(Duration::ZERO));
    assert!(wait("-1s").is_err());
    for text in ["abc", "-5", "1.5", ""] {
        assert!(limit(text).is_err() && interval(text).is_err() && wait(text).is_err());
    }
}

#[test]
fn counts_keep_to_their_range() {
    assert_eq!(count_limit("5"), Ok(NonZeroUsize::new(5)));
    assert_eq!(count_limit("0"), Ok(None));
    assert_eq!(count_limit("-1"), Ok(None));
    assert_eq!(count("0"), Ok(0));
    for text in ["", "many", "1.5", "999999999999", "99999999999999999999999"] {
        assert!(count_limit(text).is_err() && count(text).is_err(), "{text:?}");
    }
    assert!(count("-1").is_err());
    assert_eq!(line_limit("-1"), Ok(None));
    assert_eq!(line_limit("100"), Ok(NonZeroUsize::new(100)));
    assert!(line_limit("0").is_err());
}

#[test]
fn sizes_have_decimal_and_binary_units() {
    let cases = [
        ("0", 0),
        ("1000", 1_000),
        ("1k", 1_000),
        ("1KB", 1_000),
        ("1Ki", 1_024),
        ("64KiB", 65_536),
        ("10mb", 10_000_000),
        ("10MiB", 10_485_760),
        ("4Gi", 1 << 32),
        ("2G", 2_000_000_000),
        ("7B", 7),
        ("9223372036854775807", i64::MAX.unsigned_abs()),
    ];
    for (text, bytes) in cases {
        assert_eq!(size(text), Ok(bytes), "{text:?}");
    }
    for text in [
        "",
        "B",
        "k",
        "-1",
        "+1",
        "1.5M",
        "1 M",
        "1T",
        "1iB",
        "1bb",
        "1mbb",
        "9223372036854775808",
        "99999999999Gi",
        "99999999999999999999999",
    ] {
        assert!(size(text).is_err(), "{text:?}");
    }
    assert_eq!(size_limit("0"), Ok(None));
    assert_eq!(memory_size("1Mi"), Ok(1 << 20));
}

#[test]
fn header_values_are_checked() {
    assert_eq!(
        header_value("text/html; charset=utf-8"),
        Ok(Some(HeaderValue::from_static("text/html; charset=utf-8")))
    );
    assert!(header_value("text/html\r\nX: y").is_err());
    assert!(header_value("a\0").is_err());
}

#[test]
fn request_paths_get_their_slash() {
    assert_eq!(request_path("/ready?x=1").unwrap().unwrap(), "/ready?x=1");
    assert_eq!(request_path("ready").unwrap().unwrap(), "/ready");
    for text in ["/a b", "/a#b", "/a\nb", "/\0"] {
        assert!(request_path(text).is_err(), "{text:?}");
    }
}

/// Text of any kind, and text that is nearly a number, a size, a path or a header.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "(?s).{0,24}",
        "[+-]?[0-9]{0,25}",
        "[+-]?[0-9.]{0,21}[kKmMgGiIbB]{0,3}",
        "/?[a-z0-9/?#%&= \t\r\n\x00\x7f\u{80}-\u{ff}]{0,24}",
    ]
}

/// The integer that decimal digits spell behind an optional sign.
fn integer(text: &str) -> Option<i128> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || digits.len() > 30 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = digits.bytes().fold(0, |number, digit| number * 10 + i128::from(digit - b'0'));
    Some(if text.starts_with('-') { -number } else { number })
}

proptest! {
    #[test]
    fn ports_are_the_integers_of_16_bits(text in text()) {
        match (port(&text), integer(&text)) {
            (Ok(port), Some(number)) => prop_assert_eq!(i128::from(port), number),
            (Err(refusal), Some(number)) => {
                prop_assert!(refusal.fatal);
                prop_assert!(number > 0xffff || text.starts_with('-'));
            }
            (parsed, None) => prop_assert!(parsed.is_err_and(|refusal| !refusal.fatal)),
        }
    }

    #[test]
    fn counts_are_the_integers_in_their_range(text in text()) {
        let number = integer(&text);
        let positive = number.filter(|number| (1..=1 << 28).contains(number));
        let positive = positive.and_then(|n| NonZeroUsize::new(usize::try_from(n).unwrap()));
        let (is_zero, is_negative) = (number == Some(0), number.is_some_and(|number| number < 0));
        // Numbers that do not fit in 64 bits are no numbers to it, whatever their sign.
        let is_lost = number.is_some_and(|number| i64::try_from(number).is_err());
        let off = (is_zero || is_negative) && !is_lost;
        let counted = positive.map(NonZeroUsize::get).or(is_zero.then_some(0));
        prop_assert_eq!(count(&text).ok(), counted);
        prop_assert_eq!(count_limit(&text).ok(), positive.map(Some).or(off.then_some(None)));
        let off = is_negative && !is_lost;
        prop_assert_eq!(line_limit(&text).ok(), positive.map(Some).or(off.then_some(None)));
    }

    #[test]
    fn sizes_are_a_number_times_a_unit(
        digits in "[0-9]{1,22}",
        (unit, factor) in prop_oneof![
            Just(("", 1)),
            Just(("k", 1000)),
            Just(("m", 1000 * 1000)),
            Just(("g", 1000 * 1000 * 1000)),
            Just(("ki", 1024)),
            Just(("mi", 1024 * 1024)),
            Just(("gi", 1024 * 1024 * 1024_i128)),
        ],
        suffix in "[bB]?",
        upper: bool,
    ) {
        let unit = if upper { unit.to_uppercase() } else { unit.to_owned() };
        let bytes = i64::try_from(integer(&digits).unwrap() * factor).ok();
        let read = size(&format!("{digits}{unit}{suffix}")).ok();
        prop_assert_eq!(read, bytes.map(i64::unsigned_abs));
    }

    #[test]
    fn sizes_begin_with_a_digit_and_fit_a_file(text in text()) {
        let bytes = size(&text);
        prop_assert!(bytes.is_err() || text.starts_with(|c: char| c.is_ascii_digit()));
        prop_assert!(bytes.as_ref().map_or(true, |bytes| i64::try_from(*bytes).is_ok()));
        prop_assert_eq!(size_limit(&text).ok(), bytes.clone().ok().map(NonZeroU64::new));
        prop_assert_eq!(memory_size(&text).ok().map(|bytes| bytes as u64), bytes.ok());
    }

    #[test]
    fn booleans_do_not_mind_letter_case(
        text in prop_oneof![text(), "(?i)(1|0|t|f|true|false|yes|no|on|off)"],
    ) {
        let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        let yes = is(&["1", "t", "true", "yes", "on"]).then_some(true);
        let no = is(&["0", "f", "false", "no", "off"]).then_some(false);
        prop_assert_eq!(boolean(&text).ok(), yes.or(no));
    }

    #[test]
    fn durations_agree_about_their_sign(text in prop_oneof![text(), "-?[0-9]{1,3}(s|ms|h|)"]) {
        let (limit, interval, wait) = (limit(&text), interval(&text), wait(&text));
        prop_assert_eq!(limit.is_ok(), interval.is_ok());
        if let (Ok(limit), Ok(interval)) = (limit, interval) {
            prop_assert_eq!(limit.unwrap_or_default(), interval);
            let is_negative = parse_setting(&text).unwrap().nanoseconds() < 0;
            prop_assert_eq!(wait.ok(), (!is_negative).then_some(interval));
        } else {
            prop_assert!(wait.is_err());
        }
    }

    #[test]
    fn accepted_header_values_can_stand_in_a_head(text in text()) {
        if let Ok(value) = header_value(&text) {
            let value = value.unwrap();
            prop_assert_eq!(value.as_bytes(), text.as_bytes());
            prop_assert!(!text.chars().any(|c| c.is_ascii_control() && c != '\t'));
        }
    }

    /// The request line is cut at blanks and ends at a line feed, and a fragment is never sent
    /// (RFC 9112 section 3).
    #[test]
    fn accepted_request_paths_can_stand_in_a_request_line(text in text()) {
        if let Ok(path) = request_path(&text) {
            let path = path.unwrap();
            prop_assert!(path.starts_with('/') && path.ends_with(text.as_str()));
            prop_assert!(path.len() - text.len() <= 1);
            prop_assert!(!path.contains(|c: char| c.is_ascii_control() || c == ' ' || c == '#'));
            prop_assert!(http::Request::get(&path).body(()).is_ok());
        }
    }

    #[test]
    fn names_are_taken_literally(text in text()) {
        prop_assert_eq!(mode(&text).is_ok(), Mode::ALL.iter().any(|mode| mode.as_str() == text));
        prop_assert_eq!(log_format(&text).is_ok(), ["text", "json"].contains(&text.as_str()));
    }
}
