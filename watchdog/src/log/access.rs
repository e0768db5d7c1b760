//! The access line: one a call, equal to what went over the wire.

use std::time::Duration;

use modes::decimal;
use serde_json::json;

use super::{Config, json_time, push_time};
use crate::settings::LogFormat;

/// One finished call.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The request's method; `-` when it could not be read.
    pub method: &'a str,
    /// Path and query as they arrived; `-` when they could not be read.
    pub target: &'a str,
    /// The status that was sent.
    pub status: u16,
    /// Bytes of the response body.
    pub bytes: u64,
    /// From the request head to the end of the response.
    pub took: Duration,
    /// `X-Call-Id`, if there was one.
    pub call_id: Option<&'a str>,
    /// What went wrong, if anything.
    pub error: Option<&'a str>,
}

impl Call<'_> {
    pub(super) fn line(&self, config: &Config) -> Vec<u8> {
        match config.format {
            LogFormat::Text => self.text(config.call_id),
            LogFormat::Json => self.json(),
        }
    }

    /// of-watchdog's line, and behind it what went wrong.
    fn text(&self, call_id: bool) -> Vec<u8> {
        let mut line = Vec::with_capacity(128 + self.target.len());
        push_time(&mut line);
        for part in [" ", self.method, " ", self.target, " - "] {
            line.extend_from_slice(part.as_bytes());
        }
        decimal::push(&mut line, self.status.into());
        line.extend_from_slice(b" - ContentLength: ");
        push_human_size(&mut line, self.bytes);
        line.extend_from_slice(b" (");
        decimal::push_seconds(&mut line, self.took, 4);
        line.extend_from_slice(b"s)");
        if call_id {
            for part in [" [", self.call_id.unwrap_or("none"), "]"] {
                line.extend_from_slice(part.as_bytes());
            }
        }
        if let Some(error) = self.error {
            line.extend_from_slice(b": ");
            line.extend_from_slice(error.as_bytes());
        }
        line.push(b'\n');
        line
    }

    fn json(&self) -> Vec<u8> {
        let mut object = json!({
            "time": json_time(),
            "level": if self.error.is_some() { "warn" } else { "info" },
            "message": "call",
            "method": self.method,
            "uri": self.target,
            "status": self.status,
            "bytes": self.bytes,
            "seconds": self.took.as_secs_f64(),
        });
        if let Some(call_id) = self.call_id {
            object["call_id"] = call_id.into();
        }
        if let Some(error) = self.error {
            object["error"] = error.into();
        }
        (object.to_string() + "\n").into_bytes()
    }
}

/// Decimal units and four significant digits, as Go's `units.HumanSize` prints them: `285B`,
/// `2.159kB`, `5MB`.
#[expect(clippy::cast_precision_loss, reason = "four digits are printed")]
fn push_human_size(line: &mut Vec<u8>, bytes: u64) {
    if bytes < 1000 {
        decimal::push(line, bytes);
        line.push(b'B');
        return;
    }
    let (mut size, mut unit) = (bytes as f64, 0);
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    while size >= 1000.0 && unit < units.len() - 1 {
        size /= 1000.0;
        unit += 1;
    }
    let decimals = if size >= 100.0 {
        1
    } else if size >= 10.0 {
        2
    } else {
        3
    };
    let digits = format!("{size:.decimals$}");
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    for part in [digits, units[unit]] {
        line.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_before() {
        for (bytes, text) in [
            (0, "0B"),
            (285, "285B"),
            (1000, "1kB"),
            (2159, "2.159kB"),
            (21_590, "21.59kB"),
            (215_900, "215.9kB"),
            (5_000_000, "5MB"),
            (20_971_520, "20.97MB"),
        ] {
            let mut line = Vec::new();
            push_human_size(&mut line, bytes);
            assert_eq!(String::from_utf8(line).unwrap(), text);
        }
    }

    #[test]
    fn lines_say_what_went_over_the_wire() {
        let call = Call {
            method: "GET",
            target: "/a?b",
            status: 200,
            bytes: 285,
            took: Duration::from_micros(1600),
            call_id: None,
            error: Some("the client left"),
        };
        let text = String::from_utf8(call.text(true)).unwrap();
        let expected = "GET /a?b - 200 - ContentLength: 285B (0.0016s) [none]: the client left\n";
        assert!(text.ends_with(expected), "{text}");
        let json: serde_json::Value = serde_json::from_slice(&call.json()).unwrap();
        assert_eq!(json["status"], 200);
        assert_eq!(json["error"], "the client left");
    }
}
