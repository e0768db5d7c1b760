//! An engine to try things on.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write as _,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::ContainerInspectResponse,
    query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder},
};
use gateway_lite::{
    function::{FunctionId, FunctionSpec},
    provider::{
        Instance, Order, Provider, State,
        docker::{Containers, Helpers, Settings, build::build_image},
    },
};
use http_body_util::BodyExt as _;
use modes::{
    Body,
    proxy::{Context, Proxy},
};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::sync::OnceCell;

pub(crate) const SOCKET: &str = "/var/run/docker.sock";
const BASE: &str = "kennel/alpine";
/// Made of [`BASE`] once a run.
pub(crate) const IMAGE: &str = "kennel-test/upper";
const DEADLINE: Duration = Duration::from_secs(60);

/// A data directory, a network, and what is made in them; removed in the end.
pub(crate) struct Yard {
    pub(crate) directory: TempDir,
    pub(crate) docker: Docker,
    pub(crate) socket: PathBuf,
    pub(crate) network: String,
}

/// `None` where no engine answers.
pub(crate) async fn yard() -> Option<Yard> {
    yard_at(SOCKET).await
}

pub(crate) async fn yard_at(socket: &str) -> Option<Yard> {
    let docker = Docker::connect_with_unix(socket, 120, API_DEFAULT_VERSION).ok();
    let answers = match &docker {
        Some(docker) => docker.inspect_image(BASE).await.is_ok(),
        None => false,
    };
    let Some(docker) = docker.filter(|_| answers) else {
        left_out();
        return None;
    };
    if socket == SOCKET {
        static MADE: OnceCell<()> = OnceCell::const_new();
        MADE.get_or_init(make_image).await;
    }
    let directory = tempfile::Builder::new().prefix("k-").tempdir().unwrap();
    let name = directory.path().file_name().unwrap().to_string_lossy().into_owned();
    let network = format!("kennel-test-{}", name.trim_start_matches("k-"));
    Some(Yard { directory, docker, socket: socket.into(), network })
}

/// Past the capture of output: `.ci/run` fails on such a line.
pub(crate) fn left_out() {
    let _ = writeln!(
        std::io::stderr(),
        "LEFT OUT: docker: no engine with the image {BASE} answers at {SOCKET} (.ci/docker makes both)"
    );
}

async fn make_image() {
    let context = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| fs::write(context.path().join(name), text).unwrap();
    file(
        "Dockerfile",
        &format!(
            "FROM {BASE}\nCOPY upper.sh /\nENV fprocess=\"sh /upper.sh\" combine_output=false\n"
        ),
    );
    file("upper.sh", "echo called >&2\nexec tr a-z A-Z\n");
    let none = BTreeMap::new();
    build_image(SOCKET, None, context.path(), None, IMAGE, &none, |_| {}).await.unwrap();
}

impl Yard {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            host: format!("unix://{}", self.socket.display()),
            network: self.network.clone(),
            data: self.directory.path().join("data"),
            config: Some(self.directory.path().join("config.json")),
            helpers: Helpers::new(vec![("PATH".into(), self.directory.path().into())]),
        }
    }

    pub(crate) async fn provider(&self) -> Arc<Containers> {
        Containers::open(self.settings()).await.unwrap()
    }

    /// An instance that takes calls.
    pub(crate) async fn running(&self, provider: &Containers, order: &Order) -> String {
        provider.prepare(&order.spec).await.unwrap();
        let id = provider.create(order).await.unwrap().id;
        provider.start(&id).await.unwrap();
        id
    }

    pub(crate) async fn inspect(&self, id: &str) -> ContainerInspectResponse {
        let filters = HashMap::from([("label", vec![format!("dev.kennel.instance={id}")])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let found = self.docker.list_containers(Some(options)).await.unwrap();
        let container = found[0].id.clone().unwrap();
        self.docker.inspect_container(&container, None).await.unwrap()
    }

    pub(crate) async fn container(&self, id: &str) -> String {
        self.inspect(id).await.id.unwrap()
    }

    pub(crate) async fn kill_process(&self, id: &str) {
        let pid = self.inspect(id).await.state.unwrap().pid.unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }

    /// Another network, removed with the first.
    pub(crate) fn network_named(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.network)
    }

    fn mark(&self) -> Option<String> {
        fs::read_to_string(self.directory.path().join("data/docker/gateway")).ok()
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let mark = self.mark().unwrap_or_else(|| "none".to_owned());
        let networks = [self.network.clone(), self.network_named("2")];
        let docker = self.docker.clone();
        // No runtime may be entered from within one.
        let clearing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let filters =
                    HashMap::from([("label", vec![format!("dev.kennel.gateway={mark}")])]);
                let options =
                    ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
                let found = docker.list_containers(Some(options)).await.unwrap_or_default();
                for container in found {
                    let options = RemoveContainerOptionsBuilder::default().force(true).v(true);
                    let id = container.id.unwrap_or_default();
                    let _ = docker.remove_container(&id, Some(options.build())).await;
                }
                for network in networks {
                    let _ = docker.remove_network(&network).await;
                }
            });
        });
        let _ = clearing.join();
    }
}

/// An order with some fields of one's own.
pub(crate) fn order_with(name: &str, more: serde_json::Value) -> Order {
    let mut json = serde_json::json!({
        "service": name, "namespace": "ns", "image": IMAGE, "labels": {"a": "b"},
    });
    let serde_json::Value::Object(more) = more else { panic!("no fields") };
    json.as_object_mut().unwrap().extend(more);
    let spec: FunctionSpec = serde_json::from_value(json).unwrap();
    Order {
        function: FunctionId::new(name, spec.namespace()).unwrap(),
        spec: Arc::new(spec),
        revision: 7,
        deployed: OffsetDateTime::now_utc(),
        secrets: Vec::new(),
    }
}

pub(crate) async fn state(provider: &Containers, id: &str) -> State {
    let all = provider.list().await.unwrap();
    all.into_iter().find(|one: &Instance| one.id == id).unwrap().state
}

/// The answer of an instance, as soon as there is one.
pub(crate) async fn call(provider: &Containers, id: &str, text: &str) -> String {
    let begun = Instant::now();
    loop {
        let state = state(provider, id).await;
        let mut last = format!("{state:?}");
        if let State::Running { target } = state {
            let request = http::Request::post("/").body(Body::full(text.to_owned())).unwrap();
            match Proxy::new(target, "", modes::ZeroCopy::Off)
                .call(request, Context::default())
                .await
            {
                Ok(answer) if answer.status() == 200 => {
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    return String::from_utf8(body.to_vec()).unwrap();
                }
                other => last = format!("{other:?}"),
            }
        }
        assert!(begun.elapsed() < DEADLINE, "no answer: {last}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
