//! What dies, and what somebody else does to our containers.

use std::{fs, time::Duration};

use bollard::{
    models::{ContainerCreateBody, NetworkCreateRequest, NetworkDisconnectRequest},
    query_parameters::{CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder},
};
use gateway_lite::{
    error::Error,
    provider::{Provider, State, docker::Containers},
};

use super::ground::{Yard, call, eventually, order_with, state, yard};

/// A function whose first process is `script`.
async fn scripted(yard: &Yard, name: &str, script: &str, more: serde_json::Value) -> String {
    let context = yard.directory.path().join(name);
    fs::create_dir(&context).unwrap();
    fs::write(context.join("run.sh"), script).unwrap();
    let dockerfile = "FROM kennel/alpine\nCOPY run.sh /\nENTRYPOINT [\"sh\", \"/run.sh\"]\n";
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    let tag = format!("kennel-test/{name}");
    let (none, socket) = (std::collections::BTreeMap::new(), yard.socket.to_str().unwrap());
    gateway_lite::provider::docker::build::build_image(
        socket,
        None,
        &context,
        None,
        &tag,
        &none,
        |_| {},
    )
    .await
    .unwrap();
    let mut fields = serde_json::json!({"image": tag});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let provider = yard.provider().await;
    yard.running(&provider, &order_with(name, fields)).await
}

async fn failure(provider: &Containers, id: &str, words: &[&str]) {
    let mut why = String::new();
    eventually(&format!("a failure with {words:?}"), async || {
        if let State::Failing { why: now } = state(provider, id).await {
            why = now;
        }
        words.iter().all(|word| why.contains(word))
    })
    .await;
}

#[tokio::test]
async fn replica_that_is_taken_off_the_network_is_put_back() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let id = yard.running(&provider, &order_with("lonely", serde_json::json!({}))).await;
    let mut changes = provider.changes();
    changes.mark_unchanged();
    let network = yard.network.clone();
    let request =
        NetworkDisconnectRequest { container: yard.container(&id).await, force: Some(true) };
    yard.docker.disconnect_network(&network, request).await.unwrap();
    // Somebody is told.
    tokio::time::timeout(Duration::from_secs(8), changes.changed()).await.unwrap().unwrap();
    match state(&provider, &id).await {
        State::Ended { why } => assert!(why.contains(&network), "{why}"),
        other => panic!("{other:?}"),
    }
    provider.start(&id).await.unwrap();
    assert_eq!(call(&provider, &id, "back").await, "BACK");
    let settings = yard.inspect(&id).await.network_settings.unwrap();
    let aliases = settings.networks.unwrap()[&network].aliases.clone().unwrap();
    assert!(aliases.iter().any(|alias| alias.starts_with("lonely.")), "{aliases:?}");
}

#[tokio::test]
async fn crash_is_tried_again_and_says_why() {
    let Some(yard) = yard().await else { return };
    let script = "echo no such module >&2; exit 3";
    let id = scripted(&yard, "crash", script, serde_json::json!({})).await;
    let provider = yard.provider().await;
    failure(&provider, &id, &["exit status 3", "no such module"]).await;
    eventually("three starts", async || yard.inspect(&id).await.restart_count >= Some(2)).await;
    provider.park(&id, Duration::ZERO).await.unwrap();
    assert_eq!(state(&provider, &id).await, State::Parked);
}

#[tokio::test]
async fn what_ends_all_the_time_can_be_parked_at_any_moment() {
    let Some(yard) = yard().await else { return };
    let id = scripted(&yard, "ends", "exit 3", serde_json::json!({})).await;
    let provider = yard.provider().await;
    // Within a cycle of ending and being started again, at moments of the machine's own choice.
    for round in 0..12 {
        provider.start(&id).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40 * round)).await;
        provider.park(&id, Duration::ZERO).await.unwrap();
        assert_eq!(state(&provider, &id).await, State::Parked);
    }
}

#[tokio::test]
async fn what_runs_out_of_memory_is_started_again_and_says_why() {
    let Some(yard) = yard().await else { return };
    let script = "x=y; while :; do x=$x$x; done";
    let limits = serde_json::json!({"limits": {"memory": "10Mi"}});
    let id = scripted(&yard, "eats", script, limits).await;
    let provider = yard.provider().await;
    failure(&provider, &id, &["out of memory", "10Mi"]).await;
    eventually("another start", async || yard.inspect(&id).await.restart_count >= Some(1)).await;
}

