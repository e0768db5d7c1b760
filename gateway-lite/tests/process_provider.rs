//! The process back end with real processes: the contract of all back ends, and its own rules.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod contract;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use gateway_lite::{
    error::Error,
    function::{FunctionId, FunctionSpec},
    provider::{
        Order, Provider, State,
        process::{Processes, Settings},
    },
};
use modes::process::detached::kill_marked;
use tempfile::TempDir;
use time::OffsetDateTime;

use self::contract::{Ground, contract};

/// A data directory and a function; what still runs in the end is killed.
struct Machine {
    directory: TempDir,
}

fn machine() -> Machine {
    let directory = tempfile::Builder::new().prefix("p-").tempdir().unwrap();
    fs::create_dir(directory.path().join("f")).unwrap();
    let script = "echo called >&2; exec tr a-z A-Z";
    fs::write(directory.path().join("f/run.sh"), script).unwrap();
    Machine { directory }
}

impl Machine {
    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn settings(&self) -> Settings {
        Settings {
            data: self.data(),
            program: env!("CARGO_BIN_EXE_gateway-lite").into(),
            environment: vec![
                ("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()),
                ("GATEWAY_TOKEN".into(), "hidden".into()),
            ],
            control_groups: false,
        }
    }

    fn order_with(&self, name: &str, more: &serde_json::Value) -> Order {
        let mut json = serde_json::json!({
            "service": name, "namespace": "ns", "envProcess": "sh run.sh", "labels": {"a": "b"},
            "image": format!("file://{}", self.directory.path().join("f").display()),
            "envVars": {"combine_output": "false"},
        });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let spec: FunctionSpec = serde_json::from_value(json).unwrap();
        Order {
            function: FunctionId::new(name, "ns").unwrap(),
            spec: Arc::new(spec),
            revision: 7,
            deployed: OffsetDateTime::now_utc(),
            secrets: Vec::new(),
        }
    }

    fn instance(&self, name: &str, id: &str) -> PathBuf {
        self.data().join("instances/ns").join(name).join(id)
    }
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

#[async_trait]
impl Ground for Machine {
    async fn open(&self) -> Arc<dyn Provider> {
        Processes::open(self.settings()).await.unwrap()
    }

    fn order(&self, name: &str) -> Order {
        self.order_with(name, &serde_json::json!({}))
    }

    fn unusable(&self) -> (FunctionSpec, String) {
        let spec = FunctionSpec {
            service: "f".to_owned(),
            image: "/no/such/directory".to_owned(),
            env_process: Some("cat".to_owned()),
            ..FunctionSpec::default()
        };
        (spec, "/no/such/directory".to_owned())
    }

    async fn kill(&self, id: &str) {
        assert!(kill_marked("KENNEL_INSTANCE", id) > 0);
    }
}

contract!(machine());

/// What the watchdog of an instance was started with.
fn environment_of(pid: i64) -> Vec<String> {
    let all = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let texts = all.split(|byte| *byte == 0).map(|one| String::from_utf8_lossy(one).into_owned());
    texts.collect()
}

fn record(directory: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(directory.join("instance.json")).unwrap()).unwrap()
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_function_gets_its_own_and_no_more() {
    let machine = machine();
    let provider = machine.open().await;
    provider.gateway_at(4321);
    let secret = machine.directory.path().join("secret");
    fs::write(&secret, "s3cret").unwrap();
    let mut order = machine.order("own");
    order.secrets = vec![("key".to_owned(), secret)];
    let id = provider.create(&order).await.unwrap().id;
    provider.start(&id).await.unwrap();
    let directory = machine.instance("own", &id);
    let environment = environment_of(record(&directory)["process"]["pid"].as_i64().unwrap());
    let has = |entry: String| assert!(environment.contains(&entry), "{entry} in {environment:?}");
    has("OPENFAAS_URL=http://127.0.0.2:4321".to_owned());
    has(format!("TMPDIR={}", directory.join("tmp").display()));
    has(format!("secret_mount_path={}", directory.join("secrets").display()));
    assert!(!environment.iter().any(|entry| entry.contains("hidden")), "{environment:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let copy = directory.join("secrets/key");
    assert_eq!((mode(&copy), fs::read_to_string(&copy).unwrap().as_str()), (0o400, "s3cret"));
    provider.remove(&id).await.unwrap();
    assert!(!machine.data().join("instances/ns").exists(), "nothing is left");
}

#[tokio::test]
async fn what_dies_at_once_says_why_and_is_tried_again_more_slowly() {
    let machine = machine();
    let provider = machine.open().await;
    let script = "echo no such module >&2; exit 3";
    fs::write(machine.directory.path().join("f/die.sh"), script).unwrap();
    let more = serde_json::json!({
        "envProcess": "sh die.sh",
        "envVars": {"mode": "http", "http_upstream_url": "http://127.0.0.1:9"},
    });
    let order = machine.order_with("dies", &more);
    provider.prepare(&order.spec).await.unwrap();
    let id = provider.create(&order).await.unwrap().id;
    provider.start(&id).await.unwrap();
    let mut why = String::new();
    eventually("a failure with its reason", async || {
        match provider.list().await.unwrap().remove(0).state {
            State::Failing { why: now } => why = now,
            _ => return false,
        }
        why.contains("no such module") && why.contains("exit status")
    })
    .await;
    let directory = machine.instance("dies", &id);
    eventually("three starts", async || record(&directory)["restarts"].as_u64() >= Some(3)).await;
    provider.park(&id, Duration::ZERO).await.unwrap();
    assert_eq!(provider.list().await.unwrap().remove(0).state, State::Parked);
    provider.remove(&id).await.unwrap();
}

#[tokio::test]
async fn what_died_while_no_gateway_ran_is_started_again() {
    let machine = machine();
    let provider = machine.open().await;
    let id = provider.create(&machine.order("away")).await.unwrap().id;
    provider.start(&id).await.unwrap();
    let directory = machine.instance("away", &id);
    let before = record(&directory)["process"]["pid"].clone();
    drop(provider);
    machine.kill(&id).await;
    let provider = machine.open().await;
    eventually("another process", async || {
        let runs = |state: &State| matches!(state, State::Running { .. });
        runs(&provider.list().await.unwrap().remove(0).state)
            && record(&directory)["process"]["pid"] != before
    })
    .await;
    provider.remove(&id).await.unwrap();
}

#[tokio::test]
async fn instance_that_cannot_be_read_is_told_with_its_processes_and_not_doubled() {
    let machine = machine();
    let provider = machine.open().await;
    let id = provider.create(&machine.order("torn")).await.unwrap().id;
    provider.start(&id).await.unwrap();
    let directory = machine.instance("torn", &id);
    let whole = fs::read(directory.join("instance.json")).unwrap();
    let pid = record(&directory)["process"]["pid"].to_string();
    drop(provider);
    fs::write(directory.join("instance.json"), &whole[..whole.len() / 2]).unwrap();
    let provider = machine.open().await;
    assert!(provider.list().await.unwrap().is_empty());
    match provider.create(&machine.order("torn")).await {
        Err(Error::Conflict(text)) => {
            let named = [directory.to_str().unwrap(), &pid, "still run"];
            assert!(named.iter().all(|word| text.contains(word)), "{text}");
        }
        other => panic!("{other:?}"),
    }
    let other = provider.create(&machine.order("other")).await.unwrap().id;
    provider.remove(&other).await.unwrap();
    drop(provider);
    // Put right, it is what it was.
    fs::write(directory.join("instance.json"), &whole).unwrap();
    let provider = machine.open().await;
    assert!(matches!(provider.list().await.unwrap()[0].state, State::Running { .. }));
    assert_eq!(record(&directory)["process"]["pid"].to_string(), pid);
    provider.remove(&id).await.unwrap();
    provider.create(&machine.order("torn")).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_gone_is_named_and_nothing_is_started() {
    let machine = machine();
    let provider = machine.open().await;
    let id = provider.create(&machine.order("gone")).await.unwrap().id;
    fs::rename(machine.directory.path().join("f"), machine.directory.path().join("g")).unwrap();
    match provider.start(&id).await {
        Err(Error::Invalid(text)) => assert!(text.contains("gone"), "{text}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(provider.list().await.unwrap().remove(0).state, State::Parked);
    provider.remove(&id).await.unwrap();
}

#[tokio::test]
async fn relative_directories_and_files_are_refused() {
    let machine = machine();
    let provider = machine.open().await;
    let file = machine.directory.path().join("f/run.sh").display().to_string();
    for (image, why) in [("f", "absolute"), (file.as_str(), "no directory"), ("a/b:c", "absolute")]
    {
        let order = machine.order_with("bad", &serde_json::json!({"image": image}));
        let error = provider.prepare(&order.spec).await.unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(image), "{error}");
        assert!(provider.create(&order).await.is_err());
    }
    assert!(provider.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn second_gateway_with_the_same_data_is_refused() {
    let machine = machine();
    let provider = machine.open().await;
    let error = Processes::open(machine.settings()).await.unwrap_err().to_string();
    assert!(error.contains("another gateway") && error.contains("data"), "{error}");
    drop(provider);
    machine.open().await;
}
