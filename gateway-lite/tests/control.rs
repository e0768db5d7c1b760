//! What control makes of functions that are processes: real ones, called over their sockets.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use gateway_lite::{
    control::{Accepted, Control, Settings},
    error::Error,
    function::{FunctionId, FunctionSpec},
    promises::Promises,
    provider::{Provider, process},
    registry::{Function, Registry},
    secrets::Secrets,
};
use http_body_util::BodyExt as _;
use modes::{
    Body,
    process::detached::kill_marked,
    proxy::{Context, Proxy},
};
use tempfile::TempDir;

/// A data directory, and scripts; what still runs in the end is killed.
struct Machine {
    directory: TempDir,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let sockets = fs::read_dir(self.data().join("run")).into_iter().flatten().flatten();
        for socket in sockets {
            let id = socket.file_name().into_string().unwrap_or_default();
            let _ = kill_marked("KENNEL_INSTANCE", &id);
        }
    }
}

/// A gateway without its front.
struct Gateway {
    registry: Arc<Registry>,
    control: Arc<Control>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.control.stop();
    }
}

impl Machine {
    fn new() -> Self {
        Self { directory: tempfile::Builder::new().prefix("c-").tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    async fn gateway(&self) -> Gateway {
        let settings = process::Settings {
            data: self.data(),
            program: env!("CARGO_BIN_EXE_gateway-lite").into(),
            environment: vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into())],
            control_groups: false,
        };
        let provider = process::Processes::open(settings).await.unwrap() as Arc<dyn Provider>;
        let (registry, asked) = Registry::new();
        let registry = Arc::new(registry);
        let secrets = Arc::new(Secrets::open(&self.data()).unwrap());
        let known = Arc::clone(&registry);
        let promises = Promises::open(&self.data()).unwrap();
        let control =
            Control::start(provider, known, asked, secrets, promises, Settings::default());
        Gateway { control: control.await.unwrap(), registry }
    }

    /// A function that answers with `word`.
    fn spec(&self, word: &str) -> FunctionSpec {
        self.running(&format!("echo {word}"))
    }

    fn running(&self, command: &str) -> FunctionSpec {
        let name = format!("{}.sh", command.replace(|c: char| !c.is_alphanumeric(), "-"));
        // Arguments are split at blanks, so a command is a file.
        fs::write(self.directory.path().join(&name), command).unwrap();
        let json = serde_json::json!({
            "service": "f", "envProcess": format!("sh {name}"),
            "image": format!("file://{}", self.directory.path().display()),
        });
        serde_json::from_value(json).unwrap()
    }
}

impl Gateway {
    fn function(&self) -> Arc<Function> {
        self.registry.find("f").unwrap()
    }

    async fn until_ready(&self, replicas: usize) {
        let what = format!("{replicas} replicas are ready");
        eventually(&what, || self.function().endpoints.load().len() == replicas).await;
    }

    async fn until_instances(&self, count: usize) {
        eventually(&format!("{count} instances"), || self.control.instances(&id()).len() == count)
            .await;
    }
}

fn id() -> FunctionId {
    FunctionId::new("f", "openfaas-fn").unwrap()
}

async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// One call, on the replica that has the fewest.
async fn call(function: &Function) -> Result<String, String> {
    let endpoints = function.endpoints.load_full();
    let least = endpoints.iter().min_by_key(|one| one.in_flight.load(Ordering::SeqCst));
    let endpoint = Arc::clone(least.ok_or("nobody serves")?);
    endpoint.in_flight.fetch_add(1, Ordering::SeqCst);
    let answer = ask(&endpoint.proxy).await;
    endpoint.in_flight.fetch_sub(1, Ordering::SeqCst);
    answer
}

async fn ask(proxy: &Proxy) -> Result<String, String> {
    let request = http::Request::post("/").body(Body::empty()).map_err(|e| e.to_string())?;
    let response = proxy.call(request, Context::default()).await.map_err(|e| e.to_string())?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    if status.is_success() { Ok(text) } else { Err(format!("{status}: {text}")) }
}

/// Waits until some more were answered.
async fn more_calls(calls: &AtomicUsize) {
    let until = calls.load(Ordering::SeqCst) + 20;
    eventually("20 more calls", || calls.load(Ordering::SeqCst) >= until).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn update_under_load_fails_no_call_and_a_bad_one_changes_nothing() {
    let machine = Machine::new();
    let gateway = machine.gateway().await;
    assert_eq!(gateway.control.deploy(machine.spec("one")).await, Ok(Accepted::Done));
    gateway.until_ready(1).await;
    let (over, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers = (0..4).map(|_| {
        let (over, calls) = (Arc::clone(&over), Arc::clone(&calls));
        let function = gateway.function();
        tokio::spawn(async move {
            let mut last = String::new();
            while !over.load(Ordering::SeqCst) {
                last = call(&function).await.unwrap();
                calls.fetch_add(1, Ordering::SeqCst);
            }
            last
        })
    });
    let callers: Vec<_> = callers.collect();
    more_calls(&calls).await;
    let broken = FunctionSpec {
        env_vars: Some(
            [("mode", "http"), ("http_upstream_url", "http://127.0.0.1:9")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        ),
        ..machine.running("echo no such module >&2; exit 3")
    };
    let error = gateway.control.update(broken).await.unwrap_err();
    assert!(matches!(&error, Error::Failed(text) if text.contains("no such module")), "{error}");
    assert_eq!(call(&gateway.function()).await.as_deref(), Ok("one"));
    gateway.until_instances(1).await;
    assert_eq!(gateway.control.update(machine.spec("two")).await, Ok(Accepted::Done));
    more_calls(&calls).await;
    over.store(true, Ordering::SeqCst);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "two");
    }
    gateway.until_instances(1).await;
    assert_eq!(gateway.control.remove(&id()).await, Ok(Accepted::Done));
    assert!(!machine.data().join("instances/openfaas-fn").exists(), "nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_replica_comes_back_and_the_next_gateway_finds_all() {
    let machine = Machine::new();
    let gateway = machine.gateway().await;
    gateway.control.deploy(machine.spec("here")).await.unwrap();
    gateway.control.scale(&id(), 3).await.unwrap();
    gateway.until_ready(3).await;
    let victim = gateway.function().endpoints.load()[0].instance.clone();
    assert!(kill_marked("KENNEL_INSTANCE", &victim) > 0);
    eventually("it is missed", || gateway.function().endpoints.load().len() < 3).await;
    gateway.until_ready(3).await;
    drop(gateway);
    let gateway = machine.gateway().await;
    assert_eq!(gateway.function().desired.load(Ordering::SeqCst), 3);
    gateway.until_ready(3).await;
    assert_eq!(call(&gateway.function()).await.as_deref(), Ok("here"));
    gateway.control.scale(&id(), 0).await.unwrap();
    gateway.until_instances(1).await;
    assert_eq!(gateway.function().endpoints.load().len(), 0);
    gateway.registry.want(&gateway.function());
    gateway.until_ready(1).await;
    assert_eq!(call(&gateway.function()).await.as_deref(), Ok("here"));
    gateway.control.remove(&id()).await.unwrap();
}