#[tokio::test]
async fn what_somebody_else_ends_is_told_and_can_be_started() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let id = yard.running(&provider, &order_with("ended", serde_json::json!({}))).await;
    assert_eq!(call(&provider, &id, "a").await, "A");
    let container = yard.container(&id).await;
    let mut changes = provider.changes();
    for meddle in ["stop", "kill", "pause"] {
        changes.mark_unchanged();
        match meddle {
            "stop" => yard.docker.stop_container(&container, None).await.unwrap(),
            "kill" => yard.docker.kill_container(&container, None).await.unwrap(),
            _ => yard.docker.pause_container(&container).await.unwrap(),
        }
        tokio::time::timeout(Duration::from_secs(20), changes.changed()).await.unwrap().unwrap();
        eventually(meddle, async || {
            matches!(state(&provider, &id).await,
                State::Ended { why } if why.contains("by somebody else"))
        })
        .await;
        provider.start(&id).await.unwrap();
        assert_eq!(call(&provider, &id, "again").await, "AGAIN", "{meddle}");
    }
    yard.docker.pause_container(&container).await.unwrap();
    provider.park(&id, Duration::from_secs(10)).await.unwrap();
    assert_eq!(state(&provider, &id).await, State::Parked);
}

#[tokio::test]
async fn containers_of_others_are_not_touched() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let id = provider.create(&order_with("mine", serde_json::json!({}))).await.unwrap().id;
    // Somebody made a container from an image of ours, which inherits all labels.
    let labels = yard.inspect(&id).await.config.unwrap().labels.unwrap();
    let body = ContainerCreateBody {
        image: Some("kennel/alpine".to_owned()),
        labels: Some(labels),
        ..ContainerCreateBody::default()
    };
    let name = format!("copy-of-{id}");
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    let copy = yard.docker.create_container(Some(options), body).await.unwrap().id;
    assert_eq!(provider.list().await.unwrap().len(), 1);
    provider.start(&id).await.unwrap();
    let other = super::ground::yard().await.unwrap();
    let others = other.provider().await;
    assert!(others.list().await.unwrap().is_empty());
    assert!(matches!(others.start(&id).await, Err(Error::NotFound(_))));
    others.remove(&id).await.unwrap();
    assert_eq!(call(&provider, &id, "still").await, "STILL");
    provider.remove(&id).await.unwrap();
    let left = yard.docker.inspect_container(&copy, None).await.unwrap().state.unwrap();
    assert_eq!(left.running, Some(false));
    assert!(provider.list().await.unwrap().is_empty());
}

#[tokio::test]
async fn networks_of_others_are_not_shared_unless_nobody_made_them() {
    let Some(yard) = yard().await else { return };
    let _provider = yard.provider().await;
    let other = super::ground::yard().await.unwrap();
    let mut settings = other.settings();
    settings.network = yard.settings().network;
    let error = Containers::open(settings).await.unwrap_err().to_string();
    assert!(
        error.contains("docker_network") && error.contains(&yard.settings().network),
        "{error}"
    );
    settings = other.settings();
    settings.network = "bridge".to_owned();
    let error = Containers::open(settings).await.unwrap_err().to_string();
    assert!(error.contains("bridge") && error.contains("docker_network"), "{error}");
    let name = other.settings().network;
    let request = NetworkCreateRequest { name, ..NetworkCreateRequest::default() };
    other.docker.create_network(request).await.unwrap();
    let provider = other.provider().await;
    assert!(!provider.inner_addresses().is_empty());
}

#[tokio::test]
async fn what_somebody_else_removes_leaves_no_secret() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let secret = yard.directory.path().join("secret");
    fs::write(&secret, "s3cret").unwrap();
    let mut order = order_with("gone", serde_json::json!({}));
    order.secrets = vec![("key".to_owned(), secret)];
    let id = yard.running(&provider, &order).await;
    let copies = yard.directory.path().join("data/docker-secrets").join(&id);
    assert!(copies.join("key").exists());
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    yard.docker.remove_container(&yard.container(&id).await, Some(options)).await.unwrap();
    eventually("no secrets", async || !copies.exists()).await;
    assert!(provider.list().await.unwrap().is_empty());
}
