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
