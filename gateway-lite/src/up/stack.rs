//! A stack file: functions as faas-cli's users write them down.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{nearest, substitute::substitute};
use crate::error::{Error, Result};

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stack {
    #[expect(dead_code, reason = "there is one version")]
    version: Option<String>,
    #[serde(default)]
    pub(super) provider: ProviderPart,
    #[serde(default)]
    pub(super) functions: BTreeMap<String, FunctionPart>,
    /// Of building and of templates, which are taken from the folder as they are.
    #[expect(dead_code, reason = "see above")]
    configuration: Option<Configuration>,
}

/// Where to deploy to.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProviderPart {
    pub(super) name: Option<String>,
    pub(super) gateway: Option<String>,
    #[expect(dead_code, reason = "old files have it")]
    network: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "known, so that it is no mistake")]
struct Configuration {
    templates: Option<Vec<BTreeMap<String, String>>>,
    copy: Option<Vec<String>>,
}

/// One function.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FunctionPart {
    pub(super) lang: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) image: Option<String>,
    pub(super) fprocess: Option<String>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) environment_file: Vec<String>,
    pub(super) secrets: Vec<String>,
    pub(super) skip_build: bool,
    pub(super) constraints: Option<Vec<String>>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) namespace: Option<String>,
    pub(super) limits: Option<Amounts>,
    pub(super) requests: Option<Amounts>,
    pub(super) readonly_root_filesystem: bool,
    pub(super) build_args: BTreeMap<String, String>,
    pub(super) build_options: Vec<String>,
    pub(super) build_secrets: BTreeMap<String, String>,
    pub(super) platforms: Option<String>,
}

/// Memory and processors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Amounts {
    pub(super) memory: Option<String>,
    pub(super) cpu: Option<String>,
}

/// An environment file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvironmentFile {
    environment: BTreeMap<String, String>,
}

/// Reads a stack file's text.
///
/// # Errors
/// [`Error::Invalid`] with the file, the place and what is wrong there; an unknown key with the
/// nearest known one.
pub(super) fn parse(
    path: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<Stack> {
    let stack: Stack = read(path, text, environment)?;
    if let Some(name) = stack.provider.name.as_deref().filter(|name| *name != "openfaas") {
        let text = format!("{}: provider.name is {name:?}: it has to be openfaas", path.display());
        return Err(Error::Invalid(text));
    }
    if stack.functions.is_empty() {
        return Err(Error::Invalid(format!("{}: there are no functions in it", path.display())));
    }
    Ok(stack)
}

/// The variables of an environment file.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_environment(
    path: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    read::<EnvironmentFile>(path, text, environment).map(|file| file.environment)
}

fn read<T: for<'a> Deserialize<'a>>(
    path: &Path,
    text: &str,
    environment: &BTreeMap<String, String>,
) -> Result<T> {
    let about = |why: String| Error::Invalid(format!("{}: {why}", path.display()));
    let text = substitute(text, environment).map_err(|error| about(error.to_string()))?;
    serde_saphyr::from_str(&text).map_err(|error| {
        let error = error.to_string();
        // What follows the first line shows the place.
        let (what, place) = error.split_once('\n').unwrap_or((&error, ""));
        about(format!("{what}{}\n{place}", nearest::hint(what)).trim_end().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stack(text: &str) -> Result<Stack> {
        parse(Path::new("stack.yaml"), text, &BTreeMap::from([("TAG".to_owned(), "7".to_owned())]))
    }

    const WHOLE: &str = r#"
version: 1.0
provider:
  name: openfaas
  gateway: http://127.0.0.1:8080
functions:
  f:
    lang: dockerfile
    handler: ./f
    image: a/f:${TAG}
    fprocess: "cat -n"
    environment: {read_timeout: 10, debug: true, pi: 1.10, s: "x"}
    environment_file: [a.yml]
    secrets: [s]
    constraints: ["k=v"]
    labels: {com.openfaas.scale.min: 2}
    annotations: {topic: t}
    namespace: n
    limits: {memory: 64Mi, cpu: 100m}
    requests: {cpu: 0.5}
    readonly_root_filesystem: true
    build_args: {K: v}
    build_options: [dev]
    platforms: linux/amd64,linux/arm64
configuration:
  templates: [{name: node22, source: "x"}]
  copy: [./common]
"#;

    #[test]
    fn everything_that_faas_cli_knows_is_read() {
        let stack = stack(WHOLE).unwrap();
        let f = &stack.functions["f"];
        assert_eq!(f.image.as_deref(), Some("a/f:7"));
        // Texts stay what was written.
        let environment: Vec<_> = f.environment.values().map(String::as_str).collect();
        assert_eq!(environment, ["true", "1.10", "10", "x"]);
        assert_eq!(f.labels["com.openfaas.scale.min"], "2");
        assert_eq!(f.requests.as_ref().unwrap().cpu.as_deref(), Some("0.5"));
        assert!(f.readonly_root_filesystem);
    }

    #[test]
    fn unknown_key_is_named_with_the_nearest_known_one() {
        let text = "functions:\n  f:\n    image: i\n    environments: {a: b}\n";
        let error = stack(text).unwrap_err().to_string();
        assert!(error.contains("`environments`"), "{error}");
        assert!(error.contains("did you mean `environment`?"), "{error}");
        assert!(error.contains("stack.yaml"), "{error}");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, named) in [
            ("functions: {}", "no functions"),
            ("provider: {name: knative}\nfunctions: {f: {image: i}}", "knative"),
            ("functions: [a]", "functions"),
            ("functions:\n  f:\n    image: ${\n", "line 3"),
        ] {
            let error = stack(text).unwrap_err().to_string();
            assert!(error.contains(named), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in r"[a-z:\[\]\{\}&*!|>'\x22\n \-#%]{0,80}") {
            let _ = stack(&text);
        }
    }
}
