//! `tracing`'s events as lines. There are no spans in this program.

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::{Log, clock};
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
        clock::text(&mut line);
        line.push(b' ');
        line.extend_from_slice(self.message.as_bytes());
        for (name, value) in self.others {
            line.extend_from_slice(format!(" {name}={value}").as_bytes());
        }
        line.push(b'\n');
        line
    }

    fn json(self, level: &Level) -> Vec<u8> {
        let mut object = Map::new();
        object.insert("time".into(), clock::json().into());
        object.insert("level".into(), level.as_str().to_ascii_lowercase().into());
        object.insert("message".into(), self.message.into());
        for (name, value) in self.others {
            object.insert(name.into(), value.into());
        }
        (Value::Object(object).to_string() + "\n").into_bytes()
    }
}
