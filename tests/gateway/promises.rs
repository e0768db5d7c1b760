//! Changes that take long: seen while they do, refused or cancelled by others, and gone on with by
//! the next gateway.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Request,
    gateway::{Function, Gateway, Provider},
};
use serde_json::json;

use crate::{door::Door, gateway, launch};

on_every_provider! {
    removal_outlives_a_gateway_that_is_killed
}

on_docker! {
    function_whose_image_is_pulled_is_seen_and_removed
    function_whose_image_is_pulled_outlives_a_gateway_that_is_killed
}

/// Says that it is a registry, and then nothing more.
struct Registry {
    port: u16,
    /// Questions for images.
    asked: Arc<AtomicUsize>,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<AtomicUsize>::default();
        let registry = Self { port, asked: Arc::clone(&asked) };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let asked = Arc::clone(&asked);
                thread::spawn(move || answer(&stream.unwrap(), &asked));
            }
        });
        registry
    }

    fn image(&self) -> String {
        format!("127.0.0.1:{}/x:latest", self.port)
    }

    fn wait_asked(&self) {
        e2e::eventually(e2e::DEADLINE, "a question for the image", || {
            self.asked.swap(0, Ordering::SeqCst) > 0
        });
    }
}

fn answer(mut stream: &TcpStream, asked: &AtomicUsize) {
    const IS_ONE: &str = "HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\
                          Content-Length: 2\r\n\r\n{}";
    let mut reader = BufReader::new(stream);
    // Whoever begins with TLS finds no line, and tries again without.
    while let Ok([first, ..]) = reader.fill_buf()
        && first.is_ascii_uppercase()
    {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|n| n > 0) {}
        if head.contains("/manifests/") {
            asked.fetch_add(1, Ordering::SeqCst);
            // Until the engine hangs up.
            let _ = reader.read(&mut [0]);
            return;
        }
        stream.write_all(IS_ONE.as_bytes()).unwrap();
    }
}

/// Asks for a function without waiting for the answer.
fn begin(gateway: &Gateway, function: &Function) -> e2e::Client {
    let deployment = function.deployment(gateway).to_string();
    let request = Request::post("/system/functions", deployment)
        .header("Authorization", gateway.authorization().unwrap());
    let mut client = gateway.connect();
    client.send(request.to_bytes());
    client
}

fn function_whose_image_is_pulled_is_seen_and_removed(provider: Provider) {
    let (launch, registry) = (launch(provider), Registry::start());
    let door = Door::open(launch.temp_dir());
    let gateway = launch.env("docker_host", &door.host()).start();
    let function = Function::cat("f").set("image", registry.image().into());
    let mut deploying = begin(&gateway, &function);
    registry.wait_asked();
    assert_eq!(door.pulls(), 1);
    let status = gateway.status("f");
    assert_eq!((&status["replicas"], &status["availableReplicas"]), (&json!(1), &json!(0)));
    assert!(status["problem"].as_str().unwrap().contains(&registry.image()), "{status}");
    assert_eq!(gateway.json("/system/functions")[0]["name"], "f");
    // Nobody is kept waiting for a pull that is another's.
    let begun = Instant::now();
    let scale = json!({ "serviceName": "f", "replicas": 2 });
    for refused in [
        gateway.try_deploy(&Function::cat("f")),
        gateway.try_update(&Function::cat("f")),
        gateway.send("POST", "/system/scale-function/f", &scale),
    ] {
        let text = refused.text();
        assert_eq!(refused.status(), 409, "{text}");
        assert!(text.contains("not deployed yet") && text.contains(&registry.image()), "{text}");
    }
    gateway.remove("f");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let told = deploying.read_response();
    assert_eq!(told.status(), 409, "{}", told.text());
    assert!(told.text().contains("removed meanwhile"), "{}", told.text());
    assert_eq!(gateway.system(Request::get("/system/function/f")).status(), 404);
    e2e::eventually(e2e::DEADLINE, "the pull to end", || door.pulls() == 0);
    // Nor does the next gateway go on with it.
    let gateway = gateway.killed_and_restarted();
    assert_eq!(gateway.json("/system/functions"), json!([]));
    gateway.run(&Function::cat("f"));
}

fn function_whose_image_is_pulled_outlives_a_gateway_that_is_killed(provider: Provider) {
    let (gateway, registry) = (gateway(provider), Registry::start());
    let image = registry.image();
    let least = "com.openfaas.scale.min";
    let function = Function::cat("f").label(least, "2").set("image", image.clone().into());
    let _deploying = begin(&gateway, &function);
    registry.wait_asked();
    let gateway = gateway.killed_and_restarted();
    registry.wait_asked();
    let status = gateway.status("f");
    assert!(status["problem"].as_str().unwrap().contains(&image), "{status}");
    assert_eq!(status["labels"][least], "2", "{status}");
    assert_eq!((&status["replicas"], &status["availableReplicas"]), (&json!(2), &json!(0)));
    // Somebody else brings it.
    let docker = |arguments: &[&str]| {
        assert!(Command::new("docker").args(arguments).status().unwrap().success());
    };
    docker(&["tag", &provider.image(gateway.temp_dir()), &image]);
    let gateway = gateway.killed_and_restarted();
    gateway.wait_ready("f", 2);
    docker(&["rmi", "--no-prune", "--force", &image]);
    assert_eq!(gateway.post("/function/f", "x").text(), "x");
    let gateway = gateway.killed_and_restarted();
    gateway.wait_ready("f", 2);
}

fn removal_outlives_a_gateway_that_is_killed(provider: Provider) {
    let gateway = gateway(provider);
    gateway.run(&Function::sh("f", "read -r time; sleep $time"));
    let mut call = gateway.connect();
    call.send(Request::post("/function/f", "60\n").to_bytes());
    let labels = [("function_name", "f.openfaas-fn")];
    e2e::eventually(e2e::DEADLINE, "the call to be under way", || {
        gateway.metrics().get("gateway_function_invocation_inflight", &labels) == Some(1.0)
    });
    let _removing = gateway.begin_removal("f");
    let again = gateway.try_deploy(&Function::cat("f"));
    assert_eq!(again.status(), 409, "{}", again.text());
    assert!(again.text().contains("being removed"), "{}", again.text());
    let gateway = gateway.killed_and_restarted();
    e2e::eventually(e2e::DEADLINE, "it to be gone", || {
        gateway.system(Request::get("/system/function/f")).status() == 404
    });
    e2e::eventually(e2e::DEADLINE, "its replicas to end", || gateway.replicas_left() == 0);
    gateway.run(&Function::cat("f"));
}
