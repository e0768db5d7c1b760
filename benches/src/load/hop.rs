//! What a hop through a gateway leads to: replicas that a gateway started, and that go on without it.
//!
//! One gateway deploys, and is killed. Its replicas stay, and every gateway that is measured finds
//! them again; nginx, HAProxy and the floor are put in front of the very same replica.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    Result,
    client::{Probe, Request},
    procfs::Process,
    server::{Contender, Kind, Work, kill},
};

/// The function that is called.
pub(super) const NAME: &str = "hop";
/// How long a gateway may take to have a replica.
const PATIENCE: Duration = Duration::from_secs(20);

/// See the module; dropped, it ends the replicas.
#[derive(Debug)]
pub(super) struct Hop {
    data: PathBuf,
    replica: PathBuf,
    replicas: Vec<Process>,
}

impl Hop {
    /// So many functions, each serving the files in `site`.
    pub(super) fn make(
        gateway: &Path,
        site: &Path,
        functions: usize,
        folder: &Path,
    ) -> Result<Self> {
        let data = folder.join("gateway");
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        let mut contender = Contender::new("deploying", gateway);
        contender.kind = Kind::Gateway;
        let work = Work::Hop { replica: String::new(), data: data.clone() };
        let server = contender.start(&work, folder)?;
        let mut api = Probe::connect(server.address)?;
        let deploy = |name: &str, api: &mut Probe| -> Result<()> {
            let spec = json!({
                "service": name,
                "image": site,
                "envVars": { "mode": "static", "static_path": ".", "access_log": "false" },
            });
            let mut answer = Vec::new();
            let request = Request::post("/system/functions", spec.to_string().as_bytes());
            let status = api.call(&request, |piece| answer.extend_from_slice(piece))?;
            if !(200..300).contains(&status) {
                let answer = String::from_utf8_lossy(&answer);
                return Err(format!("deploying {name}: status {status}: {answer}").into());
            }
            // Its first answer: it has a replica.
            let call = Request::get(&format!("/function/{name}/"));
            let start = Instant::now();
            while api.call(&call, |_| {})? == 503 {
                if start.elapsed() > PATIENCE {
                    let log = server.log_end();
                    return Err(format!("function {name} has no replica: {log}").into());
                }
                sleep(Duration::from_millis(10));
            }
            Ok(())
        };
        deploy(NAME, &mut api)?;
        let sockets: Vec<_> = fs::read_dir(data.join("run"))?.flatten().collect();
        let [socket] = &sockets[..] else {
            return Err(format!("{} sockets of one function", sockets.len()).into());
        };
        for number in 1..functions {
            deploy(&format!("idle-{number}"), &mut api)?;
        }
        drop(api);
        Ok(Self { data, replica: socket.path(), replicas: server.abandon()? })
    }

    pub(super) fn work(&self) -> Work {
        let replica = format!("unix:{}", self.replica.display());
        Work::Hop { replica, data: self.data.clone() }
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.replicas.iter().for_each(kill);
    }
}
