use proptest::prelude::*;

use super::*;

#[test]
fn go_durations_have_the_values_go_gives_them() {
    let cases: &[(&str, i64)] = &[
        ("0", 0),
        ("-0", 0),
        ("+0", 0),
        ("0s", 0),
        ("300ms", 300_000_000),
        ("1h2m", 3_720_000_000_000),
        ("-1s", -1_000_000_000),
        ("+5s", 5_000_000_000),
        ("5.s", 5_000_000_000),
        (".5s", 500_000_000),
        ("1.004s", 1_004_000_000),
        ("3s4h", 14_403_000_000_000),
        ("10.5s4m", 250_500_000_000),
        ("12\u{b5}s", 12_000),
        ("12\u{3bc}s1us", 13_000),
        ("52763797000ns", 52_763_797_000),
        ("0.3333333333333333333h", 1_200_000_000_000),
        ("0.100000000000000000000h", 360_000_000_000),
        ("0.9223372036854775807h", 3_320_413_933_267),
        ("9007199254740993ns", 9_007_199_254_740_993),
        ("9223372036854775807ns", i64::MAX),
        ("-9223372036854775808ns", i64::MIN),
        ("-9223372036.854775808s", i64::MIN),
    ];
    for (text, nanoseconds) in cases {
        assert_eq!(parse_go(text), Some(GoDuration(*nanoseconds)), "{text:?}");
    }
}

#[test]
fn what_go_refuses_is_refused() {
    let refused = [
        "",
        "3",
        "-",
        "+",
        "s",
        ".",
        "-.",
        ".s",
        "+.s",
        "1d",
        "1 s",
        " 1s",
        "1s ",
        "--1s",
        "1S",
        "1e3s",
        "1s-2s",
        "00",
        "\u{661}s",
        "9223372036854775808ns",
        "-9223372036854775809ns",
        "9223372036854775.808us",
        "2562048h",
        "99999999999999999999999s",
        "9223372036854775807ns1ns",
    ];
    for text in refused {
        assert_eq!(parse_go(text), None, "{text:?}");
    }
}

#[test]
fn settings_take_digits_as_seconds() {
    let cases: &[(&str, Option<i64>)] = &[
        ("10", Some(10_000_000_000)),
        ("0", Some(0)),
        ("007", Some(7_000_000_000)),
        ("+5", Some(5_000_000_000)),
        ("300ms", Some(300_000_000)),
        ("-1s", Some(-1_000_000_000)),
        ("9223372036", Some(9_223_372_036_000_000_000)),
        ("9223372037", None),
        ("99999999999999999999999", None),
        ("", None),
        ("+", None),
        ("-5", None),
        ("1.5", None),
        ("10 ", None),
        ("abc", None),
    ];
    for (text, nanoseconds) in cases {
        assert_eq!(parse_setting(text), nanoseconds.map(GoDuration), "{text:?}");
    }
}

#[test]
fn zero_and_negative_are_off() {
    assert_eq!(parse_go("0").unwrap().positive(), None);
    assert_eq!(parse_go("-1s").unwrap().positive(), None);
    assert_eq!(parse_go("-1s").unwrap().not_negative(), None);
    assert_eq!(parse_go("0").unwrap().not_negative(), Some(Duration::ZERO));
    assert_eq!(parse_go("1ns").unwrap().positive(), Some(Duration::from_nanos(1)));
}

#[test]
fn rendering_is_short() {
    let cases = [
        (Duration::ZERO, "0s"),
        (Duration::from_secs(30), "30s"),
        (Duration::from_secs(180), "3m"),
        (Duration::from_secs(5_400), "1h30m"),
        (Duration::from_millis(1_500), "1.5s"),
        (Duration::from_millis(60_010), "1m0.01s"),
        (Duration::from_millis(300), "300ms"),
        (Duration::from_micros(1_500), "1500us"),
        (Duration::from_nanos(1), "1ns"),
    ];
    for (length, text) in cases {
        assert_eq!(render(length), text);
    }
}

