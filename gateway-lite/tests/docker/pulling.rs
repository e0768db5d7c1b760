//! Images that are not there, and a registry on this machine.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use gateway_lite::{error::Error, function::FunctionSpec, provider::Provider};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use super::ground::{eventually, yard};

/// Has no image, and tells so only who may know.
struct Registry {
    port: u16,
    /// Questions for images by somebody who logged in.
    asked: Arc<AtomicUsize>,
    /// One permit an answer to those.
    answers: Arc<Semaphore>,
}

/// With characters whose base64 has both that URLs cannot have.
const LOGIN: &str = "me:?>~?>~";

async fn registry() -> Registry {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let registry = Registry { port, asked: asked.clone(), answers: answers.clone() };
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, asked.clone(), answers.clone()));
        }
    });
    registry
}

async fn answer(mut stream: TcpStream, asked: Arc<AtomicUsize>, answers: Arc<Semaphore>) {
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    let expected = format!("authorization: basic {}", STANDARD.encode(LOGIN)).to_lowercase();
    let (mut first, mut is_known) = (String::new(), false);
    while let Ok(Some(line)) = lines.next_line().await {
        if line.is_empty() {
            break;
        }
        is_known |= line.to_lowercase() == expected;
        if first.is_empty() {
            first = line;
        }
    }
    let (status, body) = if !is_known {
        ("401 Unauthorized", r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}"#)
    } else if first.contains("/manifests/") {
        asked.fetch_add(1, Ordering::SeqCst);
        answers.acquire().await.unwrap().forget();
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        ("404 Not Found", body)
    } else {
        ("200 OK", "{}")
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Www-Authenticate: Basic realm=\"r\"\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let _ = write.write_all(head.as_bytes()).await;
    if !first.starts_with("HEAD ") {
        let _ = write.write_all(body.as_bytes()).await;
    }
}

fn spec(image: &str) -> FunctionSpec {
    FunctionSpec { service: "f".to_owned(), image: image.to_owned(), ..FunctionSpec::default() }
}

#[tokio::test]
async fn unknown_image_is_refused_with_the_users_credentials_once_for_all() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let registry = registry().await;
    let image = format!("127.0.0.1:{}/a/b:c", registry.port);
    // Nobody who logged in: the helper that would know is named.
    let host = format!("127.0.0.1:{}", registry.port);
    let config = serde_json::json!({"credHelpers": {host.as_str(): "vault"}});
    fs::write(yard.directory.path().join("config.json"), config.to_string()).unwrap();
    let error = provider.prepare(&spec(&image)).await.unwrap_err().to_string();
    assert!(error.contains("docker-credential-vault") && error.contains(&image), "{error}");
    assert_eq!(registry.asked.load(Ordering::SeqCst), 0);

    // One that is there: it is told the registry, and answers with the user's name and password.
    let helper = yard.directory.path().join("docker-credential-vault");
    let (user, password) = LOGIN.split_once(':').unwrap();
    let answer = serde_json::json!({"ServerURL": host, "Username": user, "Secret": password});
    let script = format!("#!/bin/sh\nread -r s\n[ \"$1 $s\" = 'get {host}' ] && echo '{answer}'\n");
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    registry.answers.add_permits(100);
    let error = provider.prepare(&spec(&image)).await.unwrap_err().to_string();
    assert!(error.contains("manifest unknown") && !error.contains("vault"), "{error}");
    assert!(registry.asked.swap(0, Ordering::SeqCst) > 0);
    registry.answers.forget_permits(usize::MAX);

    let login = serde_json::json!({"auths": {host.as_str(): {"auth": STANDARD.encode(LOGIN)}}});
    fs::write(yard.directory.path().join("config.json"), login.to_string()).unwrap();
    let wait = || {
        let (provider, one) = (provider.clone(), spec(&image));
        tokio::spawn(async move { provider.prepare(&one).await })
    };
    let (one, waiting) = (wait(), wait());
    eventually("a question", async || registry.asked.load(Ordering::SeqCst) > 0).await;
    // One goes away; whoever asks now finds the same pull.
    one.abort();
    let before = registry.asked.load(Ordering::SeqCst);
    let late = wait();
    tokio::task::yield_now().await;
    assert_eq!(registry.asked.load(Ordering::SeqCst), before);
    late.abort();
    registry.answers.add_permits(100);
    match waiting.await.unwrap() {
        Err(Error::Invalid(text)) => {
            assert!(text.contains("manifest unknown") && text.contains(&image), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn registry_that_is_away_is_no_mistake_of_the_author() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = provider.prepare(&spec(&format!("127.0.0.1:{port}/a"))).await.unwrap_err();
    assert!(matches!(&error, Error::Failed(text) if text.contains("refused")), "{error:?}");
}
