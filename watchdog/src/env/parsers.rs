//! One parser per kind of value: text in, typed value or [`Refusal`] out. Pure; none of them knows
//! a variable's name.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use http::HeaderValue;
use http::uri::PathAndQuery;
use modes::ZeroCopy;

use crate::duration::{GoDuration, parse_setting};
use crate::settings::{LogFormat, Mode};

/// Why a value is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// What is wrong with the value, as a fragment that follows it: `is not a duration`.
    pub problem: String,
    /// Whether the default must not stand in for it, whatever the other settings are.
    pub fatal: bool,
}

pub(super) type Parsed<T> = Result<T, Refusal>;

// === impl Refusal ===

impl Refusal {
    pub(super) fn new(problem: impl Into<String>) -> Self {
        Self { problem: problem.into(), fatal: false }
    }

    pub(super) fn fatal(problem: impl Into<String>) -> Self {
        Self { fatal: true, ..Self::new(problem) }
    }
}

/// What `mode` may be. Two more names were known to of-watchdog; they get an answer of their own.
pub(super) fn mode(text: &str) -> Parsed<Mode> {
    if let Some(mode) = Mode::ALL.into_iter().find(|mode| mode.as_str() == text) {
        return Ok(mode);
    }
    Err(Refusal::new(match text {
        "inproc" => {
            "needs a handler compiled into the watchdog; use mode=http with a server of your own"
        }
        "afterburn" => "is no longer a mode; use mode=http",
        _ => "is not a mode",
    }))
}

/// Every spelling Go's `strconv.ParseBool` knows, and yes/no/on/off; letter case does not matter.
pub(super) fn boolean(text: &str) -> Parsed<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "yes" | "on" => Ok(true),
        "0" | "f" | "false" | "no" | "off" => Ok(false),
        _ => Err(Refusal::new("is not a boolean")),
    }
}

/// `auto`, or a truth value.
pub(super) fn zero_copy(text: &str) -> Parsed<ZeroCopy> {
    match boolean(text) {
        _ if text.eq_ignore_ascii_case("auto") => Ok(ZeroCopy::Auto),
        Ok(true) => Ok(ZeroCopy::On),
        Ok(false) => Ok(ZeroCopy::Off),
        Err(_) => Err(Refusal::new("is not auto, on or off")),
    }
}

fn duration(text: &str) -> Parsed<GoDuration> {
    parse_setting(text).ok_or_else(|| Refusal::new("is not a duration"))
}

/// A limit that zero and every negative value switch off.
pub(super) fn limit(text: &str) -> Parsed<Option<Duration>> {
    duration(text).map(GoDuration::positive)
}

/// A length of time whose negative values mean zero, as both predecessors accept them.
pub(super) fn interval(text: &str) -> Parsed<Duration> {
    duration(text).map(|length| length.not_negative().unwrap_or_default())
}

/// A length of time that cannot be negative.
pub(super) fn wait(text: &str) -> Parsed<Duration> {
    duration(text)?.not_negative().ok_or_else(|| Refusal::new("is negative"))
}

/// A TCP port. A number that is none is fatal: the function would be served where nobody looks for
/// it.
pub(super) fn port(text: &str) -> Parsed<u16> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::new("is not a port"));
    }
    text.parse().map_err(|_| Refusal::fatal("is not a port: out of range"))
}

/// A port, or `None` for 0.
pub(super) fn optional_port(text: &str) -> Parsed<Option<u16>> {
    port(text).map(|port| (port != 0).then_some(port))
}

fn whole_number(text: &str) -> Parsed<i64> {
    text.parse().map_err(|_| Refusal::new("is not a whole number"))
}

/// The largest count: far more than a machine can serve, and below the bound of tokio's semaphore.
const MAX_COUNT: i64 = 1 << 28;

/// How many; zero and negative are no limit, as in both predecessors.
pub(super) fn count_limit(text: &str) -> Parsed<Option<NonZeroUsize>> {
    let number = whole_number(text)?;
    if number <= 0 {
        return Ok(None);
    }
    small(number).map(NonZeroUsize::new)
}

/// How many; zero is none.
pub(super) fn count(text: &str) -> Parsed<usize> {
    small(whole_number(text)?)
}

/// The most processes that may wait for calls: each takes its memory for as long as it waits.
const MAX_SPARES: i64 = 64;

/// How many processes wait; zero is none.
pub(super) fn spares(text: &str) -> Parsed<usize> {
    let number = whole_number(text)?;
    if number > MAX_SPARES {
        return Err(Refusal::new(format!("is more than {MAX_SPARES}")));
    }
    small(number)
}

fn small(number: i64) -> Parsed<usize> {
    match usize::try_from(number) {
        Ok(count) if number <= MAX_COUNT => Ok(count),
        Ok(_) => Err(Refusal::new(format!("is more than {MAX_COUNT}"))),
        Err(_) => Err(Refusal::new("is negative")),
    }
}

/// The longest log line in bytes; negative is no limit. Zero used to stop all logging, which nobody
/// can have meant.
pub(super) fn line_limit(text: &str) -> Parsed<Option<NonZeroUsize>> {
    match whole_number(text)? {
        0 => Err(Refusal::new("leaves no room for a line")),
        number if number < 0 => Ok(None),
        number => small(number).map(NonZeroUsize::new),
    }
}

/// A number of bytes: digits, then nothing, a decimal unit (`k`, `M`, `G`: powers of 1000) or a
/// binary one (`Ki`, `Mi`, `Gi`: powers of 1024), each with an optional `B`. Letter case does not
/// matter, so `10mb` is ten million bytes and `10MiB` is 10 · 1024 · 1024, as IEC 80000-13 and
/// Kubernetes quantities have it.
pub(super) fn size(text: &str) -> Parsed<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let unit = unit.to_ascii_lowercase();
    let factor: u64 = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 1,
        "k" => 1_000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        _ => return Err(Refusal::new("is not a size")),
    };
    if digits.is_empty() {
        return Err(Refusal::new("is not a size"));
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        // Offsets in files are signed (lseek(2)), so nothing larger can be kept.
        .filter(|bytes| i64::try_from(*bytes).is_ok())
        .ok_or_else(|| Refusal::new("is too large a size"))
}

/// A size that must fit in memory.
pub(super) fn memory_size(text: &str) -> Parsed<usize> {
    usize::try_from(size(text)?).map_err(|_| Refusal::new("is too large a size"))
}

/// A size of which zero is no limit.
pub(super) fn size_limit(text: &str) -> Parsed<Option<NonZeroU64>> {
    size(text).map(NonZeroU64::new)
}

/// The value of a header field (RFC 9110 section 5.5).
pub(super) fn header_value(text: &str) -> Parsed<Option<HeaderValue>> {
    HeaderValue::from_str(text).map(Some).map_err(|_| Refusal::new("cannot be sent as a header"))
}

/// A path with an optional query; the leading slash may be missing and is added.
pub(super) fn request_path(text: &str) -> Parsed<Option<String>> {
    let path = if text.starts_with('/') { text.to_owned() } else { format!("/{text}") };
    match path.parse::<PathAndQuery>() {
        // The parser stops at a fragment instead of refusing it (RFC 9112 section 3.2 knows none).
        Ok(parsed) if parsed.as_str() == path => Ok(Some(path)),
        _ => Err(Refusal::new("is not a request path")),
    }
}

pub(super) fn log_format(text: &str) -> Parsed<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Refusal::new("is not a log format")),
    }
}

#[cfg(test)]
mod tests;
