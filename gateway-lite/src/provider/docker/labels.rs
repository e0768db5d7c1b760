//! All that is known of an instance, as the labels of its container.

use std::{collections::HashMap, sync::Arc};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    error::{Error, Result},
    function::FunctionId,
    provider::Order,
};

/// Whose container it is: the mark of a data directory.
pub(super) const GATEWAY: &str = "dev.kennel.gateway";
/// The instance's own name.
pub(super) const INSTANCE: &str = "dev.kennel.instance";
const FUNCTION: &str = "dev.kennel.function";
const NAMESPACE: &str = "dev.kennel.namespace";
const REVISION: &str = "dev.kennel.revision";
const DEPLOYED: &str = "dev.kennel.deployed";
const SPEC: &str = "dev.kennel.spec";
const PORT: &str = "dev.kennel.port";
/// What other tools look for.
const FAAS: &str = "faas_function";

/// What the labels of a container say.
#[derive(Clone, Debug)]
pub(super) struct Labels {
    /// The instance's name.
    pub(super) instance: String,
    /// What it was made from; its secrets are only known to its container.
    pub(super) order: Order,
    /// Where it listens.
    pub(super) port: u16,
}

impl Labels {
    /// As the engine keeps them.
    pub(super) fn write(&self, gateway: &str) -> Result<HashMap<String, String>> {
        let text = |error: &dyn std::fmt::Display| {
            Error::Failed(format!("cannot write down {}: {error}", self.order.function))
        };
        let spec = serde_json::to_string(&*self.order.spec).map_err(|error| text(&error))?;
        let deployed = self.order.deployed.format(&Rfc3339).map_err(|error| text(&error))?;
        let function = &self.order.function;
        let pairs = [
            (GATEWAY, gateway.to_owned()),
            (INSTANCE, self.instance.clone()),
            (FUNCTION, function.name().to_owned()),
            (NAMESPACE, function.namespace().to_owned()),
            (REVISION, self.order.revision.to_string()),
            (DEPLOYED, deployed),
            (SPEC, spec),
            (PORT, self.port.to_string()),
            (FAAS, function.name().to_owned()),
        ];
        Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// As they were written; `None` if they were not.
    pub(super) fn read(labels: &HashMap<String, String>) -> Option<Self> {
        let get = |name: &str| labels.get(name).map(String::as_str);
        let spec = serde_json::from_str(get(SPEC)?).ok()?;
        let order = Order {
            spec: Arc::new(spec),
            function: FunctionId::new(get(FUNCTION)?, get(NAMESPACE)?).ok()?,
            revision: get(REVISION)?.parse().ok()?,
            deployed: OffsetDateTime::parse(get(DEPLOYED)?, &Rfc3339).ok()?,
            secrets: Vec::new(),
        };
        let instance = get(INSTANCE)?.to_owned();
        Some(Self { instance, order, port: get(PORT)?.parse().ok()? })
    }

    /// The name of the container.
    pub(super) fn container(&self) -> String {
        format!("kennel.{}.{}", self.order.function.namespace(), self.instance)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::function::FunctionSpec;

    fn labels(spec: FunctionSpec) -> Labels {
        let order = Order {
            function: FunctionId::new("f", "ns").unwrap(),
            spec: Arc::new(spec),
            revision: u64::MAX,
            deployed: OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_456_789).unwrap(),
            secrets: Vec::new(),
        };
        Labels { instance: "f-1".to_owned(), order, port: 8081 }
    }

    #[test]
    fn what_is_not_ours_is_no_instance() {
        let mut all = labels(FunctionSpec::default()).write("g").unwrap();
        assert_eq!((all[FAAS].as_str(), all[GATEWAY].as_str()), ("f", "g"));
        for name in [SPEC, REVISION, FUNCTION, PORT] {
            let before = all.insert(name.to_owned(), "?".to_owned()).unwrap();
            assert!(Labels::read(&all).is_none(), "{name}");
            all.insert(name.to_owned(), before);
        }
        assert!(Labels::read(&all).is_some());
        assert!(Labels::read(&HashMap::new()).is_none());
    }

    proptest! {
        #[test]
        fn everything_is_read_back(image in ".*", name in "[^=\0]+", value in ".*") {
            let env = [(name.clone(), value.clone())].into();
            let spec = FunctionSpec {
                image, env_vars: Some(env), labels: Some([(name, value)].into()),
                ..FunctionSpec::default()
            };
            let labels = labels(spec);
            let read = Labels::read(&labels.write("g").unwrap()).unwrap();
            prop_assert_eq!(&read.order.spec, &labels.order.spec);
            prop_assert_eq!(read.order.deployed, labels.order.deployed);
            prop_assert_eq!((read.order.revision, read.port), (u64::MAX, 8081));
            prop_assert_eq!(read.container(), "kennel.ns.f-1");
        }
    }
}
