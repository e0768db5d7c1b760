//! A function as clients see it: the `FunctionStatus` of the faas-provider types.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::FunctionSpec;

/// How the problem of a function begins that only has not started yet, as far as anybody knows.
pub const NOT_YET: &str = "not ready yet: ";

/// What was deployed, word for word, and live counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FunctionStatus {
    /// The function's name.
    pub name: String,
    /// Its namespace, also where the specification named none.
    pub namespace: String,
    /// What was deployed.
    #[serde(flatten)]
    pub spec: Deployed,
    /// Calls that were answered since the function was first deployed.
    pub invocation_count: u64,
    /// How many replicas are wanted.
    pub replicas: u32,
    /// How many take calls.
    pub available_replicas: u32,
    /// When this version was deployed.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// What keeps it from what was asked of it, if anything does; ours, and ignored by others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What its replicas use now, if that was asked for and can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// A specification without the names that the status has fields of its own for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Deployed(serde_json::Value);

impl Deployed {
    /// That of `spec`.
    #[must_use]
    pub fn new(spec: &FunctionSpec) -> Self {
        // A specification is made of texts; nothing in it has no JSON form.
        let mut value = serde_json::to_value(spec).unwrap_or_default();
        if let Some(fields) = value.as_object_mut() {
            fields.remove("service");
            fields.remove("namespace");
        }
        Self(value)
    }
}

/// What replicas use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Thousandths of a CPU.
    pub cpu: f64,
    /// Bytes.
    #[serde(rename = "totalMemoryBytes")]
    pub memory: f64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.cpu += other.cpu;
        self.memory += other.memory;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_has_the_fields_that_clients_read() {
        let spec: FunctionSpec = serde_json::from_value(serde_json::json!({
            "service": "f", "image": "i", "namespace": "n", "labels": {}, "limits": {"memory": "5Mi"},
        }))
        .unwrap();
        let status = FunctionStatus {
            name: "f".to_owned(),
            namespace: "n".to_owned(),
            spec: Deployed::new(&spec),
            invocation_count: 3,
            replicas: 2,
            available_replicas: 1,
            created_at: OffsetDateTime::UNIX_EPOCH,
            problem: None,
            usage: None,
        };
        let expected = serde_json::json!({
            "name": "f", "namespace": "n", "image": "i", "labels": {}, "limits": {"memory": "5Mi"},
            "invocationCount": 3, "replicas": 2, "availableReplicas": 1,
            "createdAt": "1970-01-01T00:00:00Z",
        });
        assert_eq!(serde_json::to_value(status).unwrap(), expected);
    }
}
