//! What a function finds around it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use bollard::models::{HostConfig, MountType};
use gateway_lite::provider::Provider;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::ground::{call, order_with, yard};

#[tokio::test]
async fn secrets_are_readable_by_the_images_user_and_nobody_else_here() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let secret = yard.directory.path().join("secret");
    fs::write(&secret, "s3cret").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let command = serde_json::json!({"envProcess": "cat /var/openfaas/secrets/key"});
    let mut order = order_with("secret", command);
    order.secrets = vec![("key".to_owned(), secret)];
    let id = yard.running(&provider, &order).await;
    assert_eq!(call(&provider, &id, "").await, "s3cret");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let copies = yard.directory.path().join("data/docker-secrets").join(&id);
    assert_eq!((mode(&copies), mode(&copies.join("key"))), (0o700, 0o444));
    let found = yard.inspect(&id).await;
    let user = found.config.unwrap().user;
    assert_eq!(user.as_deref(), Some("app"), "no root to read it");
    let mounts = found.host_config.unwrap().mounts.unwrap();
    assert_eq!((mounts[0].typ, mounts[0].read_only), (Some(MountType::BIND), Some(true)));
    provider.remove(&id).await.unwrap();
    assert!(!copies.exists());
}

#[tokio::test]
async fn read_only_roots_can_be_written_in_tmp_only() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let fields = |readonly: bool| {
        serde_json::json!({
            "envProcess": "sh", "readOnlyRootFilesystem": readonly, "limits": {"memory": "64Mi"},
        })
    };
    let script = "touch /home/app/x 2>/dev/null && echo root; echo 'echo exec' >/tmp/x; \
                  chmod +x /tmp/x; /tmp/x; stat -c %a /tmp";
    for (name, readonly, expected) in
        [("readonly", true, "exec\n1777\n"), ("writable", false, "root\nexec\n1777\n")]
    {
        let id = yard.running(&provider, &order_with(name, fields(readonly))).await;
        assert_eq!(call(&provider, &id, script).await, expected);
        let host = yard.inspect(&id).await.host_config.unwrap();
        assert_eq!(host.readonly_rootfs, Some(readonly));
    }
}

#[tokio::test]
async fn functions_have_few_rights_and_no_health_checks() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let order = order_with("rights", serde_json::json!({"envProcess": "cat /proc/self/status"}));
    let id = yard.running(&provider, &order).await;
    let status = call(&provider, &id, "").await;
    for line in ["CapBnd:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let found = yard.inspect(&id).await;
    let config = found.config.unwrap();
    assert_eq!(config.healthcheck.unwrap().test.unwrap(), ["NONE"]);
    assert!(found.state.unwrap().health.is_none());
    assert!(found.host_config.unwrap().pids_limit > Some(0));
    assert_eq!(config.labels.unwrap()["faas_function"], "rights");
}

#[tokio::test]
async fn absurd_amounts_are_clamped_and_given_back_word_for_word() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let rows = [("128m", "1m"), ("8Ei", "100000")];
    for (n, (memory, cpu)) in rows.into_iter().enumerate() {
        let amounts = serde_json::json!({"memory": memory, "cpu": cpu});
        let order = order_with(
            &format!("clamp{n}"),
            serde_json::json!({"limits": amounts, "requests": amounts}),
        );
        let made = provider.create(&order).await.unwrap();
        assert_eq!(made.spec.limits.as_ref().unwrap().memory.as_deref(), Some(memory));
        let HostConfig { memory, nano_cpus, memory_reservation, cpu_shares, .. } =
            yard.inspect(&made.id).await.host_config.unwrap();
        for amount in [memory, nano_cpus, memory_reservation, cpu_shares] {
            assert!(amount > Some(0), "{amount:?}");
        }
        assert!(memory >= Some(6 << 20));
        provider.start(&made.id).await.unwrap();
    }
}

#[tokio::test]
async fn functions_find_each_other_and_the_gateway() {
    let Some(yard) = yard().await else { return };
    let provider = yard.provider().await;
    let address = provider.inner_addresses()[0];
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    provider.gateway_at(port);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let answer =
                b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\ngateway\n";
            stream.write_all(answer).await.unwrap();
        }
    });
    let says = |name: &str, namespace: &str| {
        let words =
            serde_json::json!({"namespace": namespace, "envProcess": format!("echo {namespace}")});
        order_with(name, words)
    };
    for namespace in ["ns", "other"] {
        let id = yard.running(&provider, &says("name", namespace)).await;
        assert_eq!(call(&provider, &id, "").await, format!("{namespace}\n"));
    }
    let caller = order_with("caller", serde_json::json!({"envProcess": "sh"}));
    let id = yard.running(&provider, &caller).await;
    let script = format!(
        "for host in name:8080 name.ns:8080 name.other:8080 gateway:{port} gateway.openfaas:{port}; \
         do wget -qO- http://$host/; done; wget -qO- $OPENFAAS_URL/"
    );
    let answer = call(&provider, &id, &script).await;
    assert_eq!(answer, "ns\nns\nother\ngateway\ngateway\ngateway\n");
}
