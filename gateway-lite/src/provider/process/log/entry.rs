//! One line of a log file.

use serde::Deserialize;
use serde_json::{Map, Value};
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::well_known::Rfc3339,
    macros::format_description,
};

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: OffsetDateTime,
    pub(super) text: String,
    /// The watchdog says so whether or not anything is wrong.
    pub(super) is_routine: bool,
}

/// A line of the watchdog, as it writes them with `log_format=json`.
#[derive(Deserialize)]
struct Json {
    time: Option<String>,
    /// The function's.
    line: Option<String>,
    stream: Option<String>,
    /// Its own.
    message: Option<String>,
    level: Option<String>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Entry {
    /// Reads one. A line that has no time of its own was written at about `before`.
    pub(super) fn parse(line: &str, before: OffsetDateTime) -> Self {
        if line.starts_with('{')
            && let Ok(json) = serde_json::from_str::<Json>(line)
            && let Some(entry) = json.entry(before)
        {
            return entry;
        }
        Self { at: time_in_front(line).unwrap_or(before), text: line.to_owned(), is_routine: false }
    }
}

impl Json {
    /// `None` for an object that is the function's own.
    fn entry(self, before: OffsetDateTime) -> Option<Entry> {
        let time = self.time.as_deref().and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        let at = time.unwrap_or(before);
        if let (Some(text), Some(_)) = (&self.line, &self.stream) {
            return Some(Entry { at, text: text.clone(), is_routine: false });
        }
        let (message, level) = (self.message.as_deref()?, self.level.as_deref()?);
        let field = |name| match self.others.get(name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        let text = if message == "call" && self.others.contains_key("uri") {
            // As the same line reads with `log_format=text`.
            let seconds = self.others.get("seconds").and_then(Value::as_f64).unwrap_or_default();
            let error = self.others.get("error").map(|_| format!(": {}", field("error")));
            format!(
                "{} {} - {} - ContentLength: {}B ({seconds:.4}s){}",
                field("method"),
                field("uri"),
                field("status"),
                field("bytes"),
                error.unwrap_or_default()
            )
        } else {
            self.others
                .keys()
                .fold(message.to_owned(), |text, name| format!("{text} {name}={}", field(name)))
        };
        Some(Entry { at, text, is_routine: level == "info" })
    }
}

/// The time that text lines of the watchdog begin with.
fn time_in_front(line: &str) -> Option<OffsetDateTime> {
    let form = format_description!("[year]/[month]/[day] [hour]:[minute]:[second]");
    let time = PrimitiveDateTime::parse(line.get(..19)?, form).ok()?;
    Some(time.assume_utc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const BEFORE: OffsetDateTime = datetime!(2026-01-01 00:00:00 UTC);
    const THEN: OffsetDateTime = datetime!(2026-11-23 08:01:14.5 UTC);

    #[test]
    fn lines_of_the_watchdog_read_as_people_expect() {
        let rows = [
            (r#"{"line":"hi","stream":"stdout","time":"2026-11-23T08:01:14.500Z"}"#, THEN, "hi"),
            (
                r#"{"time":"2026-11-23T08:01:14.500Z","level":"info","message":"a b","x":1,"y":"z"}"#,
                THEN,
                "a b x=1 y=z",
            ),
            (
                r#"{"time":"2026-11-23T08:01:14.500Z","level":"info","message":"call","method":"GET","uri":"/a","status":200,"bytes":5,"seconds":0.0012}"#,
                THEN,
                "GET /a - 200 - ContentLength: 5B (0.0012s)",
            ),
            ("panicked at", BEFORE, "panicked at"),
            (r#"{"message":"own"}"#, BEFORE, r#"{"message":"own"}"#),
            ("{", BEFORE, "{"),
            (
                "2026/11/23 08:01:14 stdout: hi",
                datetime!(2026-11-23 08:01:14 UTC),
                "2026/11/23 08:01:14 stdout: hi",
            ),
        ];
        for (line, at, text) in rows {
            let entry = Entry::parse(line, BEFORE);
            assert_eq!((entry.at, entry.text.as_str()), (at, text), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_too_strange(line in ".{0,60}") {
            let entry = Entry::parse(&line, BEFORE);
            let is_text = line.is_empty() || line.starts_with('{');
            prop_assert!(is_text || entry.text == line);
        }

        #[test]
        fn lines_of_functions_are_given_back(line in any::<String>()) {
            let json = serde_json::json!({"line": line, "stream": "stderr", "time": "x"});
            prop_assert_eq!(Entry::parse(&json.to_string(), BEFORE).text, line);
        }
    }
}
