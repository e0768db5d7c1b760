//! What a function's process finds in its environment.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    net::Ipv4Addr,
    path::PathBuf,
};

use watchdog::env;

use super::directory::Place;
use crate::{
    error::{Error, Result},
    function::FunctionSpec,
};

/// Marks every process of an instance.
pub(super) const MARK: &str = "KENNEL_INSTANCE";

/// Where functions find the gateway, and who comes there is one: an address of this machine that
/// nothing leads to from outside (RFC 1122 section 3.2.1.3).
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// What a function gets of the gateway's own variables, beside the locale: programs need them to
/// be found and to find their files. Nothing else, as the rest may be nobody's business.
const HANDED_DOWN: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// The part of the gateway's environment that is handed down.
pub(super) fn base(
    own: impl IntoIterator<Item = (OsString, OsString)>,
) -> Vec<(OsString, OsString)> {
    let is_handed_down = |name: &OsStr| {
        name.to_str().is_some_and(|name| HANDED_DOWN.contains(&name) || name.starts_with("LC_"))
    };
    own.into_iter().filter(|(name, _)| is_handed_down(name)).collect()
}

/// Where the function itself listens, if its author says so.
const PORT: &str = "PORT";

/// Where the watchdog finds it: the names of one setting, of which the first one wins.
const UPSTREAM: [&str; 2] = ["http_upstream_url", "upstream_url"];

/// The whole environment of the watchdog of an instance; its author's words come before all but
/// what would lose the function. `free` is a port that nobody listens on.
pub(super) fn of(
    base: &[(OsString, OsString)],
    spec: &FunctionSpec,
    place: &Place,
    gateway: Option<u16>,
    free: Option<u16>,
) -> Vec<(OsString, OsString)> {
    let mut all: BTreeMap<OsString, OsString> = base.iter().cloned().collect();
    let mut set = |name: &str, value: &OsStr| {
        all.insert(name.into(), value.into());
    };
    set("metrics_port", "0".as_ref());
    set("log_format", "json".as_ref());
    set("TMPDIR", place.tmp().as_os_str());
    set("secret_mount_path", place.secrets().as_os_str());
    set("OPENFAAS_NAME", spec.service.as_ref());
    set("OPENFAAS_NAMESPACE", spec.namespace().as_ref());
    if let Some(port) = gateway {
        let url = format!("http://{GATEWAY}:{port}");
        set("gateway_url", url.as_ref());
        set("OPENFAAS_URL", url.as_ref());
    }
    if let Some(command) = spec.env_process.as_deref().filter(|command| !command.is_empty()) {
        set("fprocess", command.as_ref());
    }
    for (name, value) in spec.env_vars.iter().flatten() {
        set(name, value.as_ref());
    }
    let mut listen = OsString::from("unix:");
    listen.push(&place.socket);
    set("listen_address", &listen);
    set(MARK, place.id.as_ref());
    if let Some((name, moved)) = free.and_then(|free| moved(&all, free)) {
        all.extend([(name.into(), moved.0.into()), (PORT.into(), moved.1.into())]);
    }
    all.into_iter().collect()
}

/// The setting and its value, and that of `PORT`, for a function that listens on `free` instead:
/// one whose address is loopback's with the port that `PORT` says, and so goes where that says. Its
/// replicas, and whatever else this machine runs, share one loopback.
fn moved(
    all: &BTreeMap<OsString, OsString>,
    free: u16,
) -> Option<(&'static str, (String, String))> {
    let get = |name: &str| all.get(OsStr::new(name)).and_then(|value| value.to_str());
    let port = get(PORT)?;
    let (name, url) = UPSTREAM.iter().find_map(|name| Some((*name, get(name)?)))?;
    let [before, after] = ["http://127.0.0.1:", "http://localhost:"].iter().find_map(|before| {
        let after = url.strip_prefix(before)?.strip_prefix(port)?;
        (after.is_empty() || after.starts_with('/')).then_some([*before, after])
    })?;
    Some((name, (format!("{before}{free}{after}"), free.to_string())))
}

/// A port of loopback that nobody listens on now.
pub(super) fn free_port() -> Option<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    Some(listener.local_addr().ok()?.port())
}

