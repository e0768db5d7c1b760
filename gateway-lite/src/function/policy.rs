//! What labels and annotations say about how a function is served.

use std::time::Duration;

use watchdog::duration::GoDuration;

use super::{FunctionSpec, check_name};
use crate::error::{Error, Result};

/// Annotation: the longest a call may take, as `30s`; whole seconds without a unit.
pub const TIMEOUT: &str = "dev.kennel.timeout";
/// Annotation: the secret whose content callers have to show.
pub const KEY: &str = "dev.kennel.key";
/// Annotation: `true` for a function that only other functions reach.
pub const INTERNAL: &str = "dev.kennel.internal";
/// Annotation of OpenFaaS: the path that says whether a replica is ready.
pub const READY_PATH: &str = "com.openfaas.ready.http.path";
/// Label of OpenFaaS: the fewest replicas, and the number at the start.
pub const SCALE_MIN: &str = "com.openfaas.scale.min";
/// Label of OpenFaaS: the most replicas.
pub const SCALE_MAX: &str = "com.openfaas.scale.max";
/// Label of OpenFaaS: how many percent of the most one alert adds; 0 for none.
pub const SCALE_FACTOR: &str = "com.openfaas.scale.factor";
/// Label of OpenFaaS: whether an idle function loses its last replica.
pub const SCALE_ZERO: &str = "com.openfaas.scale.zero";
/// Label of OpenFaaS: how long it is idle before.
pub const SCALE_ZERO_DURATION: &str = "com.openfaas.scale.zero-duration";

/// How a function is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The longest a call may take; `None` for the gateway's own limit.
    pub timeout: Option<Duration>,
    /// The secret that holds the key of its callers.
    pub key: Option<String>,
    /// Whether only other functions reach it.
    pub internal: bool,
    /// The path that says whether a replica is ready; `None` for the watchdog's.
    pub ready_path: Option<String>,
    /// The fewest replicas, and the number at the start.
    pub min: u32,
    /// The most replicas.
    pub max: u32,
    /// How many percent of `max` one alert adds.
    pub factor: u32,
    /// How long it has to be idle to lose its last replica; `None` when it keeps it.
    pub idle: Option<Duration>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: None,
            key: None,
            internal: false,
            ready_path: None,
            min: 1,
            max: 20,
            factor: 10,
            idle: None,
        }
    }
}

impl Policy {
    /// Reads that of `spec`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first value that cannot be taken, and where it stands.
    pub fn of(spec: &FunctionSpec) -> Result<Self> {
        let annotation = |name| spec.annotations.as_ref().and_then(|all| all.get(name));
        let label = |name| spec.labels.as_ref().and_then(|all| all.get(name));
        check_names(spec)?;
        let mut policy = Self::default();
        if let Some(text) = annotation(TIMEOUT) {
            policy.timeout = Some(duration("annotation", TIMEOUT, text)?);
        }
        if let Some(name) = annotation(KEY) {
            check_name("secret", name)?;
            policy.key = Some(name.clone());
        }
        if let Some(text) = annotation(INTERNAL) {
            policy.internal = boolean("annotation", INTERNAL, text)?;
        }
        if let Some(path) = annotation(READY_PATH) {
            policy.ready_path = Some(request_path(path)?);
        }
        if let Some(text) = label(SCALE_MAX) {
            policy.max = number(SCALE_MAX, text, 1)?;
        }
        if let Some(text) = label(SCALE_MIN) {
            policy.min = number(SCALE_MIN, text, 0)?;
        }
        if let Some(text) = label(SCALE_FACTOR) {
            policy.factor = number(SCALE_FACTOR, text, 0)?.min(100);
        }
        if policy.min > policy.max {
            let (min, max) = (policy.min, policy.max);
            if label(SCALE_MAX).is_some() {
                let text = format!("label {SCALE_MIN}={min} is more than {SCALE_MAX}={max}");
                return Err(Error::Invalid(text));
            }
            policy.max = min;
        }
        if label(SCALE_ZERO).map(|text| boolean("label", SCALE_ZERO, text)).transpose()?
            == Some(true)
        {
            let idle = label(SCALE_ZERO_DURATION);
            let idle = idle.map(|text| duration("label", SCALE_ZERO_DURATION, text)).transpose()?;
            policy.idle = Some(idle.unwrap_or(Duration::from_secs(15 * 60)));
        }
        Ok(policy)
    }
}

