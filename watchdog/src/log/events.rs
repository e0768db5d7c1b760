//! `tracing`'s events as lines. There are no spans in this program.

use std::{fmt, sync::Arc, time::Instant};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{
    Log, clock,
    printable::{push_json, push_printable},
};
use crate::settings::LogFormat;

pub(super) struct Events(pub(super) Arc<Log>);

impl Subscriber for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = match self.0.config.format {
            LogFormat::Text => fields.text(),
            LogFormat::Json => fields.json(event.metadata().level()),
        };
        self.0.err.push(&line);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.others.push((field.name(), value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Fields {
    fn text(self) -> Vec<u8> {
        let mut line = Vec::with_capacity(128);
        clock::text(&mut line, Instant::now());
        line.push(b' ');
        // The tab is ours: of-watchdog's first lines have one.
        for (number, part) in self.message.split('\t').enumerate() {
            if number > 0 {
                line.push(b'\t');
            }
            push_printable(&mut line, part);
        }
        for (name, value) in self.others {
            for part in [" ", name, "=", &value] {
                push_printable(&mut line, part);
            }
        }
        line.push(b'\n');
        line
    }

    fn json(self, level: &Level) -> Vec<u8> {
        let mut object = Map::new();
        object.insert("time".into(), clock::json(Instant::now()).into());
        object.insert("level".into(), level.as_str().to_ascii_lowercase().into());
        object.insert("message".into(), self.message.into());
        for (name, value) in self.others {
            object.insert(name.into(), value.into());
        }
        let mut line = Vec::with_capacity(128);
        push_json(&mut line, &Value::Object(object));
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_cannot_end_a_line_or_steer_a_terminal() {
        let fields = || Fields {
            message: "mode:\tfprocess \u{1b}[2J\nforged".into(),
            others: vec![("key", "\u{9b}31m\r\u{2028}".into())],
        };
        let text = String::from_utf8(fields().text()).unwrap();
        let expected = " mode:\tfprocess \\u{1b}[2J\\nforged key=\\u{9b}31m\\r\\u{2028}\n";
        assert!(text.ends_with(expected), "{text:?}");
        let json = String::from_utf8(fields().json(&Level::INFO)).unwrap();
        let commands = |c: char| c.is_control() || c == '\u{2028}';
        assert!(!json.trim_end_matches('\n').contains(commands), "{json:?}");
        let value: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["message"], fields().message);
        assert_eq!(value["key"], "\u{9b}31m\r\u{2028}");
    }
}
