//! What a scenario needs beside its servers: files, a function that listens, the right answer.

use std::{
    cell::OnceCell,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use super::{hop::Hop, scenario::Task};
use crate::{
    Result,
    client::Request,
    in_path,
    pattern::{self, Expected},
    serve::Socket,
    server::{Work, free_port},
    sibling,
};

/// See the module.
#[derive(Debug)]
pub(crate) struct Fixture {
    pub(crate) work: Work,
    /// The function over TCP too, for those that are compared over it.
    pub(crate) tcp: Option<Work>,
    pub(crate) request: Request,
    pub(crate) target: String,
    pub(crate) expected: Expected,
    /// Requests a second without spares, once somebody measured it.
    pub(crate) capacity: OnceCell<f64>,
    functions: Vec<Child>,
    /// Held for its replicas, which end with it.
    hop: Option<Hop>,
}

impl Fixture {
    /// What `task` needs, in `folder`; `gateway` is the program of tasks about one.
    pub(crate) fn make(task: Task, folder: &Path, gateway: Option<&Path>) -> Result<Self> {
        let body = &pattern::block()[..1024];
        let echo = |work| Self::new(work, Request::post("/", body), Expected::Exact(body.into()));
        let get = |work, expected| Self::new(work, Request::get("/"), expected);
        Ok(match task {
            Task::Cat => echo(Work::Classic(vec![program("cat")?])),
            Task::StreamingCat => echo(Work::Streaming(vec![program("cat")?])),
            Task::StaticCat => echo(Work::Classic(vec![static_busybox()?, "cat".into()])),
            Task::Python => echo(Work::Classic(python(folder)?)),
            Task::StreamingPython => echo(Work::Streaming(python(folder)?)),
            Task::Output(bytes) => get(Work::Classic(head(bytes)?), Expected::Zeros(bytes)),
            Task::Head(bytes) => get(Work::Streaming(head(bytes)?), Expected::Zeros(bytes)),
            Task::Writes(bytes) => {
                let work = Work::Streaming(function(&["write", &bytes.to_string()])?);
                get(work, Expected::Pattern(bytes))
            }
            Task::Stamps => {
                get(Work::Streaming(function(&["stamps", "200", "2"])?), Expected::Anything)
            }
            Task::Burn(milliseconds) => {
                let work = Work::Classic(function(&["burn", &milliseconds.to_string()])?);
                get(work, Expected::Exact(b"done\n".into()))
            }
            Task::File(bytes) => {
                let (root, file) = (folder.join("files"), format!("{bytes}.txt"));
                let target = format!("/{file}");
                write_file(&root, &file, bytes)?;
                let work = Work::Static { root, file };
                let mut fixture = Self::new(work, Request::get(&target), Expected::Pattern(bytes));
                fixture.target = target;
                fixture
            }
            Task::Reply(bytes) => {
                let (address, child) = reply(None, bytes)?;
                let mut fixture = get(Work::Http(address), Expected::Pattern(bytes));
                fixture.functions.push(child);
                fixture
            }
            Task::UnixReply(bytes) => {
                let path = folder.join("function.sock");
                let _ = fs::remove_file(&path);
                let (address, child) = reply(Some(&path), bytes)?;
                let mut fixture = get(Work::Http(address), Expected::Pattern(bytes));
                fixture.functions.push(child);
                let (address, child) = reply(None, bytes)?;
                fixture.tcp = Some(Work::Http(address));
                fixture.functions.push(child);
                fixture
            }
            Task::Hop(functions, bytes) => {
                let gateway = gateway.ok_or("it needs --gateway PATH")?;
                let file = format!("{bytes}.txt");
                // The same path for all: a gateway passes on what follows the function's name, the
                // others all of it.
                let target = format!("/function/{}/{file}", super::hop::NAME);
                let root = folder.join("site");
                write_file(&root, &file, bytes)?;
                let inner = root.join("function").join(super::hop::NAME);
                write_file(&inner, &file, bytes)?;
                let hop = Hop::make(gateway, &root, functions, folder)?;
                let work = hop.work();
                let mut fixture = Self::new(work, Request::get(&target), Expected::Pattern(bytes));
                (fixture.target, fixture.hop) = (target, Some(hop));
                fixture
            }
        })
    }

    fn new(work: Work, request: Request, expected: Expected) -> Self {
        let functions = Vec::new();
        let (target, capacity) = ("/".into(), OnceCell::new());
        Self { work, tcp: None, request, target, expected, capacity, functions, hop: None }
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        for function in &mut self.functions {
            let _ = function.kill();
            let _ = function.wait();
        }
    }
}

fn program(name: &str) -> Result<String> {
    let path = in_path(name).ok_or_else(|| format!("no {name} in PATH: install it"))?;
    Ok(path.to_string_lossy().into_owned())
}

/// A busybox that needs no loader: one whose first page names none.
fn static_busybox() -> Result<String> {
    let path = program("busybox").map_err(|_| "no busybox in PATH: install busybox-static")?;
    let image = fs::read(&path)?;
    let start = &image[..image.len().min(4096)];
    if start.windows(3).any(|bytes| bytes == b"/ld") {
        return Err(format!("{path} is linked dynamically: install busybox-static").into());
    }
    Ok(path)
}

/// What `python3` in PATH stands for: a version manager's shell script would be what is measured.
fn python(folder: &Path) -> Result<Vec<String>> {
    let output = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()
        .map_err(|error| format!("python3: {error}: install it"))?;
    let path = String::from_utf8(output.stdout)?.trim().to_owned();
    let script = folder.join("echo.py");
    fs::write(&script, "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())\n")?;
    Ok(vec![path, script.to_string_lossy().into_owned()])
}

fn head(bytes: u64) -> Result<Vec<String>> {
    Ok(vec![program("head")?, "-c".into(), bytes.to_string(), "/dev/zero".into()])
}

fn function(arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = vec![sibling("function")?.to_string_lossy().into_owned()];
    command.extend(arguments.iter().map(ToString::to_string));
    Ok(command)
}

fn write_file(root: &Path, name: &str, bytes: u64) -> Result<()> {
    fs::create_dir_all(root)?;
    let path: PathBuf = root.join(name);
    if path.exists() {
        return Ok(());
    }
    let (mut file, block) = (fs::File::create(path)?, pattern::block());
    let mut left = bytes as usize;
    while left > 0 {
        let piece = left.min(block.len());
        file.write_all(&block[..piece])?;
        left -= piece;
    }
    Ok(())
}

/// The function behind a proxy, and where it listens.
fn reply(socket: Option<&Path>, bytes: u64) -> Result<(String, Child)> {
    let address = match socket {
        Some(path) => format!("unix:{}", path.display()),
        None => format!("127.0.0.1:{}", free_port()?),
    };
    let child = Command::new(sibling("function")?)
        .args(["reply", &address, &bytes.to_string()])
        .stdin(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    while Socket::connect(&address).is_err() {
        if start.elapsed() > Duration::from_secs(5) {
            return Err(format!("the function does not listen at {address}").into());
        }
        sleep(Duration::from_millis(1));
    }
    Ok((address, child))
}
