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
mod tests;