/// One number with its unit, and what it says: whole units, then the fraction as digits.
fn component() -> impl Strategy<Value = (String, i128)> {
    // Every magnitude is as likely as any other.
    let whole = (0_u32..64, any::<u64>()).prop_map(|(shift, number)| number >> shift);
    let fraction = proptest::option::of("[0-9]{0,15}");
    let unit = proptest::sample::select(vec![
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("\u{3bc}s", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000_i128),
    ]);
    (whole, fraction, unit).prop_map(|(whole, fraction, (name, unit))| {
        let mut length = i128::from(whole) * unit;
        let Some(fraction) = fraction else { return (format!("{whole}{name}"), length) };
        if let Ok(digits) = fraction.parse::<i128>() {
            length += digits * unit / 10_i128.pow(u32::try_from(fraction.len()).unwrap());
        }
        // A number may begin with its point, unless it is nothing else.
        let whole =
            if whole == 0 && !fraction.is_empty() { String::new() } else { whole.to_string() };
        (format!("{whole}.{fraction}{name}"), length)
    })
}

fn generated() -> impl Strategy<Value = (String, i128)> {
    let components = proptest::collection::vec(component(), 1..4);
    (proptest::sample::select(vec!["", "+", "-"]), components).prop_map(|(sign, components)| {
        let (texts, lengths): (Vec<_>, Vec<_>) = components.into_iter().unzip();
        let length: i128 = lengths.iter().sum();
        (sign.to_owned() + &texts.concat(), if sign == "-" { -length } else { length })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Go cuts each fraction off in floating point, so one of them may lack a nanosecond.
    #[test]
    fn every_sentence_of_the_grammar_has_its_value((text, exact) in generated()) {
        let slack = i128::try_from(text.matches('.').count()).unwrap();
        match parse_go(&text).map(|length| i128::from(length.nanoseconds())) {
            Some(length) => prop_assert!((exact - length).abs() <= slack, "{}", length),
            None => {
                let (least, most) = (i128::from(i64::MIN), i128::from(i64::MAX));
                prop_assert!(exact + slack > most || exact - slack < least);
            }
        }
        prop_assert_eq!(parse_setting(&text), parse_go(&text));
    }

    #[test]
    fn a_foreign_character_anywhere_is_refused(
        (text, _) in generated(),
        foreign in "[^0-9.nuµμmsh]",
        place: proptest::sample::Index,
    ) {
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let (before, after) = text.split_at(*place.get(&places));
        let text = format!("{before}{foreign}{after}");
        // A sign may stand in front of what has none.
        prop_assume!(!(before.is_empty() && ["+", "-"].contains(&foreign.as_str())));
        prop_assert_eq!(parse_go(&text), None);
        prop_assert_eq!(parse_setting(&text), None);
    }

    #[test]
    fn rendered_durations_read_back_unchanged(shift in 1_u32..64, number: u64) {
        let nanoseconds = number >> shift;
        let text = render(Duration::from_nanos(nanoseconds));
        let read = parse_go(&text).map(GoDuration::nanoseconds);
        prop_assert_eq!(read, i64::try_from(nanoseconds).ok());
    }

    #[test]
    fn digits_alone_are_seconds(number in prop_oneof![any::<u64>(), 0..20_000_000_000_u64]) {
        let read = parse_setting(&number.to_string()).map(GoDuration::nanoseconds);
        let seconds = i64::try_from(u128::from(number) * 1_000_000_000).ok();
        prop_assert_eq!(read, seconds);
        prop_assert_eq!(parse_go(&number.to_string()).is_some(), number == 0);
    }

    #[test]
    fn any_text_is_read_or_refused(
        text in prop_oneof![
            "(?s).{0,12}",
            "([019.+n-]|9{11}|ms|us|s|h|µ|μs|\u{1f980}|\x00|e| ){0,8}",
        ],
    ) {
        if let Some(length) = parse_setting(&text).and_then(GoDuration::not_negative) {
            let read = parse_go(&render(length)).and_then(GoDuration::not_negative);
            prop_assert_eq!(read, Some(length));
        }
    }
}
