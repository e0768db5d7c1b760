//! A function as its author asks for it: the `FunctionDeployment` of the faas-provider types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DEFAULT_NAMESPACE, FunctionId, Policy, check_name, cpus, memory_bytes};
use crate::error::{Error, Result};

/// What faas-cli and connectors send. It is kept and given back word for word; fields that it does
/// not have are ignored, as clients of other ages send them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FunctionSpec {
    /// The function's name.
    pub service: String,
    /// An image; for the process provider the function's directory.
    pub image: String,
    /// Empty for the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The command, as the variable `fprocess`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_process: Option<String>,
    /// Its environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_vars: Option<BTreeMap<String, String>>,
    /// Where it may run; kept, and without meaning on one machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraints: Option<Vec<String>>,
    /// Names of secrets of its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<String>>,
    /// Labels, among them those of scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations, among them topics and our own options; see [`Policy`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
    /// What it may use at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<Resources>,
    /// What it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Resources>,
    /// Whether it may only write to `/tmp`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub read_only_root_filesystem: bool,
}

/// Amounts as Kubernetes writes them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Option<String>>")]
pub struct Resources {
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// Processors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// What else there is, such as GPUs; kept.
    #[serde(flatten)]
    pub others: BTreeMap<String, String>,
}

/// Read as the map that it is, so that a mistake has the name of its field.
impl From<BTreeMap<String, Option<String>>> for Resources {
    fn from(mut all: BTreeMap<String, Option<String>>) -> Self {
        let (memory, cpu) = (all.remove("memory").flatten(), all.remove("cpu").flatten());
        let others = all.into_iter().filter_map(|(name, amount)| Some((name, amount?)));
        Self { memory, cpu, others: others.collect() }
    }
}

impl FunctionSpec {
    /// Whose specification it is.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that cannot be one.
    pub fn id(&self) -> Result<FunctionId> {
        FunctionId::new(&self.service, self.namespace())
    }

    /// Its namespace, or the default one.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_NAMESPACE)
    }

    /// All that can be said without a back end.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first thing that is wrong.
    pub fn check(&self) -> Result<()> {
        if self.service.is_empty() {
            return Err(Error::Invalid("\"service\" is missing: name the function".to_owned()));
        }
        self.id()?;
        if self.image.trim().is_empty() {
            let text = format!("\"image\" of function {} is missing", self.service);
            return Err(Error::Invalid(text));
        }
        for secret in self.secrets.iter().flatten() {
            check_name("secret", secret)?;
        }
        for (name, value) in self.env_vars.iter().flatten() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let text = format!("{name:?} is no name for an environment variable");
                return Err(Error::Invalid(text));
            }
            if value.contains('\0') {
                let text = format!("\"envVars.{name}\" holds a NUL, which no variable can");
                return Err(Error::Invalid(text));
            }
        }
        if self.env_process.as_ref().is_some_and(|command| command.contains('\0')) {
            let text = "\"envProcess\" holds a NUL, which no command can".to_owned();
            return Err(Error::Invalid(text));
        }
        for (place, resources) in [("limits", &self.limits), ("requests", &self.requests)] {
            let Some(resources) = resources else { continue };
            let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
            let within = |error| Error::Invalid(format!("{place} of {}: {error}", self.service));
            let memory = given(&resources.memory).map(|text| memory_bytes(&text));
            memory.transpose().map_err(within)?;
            given(&resources.cpu).map(|text| cpus(&text)).transpose().map_err(within)?;
        }
        Policy::of(self).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> FunctionSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn what_was_sent_is_given_back() {
        let json = serde_json::json!({
            "service": "f", "image": "a/b:c", "namespace": "n", "envProcess": "cat",
            "envVars": {"a": "b=c"}, "constraints": ["x=y"], "secrets": ["s"], "labels": {},
            "annotations": {"topic": "t"}, "limits": {"memory": "64Mi", "nvidia.com/gpu": "1"},
            "requests": {"cpu": "100m"}, "readOnlyRootFilesystem": true,
        });
        assert_eq!(serde_json::to_value(spec(json.clone())).unwrap(), json);
    }

    #[test]
    fn every_mistake_is_named() {
        let rows = [
            (serde_json::json!({"image": "i"}), "service"),
            (serde_json::json!({"service": "f"}), "image"),
            (serde_json::json!({"service": "F", "image": "i"}), "\"F\""),
            (serde_json::json!({"service": "f", "image": "i", "namespace": "a/b"}), "namespace"),
            (serde_json::json!({"service": "f", "image": "i", "secrets": ["../x"]}), "secret"),
            (serde_json::json!({"service": "f", "image": "i", "envVars": {"a=b": ""}}), "a=b"),
            (serde_json::json!({"service": "f", "image": "i", "limits": {"memory": "1Q"}}), "1Q"),
            (serde_json::json!({"service": "f", "image": "i", "limits": {"cpu": "1Q"}}), "limits"),
            (
                serde_json::json!({"service": "f", "image": "i", "envVars": {"a": "\0"}}),
                "envVars.a",
            ),
            (serde_json::json!({"service": "f", "image": "i", "envProcess": "\0"}), "envProcess"),
            (serde_json::json!({"service": "f", "image": "i", "requests": {"cpu": "x"}}), "\"x\""),
        ];
        for (json, named) in rows {
            let error = spec(json).check().unwrap_err().to_string();
            assert!(error.contains(named), "{named}: {error}");
        }
    }

    #[test]
    fn empty_namespace_is_the_default_one() {
        let spec = spec(serde_json::json!({"service": "f", "image": "i", "namespace": ""}));
        assert_eq!(spec.id().unwrap().to_string(), "f.openfaas-fn");
    }
}
