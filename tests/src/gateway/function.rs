//! Functions to deploy, the same for every provider.

use serde_json::{Map, Value, json};

use super::Gateway;
use crate::free_port;

/// What is deployed; its image is the provider's.
#[derive(Clone, Debug)]
pub struct Function {
    fields: Map<String, Value>,
}

impl Function {
    /// A function with this command.
    #[must_use]
    pub fn new(name: &str, command: &str) -> Self {
        let mut fields = Map::new();
        fields.insert("service".to_owned(), name.into());
        fields.insert("envProcess".to_owned(), command.into());
        Self { fields }
    }

    /// `cat`: a process per call, which gives back what it gets.
    #[must_use]
    pub fn cat(name: &str) -> Self {
        Self::new(name, "cat")
    }

    /// A POSIX shell script, run for each call. What it writes to standard error is its log.
    #[must_use]
    pub fn sh(name: &str, script: &str) -> Self {
        Self::new(name, "sh run.sh").env("SCRIPT", script).env("combine_output", "false")
    }

    /// The server that does with each request what the request asks for (`e2e::play`).
    #[must_use]
    pub fn upstream(name: &str) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        Self::new(name, &format!("./upstream {address}"))
            .env("mode", "http")
            .env("http_upstream_url", &format!("http://{address}"))
    }

    /// Sets any field.
    #[must_use]
    pub fn set(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// An environment variable.
    #[must_use]
    pub fn env(self, name: &str, value: &str) -> Self {
        self.put("envVars", name, value)
    }

    /// A label.
    #[must_use]
    pub fn label(self, name: &str, value: &str) -> Self {
        self.put("labels", name, value)
    }

    /// An annotation.
    #[must_use]
    pub fn annotation(self, name: &str, value: &str) -> Self {
        self.put("annotations", name, value)
    }

    /// Its namespace.
    #[must_use]
    pub fn namespace(self, name: &str) -> Self {
        self.set("namespace", name.into())
    }

    /// A secret that it gets.
    #[must_use]
    pub fn secret(mut self, name: &str) -> Self {
        let secrets = self.fields.entry("secrets").or_insert_with(|| json!([]));
        if let Value::Array(secrets) = secrets {
            secrets.push(name.into());
        }
        self
    }

    fn put(mut self, map: &str, name: &str, value: &str) -> Self {
        let map = self.fields.entry(map).or_insert_with(|| json!({}));
        if let Value::Object(map) = map {
            map.insert(name.to_owned(), value.into());
        }
        self
    }

    /// What is sent to `gateway`.
    #[must_use]
    pub fn deployment(&self, gateway: &Gateway) -> Value {
        let mut fields = self.fields.clone();
        let image = gateway.provider().image(gateway.temp_dir());
        fields.entry("image").or_insert_with(|| image.into());
        Value::Object(fields)
    }

    /// `NAME`, or `NAME.NAMESPACE`.
    pub(super) fn path_name(&self) -> String {
        let text = |name: &str| self.fields.get(name).and_then(Value::as_str);
        let name = text("service").unwrap_or_default();
        text("namespace").map_or_else(|| name.to_owned(), |namespace| format!("{name}.{namespace}"))
    }
}