/// Says what the watchdog would say to the environment of an instance, before there is one.
pub(super) fn check(base: &[(OsString, OsString)], spec: &FunctionSpec) -> Result<()> {
    let nowhere = PathBuf::from("/instance");
    let place = Place { id: String::new(), directory: nowhere.clone(), socket: nowhere };
    let outcome = env::parse(&env::Environment::from_pairs(of(base, spec, &place, None, None)));
    if outcome.settings.is_ok() {
        return Ok(());
    }
    let fatal = outcome.mistakes.iter().filter(|mistake| mistake.fatal);
    let mistakes: Vec<_> = fatal.map(ToString::to_string).collect();
    let text = format!("function {} cannot be served: {}", spec.service, mistakes.join("; "));
    Err(Error::Invalid(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: serde_json::Value) -> FunctionSpec {
        serde_json::from_value(json).unwrap()
    }

    fn place() -> Place {
        Place { id: "i".to_owned(), directory: "/d".into(), socket: "/s".into() }
    }

    #[test]
    fn authors_win_but_nobody_loses_the_function() {
        let spec = spec(serde_json::json!({
            "service": "f", "image": "/", "envProcess": "cat",
            "envVars": {"log_format": "text", "listen_address": "unix:/x", "A": "b", "PATH": "/p"},
        }));
        let base = base([("PATH".into(), "/bin".into()), ("TOKEN".into(), "secret".into())]);
        let all: BTreeMap<_, _> =
            of(&base, &spec, &place(), Some(8080), Some(1)).into_iter().collect();
        let get = |name: &str| all.get(OsStr::new(name)).and_then(|value| value.to_str());
        assert_eq!(get("log_format"), Some("text"));
        assert_eq!(get("listen_address"), Some("unix:/s"));
        assert_eq!((get("A"), get("PATH"), get("TOKEN")), (Some("b"), Some("/p"), None));
        assert_eq!(get("fprocess"), Some("cat"));
        assert_eq!(get("secret_mount_path"), Some("/d/secrets"));
        assert_eq!(get("OPENFAAS_URL"), Some("http://127.0.0.2:8080"));
        assert_eq!(get(MARK), Some("i"));
    }

    #[test]
    fn function_that_listens_where_it_is_told_is_told_a_free_port() {
        for (variables, port, url) in [
            (
                &[("PORT", "5000"), ("http_upstream_url", "http://127.0.0.1:5000")][..],
                "7",
                "http://127.0.0.1:7",
            ),
            (
                &[("PORT", "5000"), ("upstream_url", "http://localhost:5000/a")],
                "7",
                "http://localhost:7/a",
            ),
            // It listens where it wants, or elsewhere, or PORT is something else.
            (&[("http_upstream_url", "http://127.0.0.1:5000")], "", "http://127.0.0.1:5000"),
            (
                &[("PORT", "5000"), ("http_upstream_url", "http://app:5000")],
                "5000",
                "http://app:5000",
            ),
            (
                &[("PORT", "500"), ("http_upstream_url", "http://127.0.0.1:5000")],
                "500",
                "http://127.0.0.1:5000",
            ),
            (&[("PORT", "5000"), ("http_upstream_url", "unix:/s")], "5000", "unix:/s"),
        ] {
            let variables: BTreeMap<_, _> = variables.iter().copied().collect();
            let spec =
                spec(serde_json::json!({"service": "f", "image": "/", "envVars": variables}));
            let all: BTreeMap<_, _> = of(&[], &spec, &place(), None, Some(7)).into_iter().collect();
            let get = |name: &str| all.get(OsStr::new(name)).and_then(|value| value.to_str());
            assert_eq!(get("PORT").unwrap_or_default(), port, "{variables:?}");
            assert_eq!(get("http_upstream_url").or_else(|| get("upstream_url")), Some(url));
        }
        assert!(free_port().is_some());
    }

    #[test]
    fn what_the_watchdog_would_refuse_is_refused_at_once() {
        check(&[], &spec(serde_json::json!({"service": "f", "envProcess": "cat"}))).unwrap();
        for (json, named) in [
            (serde_json::json!({"service": "f"}), "fprocess"),
            (serde_json::json!({"service": "f", "envVars": {"mode": "x"}}), "mode"),
            (
                serde_json::json!({"service": "f", "envProcess": "x", "envVars": {"mode": "http"}}),
                "http_upstream_url",
            ),
        ] {
            let error = check(&[], &spec(json)).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("function f"), "{error}");
        }
    }
}
