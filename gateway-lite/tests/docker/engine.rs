//! An engine that goes away and comes back: one of our own, so that no other test notices.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use bollard::{
    API_DEFAULT_VERSION, Docker, body_full, models::NetworkCreateRequest,
    query_parameters::ImportImageOptions,
};
use bytes::BytesMut;
use futures_util::StreamExt as _;
use gateway_lite::{
    error::Error,
    provider::{Provider, State},
};
use rustix::{
    mount::{UnmountFlags, unmount},
    process::{Pid, Signal, kill_process},
};

use super::ground::{Yard, call, eventually, left_out, order_with, state, yard, yard_at};

/// A second `dockerd`.
struct Engine {
    process: Child,
}

/// A bridge for it, made by the first engine: without one it would take the first one's away.
async fn bridge(main: &Yard) -> String {
    let name = main.network_named("2");
    let suffix: String = name.chars().rev().take(6).collect();
    let bridge = format!("k{}", suffix.to_lowercase());
    let options = [("com.docker.network.bridge.name".to_owned(), bridge.clone())];
    let request = NetworkCreateRequest {
        name,
        options: Some(options.into()),
        ..NetworkCreateRequest::default()
    };
    main.docker.create_network(request).await.unwrap();
    bridge
}

impl Engine {
    fn start(dir: &Path, bridge: &str) -> Self {
        let at = |name: &str| dir.join(name).display().to_string();
        #[expect(clippy::disallowed_methods, reason = "what is tried is not the gateway's")]
        let mut command = Command::new("dockerd");
        command
            .args(["--bridge", bridge, "--iptables=false", "--ip6tables=false", "--ip-masq=false"])
            .args(["--host", &format!("unix://{}", at("s"))])
            .args(["--data-root", &at("data"), "--exec-root", &at("exec")])
            .args(["--pidfile", &at("pid")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(dir.join("log")).unwrap());
        Self { process: command.spawn().unwrap() }
    }

    fn end(&mut self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        let _ = kill_process(pid, signal);
        let _ = self.process.wait();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end(Signal::TERM);
    }
}

async fn answers(socket: &str) -> Option<Docker> {
    let docker = Docker::connect_with_unix(socket, 120, API_DEFAULT_VERSION).ok()?;
    docker.ping().await.ok().map(|_| docker)
}

#[tokio::test]
async fn engine_that_goes_away_and_comes_back_is_survived() {
    let Some(main) = yard().await else { return };
    if !rustix::process::geteuid().is_root() {
        left_out();
        return;
    }
    let dir = tempfile::Builder::new().prefix("e-").tempdir().unwrap();
    let bridge = bridge(&main).await;
    let mut engine = Engine::start(dir.path(), &bridge);
    let socket = dir.path().join("s").display().to_string();
    let up = async || {
        let begun = Instant::now();
        while answers(&socket).await.is_none() {
            let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60), "no engine: {log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    up().await;
    let mut image = BytesMut::new();
    let mut saved = Box::pin(main.docker.export_images(&["kennel/alpine", super::ground::IMAGE]));
    while let Some(piece) = saved.next().await {
        image.extend_from_slice(&piece.unwrap());
    }
    let docker = answers(&socket).await.unwrap();
    let body = body_full(image.freeze());
    let mut loaded = docker.import_image(ImportImageOptions::default(), body, None);
    while let Some(step) = loaded.next().await {
        step.unwrap();
    }
    drop(loaded);

    let yard = yard_at(&socket).await.unwrap();
    let provider = yard.provider().await;
    let runs = yard.running(&provider, &order_with("runs", serde_json::json!({}))).await;
    let parked = yard.running(&provider, &order_with("parked", serde_json::json!({}))).await;
    provider.park(&parked, Duration::from_secs(10)).await.unwrap();
    let mut changes = provider.changes();
    for signal in [Signal::TERM, Signal::KILL] {
        assert_eq!(call(&provider, &runs, "before").await, "BEFORE");
        changes.mark_unchanged();
        engine.end(signal);
        match provider.list().await {
            Err(Error::Unavailable(text)) => assert!(text.contains(&socket), "{text}"),
            other => panic!("{other:?}"),
        }
        tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
        // Its containerd ends with it; where nobody reaps that, it would be taken for alive.
        let _ = std::fs::remove_file(dir.path().join("exec/containerd/containerd.pid"));
        engine = Engine::start(dir.path(), &bridge);
        up().await;
        let mut told = Duration::from_secs(20);
        while provider.list().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            told = told.checked_sub(Duration::from_millis(50)).expect("it answers again");
        }
        // Until its events are heard, it can go away once more unnoticed.
        tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
        assert_eq!(call(&provider, &runs, "after").await, "AFTER", "{signal:?}");
        assert_eq!(state(&provider, &parked).await, State::Parked);
    }
    // Its events are heard again.
    changes.mark_unchanged();
    eventually("its events", async || {
        let _ = yard.docker.kill_container(&yard.container(&runs).await, None).await;
        let heard = tokio::time::timeout(Duration::from_secs(2), changes.changed()).await;
        heard.is_ok() && matches!(state(&provider, &runs).await, State::Ended { .. })
    })
    .await;
    drop((provider, yard));
    drop(engine);
    // What an engine that was killed leaves mounted.
    while unmount(dir.path().join("data"), UnmountFlags::DETACH).is_ok() {}
}
