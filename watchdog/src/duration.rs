//! Durations as the environment writes them: Go's notation, and whole seconds.
//!
//! Both programs this one replaces read `10` as ten seconds and hand everything else to Go's
//! `time.ParseDuration`, so that grammar is a contract: a sign, then decimal numbers with a unit
//! each (`1h2m`, `1.5s`, `-300ms`). Nothing here panics, and a value that does not fit in 63 bits
//! of nanoseconds (292 years) is refused, never wrapped.

use std::fmt::Write as _;
use std::time::Duration;

/// A signed length of time in nanoseconds with the range of Go's `time.Duration` (about 292 years
/// either way).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(i64);

/// The largest magnitude, reached by the negative end only.
const MAGNITUDE: u64 = 1 << 63;

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds in each unit. Micro has two spellings because Unicode has two letters that look like
/// mu.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", SECOND),
    ("m", 60 * SECOND),
    ("h", 3_600 * SECOND),
];

// === impl GoDuration ===

impl GoDuration {
    /// The length in nanoseconds.
    #[must_use]
    pub const fn nanoseconds(self) -> i64 {
        self.0
    }

    /// The length if it is more than zero; `None` where zero and negative mean "off".
    #[must_use]
    pub fn positive(self) -> Option<Duration> {
        self.not_negative().filter(|length| !length.is_zero())
    }

    /// The length if it is zero or more.
    #[must_use]
    pub fn not_negative(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

/// Reads a duration in the grammar of Go's `time.ParseDuration`. `0`, `+0` and `-0` need no unit,
/// every other number does.
///
/// Returns `None` for anything else and for a value outside the range of [`GoDuration`]. The
/// `X-Timeout` request header takes this form only.
#[must_use]
pub fn parse_go(text: &str) -> Option<GoDuration> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Some(GoDuration(0));
    }
    if unsigned.is_empty() {
        return None;
    }

    let mut total = 0_u64;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let (length, tail) = take_component(rest)?;
        total = bounded(total.checked_add(length))?;
        rest = tail;
    }

    let signed = if negative { -i128::from(total) } else { i128::from(total) };
    i64::try_from(signed).ok().map(GoDuration)
}

/// Reads a duration setting: digits alone are whole seconds, anything else is a Go duration.
///
/// Returns `None` for what neither form allows (`""`, `1.5`, `-5`, `10 s`) and for a value out of
/// range.
#[must_use]
pub fn parse_setting(text: &str) -> Option<GoDuration> {
    // Both predecessors convert with Go's `Atoi`, which allows a plus sign.
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_go(text);
    }
    let nanoseconds = digits.parse::<i64>().ok()?.checked_mul(i64::try_from(SECOND).ok()?)?;
    Some(GoDuration(nanoseconds))
}

/// Writes a duration in the same grammar, shortest form first (`3m`, `1h30m`, `1.5s`, `300ms`);
/// [`parse_go`] reads it back to the same value.
#[must_use]
pub fn render(length: Duration) -> String {
    let nanoseconds = length.subsec_nanos();
    if length.as_secs() == 0 {
        return match nanoseconds {
            0 => "0s".to_owned(),
            n if n % 1_000_000 == 0 => format!("{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => format!("{}us", n / 1_000),
            n => format!("{n}ns"),
        };
    }
    let (minutes, seconds) = (length.as_secs() / 60, length.as_secs() % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    if nanoseconds > 0 {
        let fraction = format!("{nanoseconds:09}");
        let _ = write!(text, "{seconds}.{}s", fraction.trim_end_matches('0'));
    } else if seconds > 0 {
        let _ = write!(text, "{seconds}s");
    }
    text
}

/// Takes one `number unit` pair off the front and returns its nanoseconds and what follows.
fn take_component(text: &str) -> Option<(u64, &str)> {
    let (whole, after_whole) = take_digits(text);
    let (fraction, after_number) = match after_whole.strip_prefix('.') {
        Some(after_point) => take_digits(after_point),
        None => ("", after_whole),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let unit_end =
        after_number.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after_number.len());
    let (name, tail) = after_number.split_at(unit_end);
    let (_, unit) = UNITS.iter().find(|(known, _)| *known == name)?;

    let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
    let length = bounded(whole.checked_mul(*unit))?;
    let length = bounded(length.checked_add(part_of(fraction, *unit)))?;
    Some((length, tail))
}

fn take_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// The nanoseconds in `0.<digits>` of a unit, in floating point because Go rounds that way too
/// (`0.3333333333333333333h` is exactly twenty minutes).
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the result is non-negative, at most one hour, and meant to be truncated"
)]
fn part_of(digits: &str, unit: u64) -> u64 {
    let mut value = 0_u64;
    let mut scale = 1_f64;
    for digit in digits.bytes() {
        let longer =
            value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit - b'0')));
        // Digits past what 63 bits hold are dropped, as Go drops them; a double could not tell them
        // apart anyway.
        let Some(longer) = bounded(longer) else { break };
        value = longer;
        scale *= 10.0;
    }
    (value as f64 * (unit as f64 / scale)) as u64
}

fn bounded(length: Option<u64>) -> Option<u64> {
    length.filter(|length| *length <= MAGNITUDE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small deterministic generator (xorshift64), so that a failure can be repeated.
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, end: usize) -> usize {
            usize::try_from(self.next() % end as u64).unwrap()
        }
    }

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

    #[test]
    fn rendered_durations_read_back_unchanged() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for _ in 0..20_000 {
            // Every magnitude is as likely as any other.
            let shift = numbers.below(63) + 1;
            let nanoseconds = numbers.next() >> shift;
            let text = render(Duration::from_nanos(nanoseconds));
            let read = parse_go(&text).map(GoDuration::nanoseconds);
            assert_eq!(read, i64::try_from(nanoseconds).ok(), "{text:?}");
        }
    }

    #[test]
    fn arbitrary_text_never_panics() {
        let pieces = [
            "0",
            "1",
            "9",
            "99999999999",
            ".",
            "-",
            "+",
            "n",
            "u",
            "m",
            "s",
            "h",
            "ms",
            "\u{b5}",
            "\u{3bc}s",
            " ",
            "\u{1f980}",
            "\0",
            "e",
        ];
        let mut numbers = Numbers(42);
        for _ in 0..50_000 {
            let length = numbers.below(8);
            let text: String = (0..length).map(|_| pieces[numbers.below(pieces.len())]).collect();
            if let Some(length) = parse_setting(&text).and_then(GoDuration::not_negative) {
                assert!(parse_go(&render(length)).is_some(), "{text:?}");
            }
        }
    }
}
