//! The access line: one a call, equal to what went over the wire.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use modes::decimal;
use serde::Serialize;

use super::{
    Config, clock,
    printable::{self, push_printable},
    size,
};
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
    /// When it ended.
    pub at: Instant,
    /// From the request head to the end of the response.
    pub took: Duration,
    /// `X-Call-Id`, if there was one.
    pub call_id: Option<&'a str>,
    /// What went wrong, if anything.
    pub error: Option<&'a str>,
}

thread_local! {
    /// The line in the making: its room is used again.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Lines longer than this give their room back.
const KEPT: usize = 4096;

impl Call<'_> {
    /// Gives the line to `push`.
    pub(super) fn write(&self, config: &Config, push: impl FnOnce(&[u8])) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            match config.format {
                LogFormat::Text => self.text(config.call_id, line),
                LogFormat::Json => self.json(line),
            }
            line.push(b'\n');
            push(line);
            line.shrink_to(KEPT);
        });
    }

    /// of-watchdog's line, and behind it what went wrong.
    fn text(&self, call_id: bool, line: &mut Vec<u8>) {
        clock::text(line, self.at);
        for part in [" ", self.method, " ", self.target] {
            push_printable(line, part);
        }
        line.extend_from_slice(b" - ");
        decimal::push(line, self.status.into());
        line.extend_from_slice(b" - ContentLength: ");
        size::push(line, self.bytes);
        line.extend_from_slice(b" (");
        decimal::push_seconds(line, self.took, 4);
        line.extend_from_slice(b"s)");
        if call_id {
            for part in [" [", self.call_id.unwrap_or("none"), "]"] {
                push_printable(line, part);
            }
        }
        if let Some(error) = self.error {
            line.extend_from_slice(b": ");
            push_printable(line, error);
        }
    }

    fn json(&self, line: &mut Vec<u8>) {
        let object = Json {
            time: &clock::json(self.at),
            level: if self.error.is_some() { "warn" } else { "info" },
            message: "call",
            method: self.method,
            uri: self.target,
            status: self.status,
            bytes: self.bytes,
            seconds: self.took.as_secs_f64(),
            call_id: self.call_id,
            error: self.error,
        };
        printable::push_json(line, &object);
    }
}

#[derive(Serialize)]
struct Json<'a> {
    time: &'a str,
    level: &'a str,
    message: &'a str,
    method: &'a str,
    uri: &'a str,
    status: u16,
    bytes: u64,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_say_what_went_over_the_wire() {
        let call = Call {
            method: "GET",
            target: "/a?b",
            status: 200,
            bytes: 285,
            at: Instant::now(),
            took: Duration::from_micros(1600),
            call_id: None,
            error: Some("the client left"),
        };
        let mut text = Vec::new();
        call.text(true, &mut text);
        let text = String::from_utf8(text).unwrap();
        let expected = "GET /a?b - 200 - ContentLength: 285B (0.0016s) [none]: the client left";
        assert!(text.ends_with(expected), "{text}");
        let mut json = Vec::new();
        call.json(&mut json);
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["status"], 200);
        assert_eq!(json["error"], "the client left");
    }

    proptest! {
        #[test]
        fn lines_of_any_call_are_one_line_without_commands(
            method in "(?s).{0,8}",
            target in prop_oneof![
                "(?s).{0,24}",
                "[a\\\\\"\x00-\x20\x7f-\u{a0}\u{2028}\u{2029}]{0,12}",
            ],
            call_id in proptest::option::of("(?s).{0,8}"),
            error in proptest::option::of("(?s).{0,8}"),
            (status, bytes, took) in (any::<u16>(), any::<u64>(), any::<Duration>()),
        ) {
            let (call_id, error) = (call_id.as_deref(), error.as_deref());
            let (method, target) = (method.as_str(), target.as_str());
            let at = Instant::now();
            let call = Call { method, target, status, bytes, at, took, call_id, error };
            let (mut text, mut json) = (Vec::new(), Vec::new());
            call.text(true, &mut text);
            call.json(&mut json);
            let [text, json] = [text, json].map(|line| String::from_utf8(line).unwrap());
            for line in [&text, &json] {
                let command = |c: char| c.is_control() || c == '\u{2028}' || c == '\u{2029}';
                prop_assert!(!line.contains(command), "{:?}", line);
            }
            let json: serde_json::Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(json["method"].as_str(), Some(method));
            prop_assert_eq!(json["uri"].as_str(), Some(target));
            prop_assert_eq!(json["status"].as_u64(), Some(status.into()));
            prop_assert_eq!(json["bytes"].as_u64(), Some(bytes));
            prop_assert_eq!(json["call_id"].as_str(), call_id);
            prop_assert_eq!(json["error"].as_str(), error);
        }
    }
}