/// A path that can be asked for, whether or not it began with a slash.
fn request_path(text: &str) -> Result<String> {
    let path = format!("/{}", text.trim_start_matches('/'));
    match path.parse::<http::uri::PathAndQuery>() {
        // Parsed, it has no fragment any more.
        Ok(parsed) if parsed.as_str() == path => Ok(path),
        _ => Err(Error::Invalid(format!(
            "annotation {READY_PATH}={text:?} is no path: what is not allowed in one is written as %20"
        ))),
    }
}

/// What begins as ours is ours: a misspelt `dev.kennel.internal` would be a function that everybody
/// reaches.
fn check_names(spec: &FunctionSpec) -> Result<()> {
    const PREFIX: &str = "dev.kennel.";
    const KNOWN: [&str; 3] = [INTERNAL, KEY, TIMEOUT];
    let ours = |name: &&String| name.starts_with(PREFIX);
    let annotations = spec.annotations.iter().flat_map(|all| all.keys());
    if let Some(name) = annotations.filter(ours).find(|name| !KNOWN.contains(&name.as_str())) {
        let known = KNOWN.join(", ");
        return Err(Error::Invalid(format!("annotation {name} is unknown: there are {known}")));
    }
    if let Some(name) = spec.labels.iter().flat_map(|all| all.keys()).find(ours) {
        return Err(Error::Invalid(format!("label {name}: what begins so is an annotation")));
    }
    Ok(())
}

/// More replicas than that are a mistake on one machine.
const MOST: u32 = 1000;

fn number(name: &str, text: &str, least: u32) -> Result<u32> {
    text.trim().parse().ok().filter(|number| (least..=MOST).contains(number)).ok_or_else(|| {
        Error::Invalid(format!("label {name}={text:?} is no number from {least} to {MOST}"))
    })
}

fn boolean(what: &str, name: &str, text: &str) -> Result<bool> {
    match text.trim() {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(Error::Invalid(format!("{what} {name}={text:?} is neither true nor false"))),
    }
}

fn duration(what: &str, name: &str, text: &str) -> Result<Duration> {
    let read = watchdog::duration::parse_setting(text.trim()).and_then(GoDuration::positive);
    read.ok_or_else(|| {
        Error::Invalid(format!("{what} {name}={text:?} is no duration: write it as 500ms, 30s, 5m"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(json: serde_json::Value) -> Result<Policy> {
        Policy::of(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn everything_has_a_default() {
        assert_eq!(policy(serde_json::json!({})).unwrap(), Policy::default());
    }

    #[test]
    fn everything_can_be_said() {
        let json = serde_json::json!({
            "annotations": {TIMEOUT: "90", KEY: "k", INTERNAL: "true", READY_PATH: "up"},
            "labels": {SCALE_MIN: "2", SCALE_MAX: "4", SCALE_ZERO: "true", SCALE_ZERO_DURATION: "5m",
                SCALE_FACTOR: "0"},
        });
        let expected = Policy {
            timeout: Some(Duration::from_secs(90)),
            key: Some("k".to_owned()),
            internal: true,
            ready_path: Some("/up".to_owned()),
            min: 2,
            max: 4,
            factor: 0,
            idle: Some(Duration::from_secs(300)),
        };
        assert_eq!(policy(json).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        for (place, name, value, named) in [
            ("annotations", TIMEOUT, "soon", "soon"),
            ("annotations", TIMEOUT, "0", "\"0\""),
            ("annotations", KEY, "../k", "../k"),
            ("annotations", INTERNAL, "maybe", "maybe"),
            ("annotations", READY_PATH, "/is ready", "/is ready"),
            ("annotations", READY_PATH, "/a\r\nX: y", READY_PATH),
            ("annotations", READY_PATH, "/up#soon", READY_PATH),
            ("annotations", "dev.kennel.intrenal", "true", "dev.kennel.intrenal"),
            ("labels", INTERNAL, "true", INTERNAL),
            ("labels", SCALE_MIN, "-1", "-1"),
            ("labels", SCALE_MAX, "0", "\"0\""),
            ("labels", SCALE_MAX, "99999999999", "99999999999"),
        ] {
            let error = policy(serde_json::json!({place: {name: value}})).unwrap_err().to_string();
            assert!(error.contains(named), "{name}={value}: {error}");
        }
        let json = serde_json::json!({"labels": {SCALE_MIN: "3", SCALE_MAX: "2"}});
        assert!(policy(json).unwrap_err().to_string().contains("more than"));
    }

    #[test]
    fn more_replicas_at_the_start_raise_the_limit_that_nobody_set() {
        assert_eq!(policy(serde_json::json!({"labels": {SCALE_MIN: "30"}})).unwrap().max, 30);
    }
}
