//! One call of each mode in this process, without a listener: what is left when the connection of
//! the client is taken away.

use std::{sync::Arc, thread, time::Duration};

use benches::serve::{self, Listener, content};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::Request;
use http_body_util::BodyExt as _;
use modes::{
    Body, Config, Context, Mode, classic,
    logs::{Log, Sink, Stream},
    process::{Launcher, Program, Reaper},
    proxy::Target,
    spool, static_files, streaming, upstream,
};
use tokio::runtime::Runtime;

type Failure = Box<dyn std::error::Error>;

/// A log that nobody reads.
struct Nobody;

impl Sink for Nobody {
    fn line(&self, _: Stream, _: &[u8]) {}
    fn raw(&self, _: &[u8]) {}
}

fn log() -> Log {
    Log { sink: Arc::new(Nobody), longest_line: 65536 }
}

fn launcher(argv: &[&str]) -> Launcher {
    let argv: Vec<_> = argv.iter().map(Into::into).collect();
    let program = Program::new(&argv, std::env::var_os("PATH"));
    let environment: Vec<_> = std::env::vars_os().collect();
    Launcher::new(program, &environment, Reaper::new(Duration::from_secs(2)))
}

fn classic_mode() -> Config {
    Config::Classic(classic::Config {
        launcher: launcher(&["cat"]),
        log: log(),
        flavour: classic::Flavour::Classic,
        content_type: None,
        combine_output: true,
        cgi_headers: true,
        marshal_request: false,
        write_debug: false,
        debug_headers: false,
        spares: None,
        zero_copy: modes::ZeroCopy::Auto,
        spool: spool::Config {
            memory: 1 << 20,
            limit: Some(4 << 30),
            directory: std::env::temp_dir(),
        },
    })
}

fn streaming_mode() -> Config {
    let (launcher, log) = (launcher(&["cat"]), log());
    Config::Streaming(streaming::Config {
        launcher,
        log,
        content_type: None,
        cgi_headers: true,
        spares: None,
        zero_copy: modes::ZeroCopy::Auto,
    })
}

fn http_mode(port: u16) -> Config {
    Config::Upstream(upstream::Config {
        launcher: launcher(&["sleep", "1000000"]),
        log: log(),
        target: Target::Tcp { host: "127.0.0.1".into(), port },
        base: String::new(),
        restart: false,
        buffer_requests: None,
        patience: Duration::from_secs(10),
        zero_copy: modes::ZeroCopy::Auto,
    })
}

async fn call(mode: &Mode, target: &str, body: &Bytes) -> Result<usize, Failure> {
    let request = if body.is_empty() { Request::get(target) } else { Request::post(target) };
    let request = request
        .header("host", "function")
        .header("content-length", body.len())
        .body(Body::full(body.clone()))?;
    let response = mode.call(request, Context::default()).await?;
    if response.status() != 200 {
        return Err(format!("status {}", response.status()).into());
    }
    Ok(response.into_body().collect().await?.to_bytes().len())
}

fn measure(
    c: &mut Criterion,
    runtime: &Runtime,
    name: &str,
    mode: Config,
    (target, body, expected): (&str, &Bytes, usize),
) -> Result<(), Failure> {
    let mode = runtime.block_on(async { Mode::build(mode) })?;
    let length = runtime.block_on(call(&mode, target, body))?;
    if length != expected {
        return Err(format!("{name}: {length} bytes instead of {expected}").into());
    }
    c.bench_function(name, |b| {
        b.iter(|| runtime.block_on(call(&mode, target, body)).is_ok());
    });
    runtime.block_on(mode.stop());
    Ok(())
}

fn all(c: &mut Criterion) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (none, kilobyte) = (Bytes::new(), Bytes::from(vec![b'x'; 1024]));
    measure(c, &runtime, "call, classic cat", classic_mode(), ("/", &kilobyte, 1024))?;
    measure(c, &runtime, "call, streaming cat", streaming_mode(), ("/", &kilobyte, 1024))?;

    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("file.txt"), &kilobyte)?;
    let files = Config::Static(static_files::Config {
        root: folder.path().into(),
        zero_copy: modes::ZeroCopy::Auto,
    });
    measure(c, &runtime, "call, static 1 KB", files, ("/file.txt", &none, 1024))?;

    let port = benches::server::free_port().map_err(|error| error.to_string())?;
    let listener =
        Listener::bind(&format!("127.0.0.1:{port}")).map_err(|error| error.to_string())?;
    thread::spawn(move || {
        serve::run::<content::Answering>(&listener, 1, &content::Content::pattern(35))
    });
    measure(c, &runtime, "call, http 35 B", http_mode(port), ("/", &none, 35))
}

#[expect(clippy::panic, reason = "a benchmark that cannot run is to say so and to fail")]
fn modes(c: &mut Criterion) {
    if let Err(error) = all(c) {
        panic!("{error}");
    }
}

criterion_group!(benches, modes);
criterion_main!(benches);
