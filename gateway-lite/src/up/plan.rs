//! From a stack file to what is deployed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{
    dockerfile,
    stack::{self, Amounts, FunctionPart, Stack},
};
use crate::{
    error::{Error, Result},
    function::{FunctionSpec, Resources},
    settings::ProviderKind,
};

/// One function of a stack.
#[derive(Debug)]
pub(super) struct Planned {
    /// What is deployed.
    pub(super) spec: FunctionSpec,
    /// What has to be built before.
    pub(super) build: Option<Build>,
}

/// An image to build.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Build {
    /// The folder with the Dockerfile, and what belongs to it.
    pub(super) context: PathBuf,
    /// The function's own folder, as `function` within the context of a template.
    pub(super) handler: Option<PathBuf>,
    /// Build arguments.
    pub(super) arguments: BTreeMap<String, String>,
}

/// Where things are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    /// The folder of the stack file.
    pub(super) folder: &'a Path,
    /// For substitution.
    pub(super) environment: &'a BTreeMap<String, String>,
    /// Who runs it.
    pub(super) provider: ProviderKind,
}

/// Every function of `stack` that `filter` (`*` and `?` stand for anything) lets through.
///
/// # Errors
/// [`Error::Invalid`] with what is wrong with which functions, a line each.
pub(super) fn plan(stack: &Stack, filter: Option<&str>, place: Place<'_>) -> Result<Vec<Planned>> {
    let wanted = stack.functions.iter().filter(|(name, _)| filter.is_none_or(|f| is_like(name, f)));
    let (mut planned, mut mistakes) = (Vec::new(), Vec::new());
    for (name, part) in wanted {
        match one(name, part, place) {
            Ok(one) => planned.push(one),
            Err(error) => mistakes.push(error.to_string()),
        }
    }
    if !mistakes.is_empty() {
        return Err(Error::Invalid(mistakes.join("\n")));
    }
    if planned.is_empty() {
        let names: Vec<_> = stack.functions.keys().map(String::as_str).collect();
        let (filter, names) = (filter.unwrap_or_default(), names.join(", "));
        let text = format!("no function is called {filter:?}; there are: {names}");
        return Err(Error::Invalid(text));
    }
    Ok(planned)
}

fn one(name: &str, part: &FunctionPart, place: Place<'_>) -> Result<Planned> {
    let about = |why: String| Error::Invalid(format!("function {name}: {why}"));
    let handler = part.handler.as_deref().map(|handler| place.folder.join(handler));
    let mut variables = part.environment.clone();
    for file in &part.environment_file {
        let path = place.folder.join(file);
        let text = read(&path).map_err(&about)?;
        variables.extend(stack::parse_environment(&path, &text, place.environment)?);
    }
    let (folder, template) = folders(part, handler.as_deref(), place.folder).map_err(&about)?;
    let mut fprocess = part.fprocess.clone().or(template.fprocess);
    let (image, build) = match place.provider {
        ProviderKind::Process => {
            let handler = handler.ok_or_else(|| {
                about("has no handler: name the folder that it runs in".to_owned())
            })?;
            let set = folder.map(|folder| folder.join("Dockerfile")).filter(|path| path.exists());
            let set = set.map(|path| read(&path)).transpose().map_err(&about)?.unwrap_or_default();
            for (name, value) in dockerfile::environment(&set) {
                if name == "fprocess" {
                    fprocess.get_or_insert(value);
                } else if !matches!(name.as_str(), "PATH" | "HOME") {
                    variables.entry(name).or_insert(value);
                }
            }
            let image = fs::canonicalize(&handler)
                .map_err(|error| about(format!("handler {}: {error}", handler.display())))?;
            (image.to_string_lossy().into_owned(), None)
        }
        ProviderKind::Docker => {
            let image = part.image.clone().ok_or_else(|| {
                about("has no image: name the one to build or to fetch".to_owned())
            })?;
            let build = folder.filter(|_| !part.skip_build).map(|context| Build {
                handler: handler.filter(|handler| *handler != context),
                context,
                arguments: arguments(part),
            });
            (tagged(image), build)
        }
    };
    let some = |map: &BTreeMap<String, String>| Some(map.clone());
    let spec = FunctionSpec {
        service: name.to_owned(),
        image,
        namespace: part.namespace.clone(),
        env_process: fprocess,
        env_vars: Some(variables).filter(|variables| !variables.is_empty()),
        constraints: part.constraints.clone(),
        secrets: Some(part.secrets.clone()).filter(|secrets| !secrets.is_empty()),
        labels: some(&part.labels),
        annotations: some(&part.annotations),
        limits: part.limits.as_ref().map(resources),
        requests: part.requests.as_ref().map(resources),
        read_only_root_filesystem: part.readonly_root_filesystem,
    };
    spec.check().map_err(|error| about(error.to_string()))?;
    Ok(Planned { spec, build })
}

/// What a template says about itself, as far as it matters here.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Template {
    fprocess: Option<String>,
}

