//! A function as its author asks for it: the `FunctionDeployment` of the faas-provider types.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DEFAULT_NAMESPACE, FunctionId, Policy, check_name, cpus, memory_bytes};
use crate::error::{Error, Result};

/// Of one environment variable with its name, in bytes: `MAX_ARG_STRLEN` (execve(2)).
const LONGEST_VARIABLE: usize = 128 << 10;
/// Of all of them, in bytes: half of what execve(2) takes with the usual stack of 8 MiB. The rest is for the
/// arguments, and for the variables of a call.
const LONGEST_ENVIRONMENT: usize = 1 << 20;

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
        self.check_environment()?;
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

    /// What the kernel would refuse only when the function is started, and without its name.
    fn check_environment(&self) -> Result<()> {
        let invalid = |text| Err(Error::Invalid(text));
        let mut all = 0;
        let variables = self.env_vars.iter().flatten();
        let variables =
            variables.map(|(name, value)| (format!("envVars.{name}"), name.as_str(), value));
        let command = self.env_process.as_ref();
        let command = command.map(|value| ("envProcess".to_owned(), "fprocess", value));
        for (place, name, value) in variables.chain(command) {
            if name.is_empty() || name.contains(['=', '\0']) {
                return invalid(format!("{name:?} is no name for an environment variable"));
            }
            if value.contains('\0') {
                return invalid(format!("{place:?} holds a NUL, which no variable can"));
            }
            let size = name.len() + value.len() + "=\0".len();
            if size > LONGEST_VARIABLE {
                return invalid(format!(
                    "{place:?} is a variable of {size} bytes: Linux takes {LONGEST_VARIABLE}; use a \
                     secret or a file"
                ));
            }
            all += size;
        }
        if all > LONGEST_ENVIRONMENT {
            return invalid(format!(
                "\"envVars\" of {} are {all} bytes together: {LONGEST_ENVIRONMENT} is the most",
                self.service
            ));
        }
        Ok(())
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
    fn what_the_kernel_would_not_take_is_refused() {
        let with = |variables: serde_json::Value| {
            let json = serde_json::json!({"service": "f", "image": "i", "envVars": variables});
            spec(json).check().map_err(|error| error.to_string())
        };
        assert_eq!(with(serde_json::json!({"A": "x".repeat((128 << 10) - 3)})), Ok(()));
        let error = with(serde_json::json!({"A": "x".repeat((128 << 10) - 2)})).unwrap_err();
        assert!(error.contains("envVars.A"), "{error}");
        let many: BTreeMap<String, String> =
            (0..11).map(|n| (format!("A{n}"), "x".repeat(100_000))).collect();
        let error = with(serde_json::json!(many)).unwrap_err();
        assert!(error.contains("1048576"), "{error}");
    }

    #[test]
    fn empty_namespace_is_the_default_one() {
        let spec = spec(serde_json::json!({"service": "f", "image": "i", "namespace": ""}));
        assert_eq!(spec.id().unwrap().to_string(), "f.openfaas-fn");
    }
}