/// The folder with the Dockerfile, if there is one.
fn folders(
    part: &FunctionPart,
    handler: Option<&Path>,
    folder: &Path,
) -> Result<(Option<PathBuf>, Template), String> {
    match part.lang.as_deref() {
        None => {
            let own = handler.filter(|handler| handler.join("Dockerfile").exists());
            Ok((own.map(Path::to_path_buf), Template::default()))
        }
        Some(lang) if lang.eq_ignore_ascii_case("dockerfile") => {
            Ok((handler.map(Path::to_path_buf), Template::default()))
        }
        Some(lang) => {
            let template = folder.join("template").join(lang);
            let path = template.join("template.yml");
            let text = fs::read_to_string(&path).map_err(|error| {
                format!(
                    "lang {lang}: {}: {error}; fetch it with faas-cli template store pull {lang}",
                    path.display()
                )
            })?;
            let read = serde_saphyr::from_str(&text)
                .map_err(|error| format!("{}: {error}", path.display()))?;
            Ok((Some(template), read))
        }
    }
}

fn arguments(part: &FunctionPart) -> BTreeMap<String, String> {
    let mut arguments = part.build_args.clone();
    let packages: BTreeSet<_> = part.build_options.iter().map(String::as_str).collect();
    if !packages.is_empty() {
        let packages: Vec<_> = packages.into_iter().collect();
        arguments.entry("ADDITIONAL_PACKAGE".to_owned()).or_insert_with(|| packages.join(" "));
    }
    arguments
}

/// An image without a tag or digest is the latest, as for faas-cli.
fn tagged(image: String) -> String {
    let name = image.rsplit('/').next().unwrap_or_default();
    if name.contains([':', '@']) { image } else { format!("{image}:latest") }
}

fn resources(amounts: &Amounts) -> Resources {
    let (memory, cpu) = (amounts.memory.clone(), amounts.cpu.clone());
    Resources { memory, cpu, ..Resources::default() }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Whether a name is like a pattern in which `*` is any text and `?` any character.
fn is_like(name: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| is_like(&name[at..], rest.as_str()))
        }
        Some(c) => {
            let mut left = name.chars();
            left.next().is_some_and(|d| c == '?' || c == d) && is_like(left.as_str(), rest.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(text: &str, provider: ProviderKind, folder: &Path) -> Result<Vec<Planned>> {
        let environment = BTreeMap::new();
        let stack = stack::parse(Path::new("stack.yaml"), text, &environment)?;
        plan(&stack, None, Place { folder, environment: &environment, provider })
    }

    #[test]
    fn filters_are_globs() {
        for (name, pattern, like) in [
            ("a", "a", true),
            ("abc", "a*", true),
            ("abc", "*c", true),
            ("abc", "a?c", true),
            ("abc", "*b*", true),
            ("abc", "b", false),
            ("", "*", true),
            ("abc", "a?", false),
        ] {
            assert_eq!(is_like(name, pattern), like, "{name} {pattern}");
        }
    }

    #[test]
    fn images_without_a_tag_are_the_latest() {
        for (image, tagged_image) in [
            ("a", "a:latest"),
            ("h:5000/a", "h:5000/a:latest"),
            ("h:5000/a:1", "h:5000/a:1"),
            ("a@sha256:0", "a@sha256:0"),
        ] {
            assert_eq!(tagged(image.to_owned()), tagged_image);
        }
    }

    #[test]
    fn function_with_a_dockerfile_is_built_or_runs_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("f");
        fs::create_dir(&folder).unwrap();
        let dockerfile = "FROM x\nENV fprocess=cat mode=streaming exec_timeout=1s PATH=/x\n";
        fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        fs::write(dir.path().join("e.yml"), "environment: {a: 2}").unwrap();
        let text = "functions:\n  f:\n    lang: dockerfile\n    handler: ./f\n    image: i\n    \
                    environment: {exec_timeout: 5s, a: 1}\n    environment_file: [e.yml]\n";
        let process = planned(text, ProviderKind::Process, dir.path()).unwrap();
        let spec = &process[0].spec;
        assert_eq!(Path::new(&spec.image), fs::canonicalize(&folder).unwrap());
        assert_eq!(spec.env_process.as_deref(), Some("cat"));
        let variables: Vec<_> = spec.env_vars.iter().flatten().collect();
        let variables: Vec<_> = variables.iter().map(|(n, v)| format!("{n}={v}")).collect();
        assert_eq!(variables, ["a=2", "exec_timeout=5s", "mode=streaming"]);
        assert!(process[0].build.is_none());

        let docker = planned(text, ProviderKind::Docker, dir.path()).unwrap();
        assert_eq!(docker[0].spec.image, "i:latest");
        let build = docker[0].build.as_ref().unwrap();
        assert_eq!((&build.context, &build.handler), (&dir.path().join("./f"), &None));
    }

    #[test]
    fn mistakes_name_the_function() {
        let dir = tempfile::tempdir().unwrap();
        for (text, provider, named) in [
            ("functions: {f: {lang: python9, handler: .}}", ProviderKind::Process, "python9"),
            ("functions: {f: {image: i}}", ProviderKind::Process, "no handler"),
            ("functions: {f: {handler: ./gone}}", ProviderKind::Process, "gone"),
            ("functions: {f: {handler: .}}", ProviderKind::Docker, "no image"),
            ("functions: {f: {image: i, limits: {memory: much}}}", ProviderKind::Docker, "much"),
        ] {
            let error = planned(text, provider, dir.path()).unwrap_err().to_string();
            assert!(error.contains("function f") && error.contains(named), "{text}: {error}");
        }
        let text = "functions: {f: {handler: ./gone}, g: {image: i}, h: {handler: .}}";
        let error = planned(text, ProviderKind::Process, dir.path()).unwrap_err().to_string();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(lines[0].contains("function f") && lines[1].contains("function g"), "{error}");
    }
}
