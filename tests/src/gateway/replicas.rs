//! What the provider, and not the gateway, says of replicas; and what happens to them.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
};

use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::{Function, Gateway, Provider, pid, provider::docker};
use crate::{DEADLINE, eventually, procfs};

/// How [`Gateway::cut_off`] is told to a container of [`Provider::mortal`].
const CUT_OFF: &str = "/tmp/cut-off";

impl Gateway {
    /// How many replicas run, whatever the gateway says.
    #[must_use]
    pub fn running_replicas(&self) -> usize {
        match self.provider() {
            Provider::Process => self.started_processes().len(),
            Provider::Docker => self.containers(&[]).len(),
        }
    }

    /// How many replicas there are, parked ones among containers included.
    #[must_use]
    pub fn replicas_left(&self) -> usize {
        match self.provider() {
            Provider::Process => self.started_processes().len(),
            Provider::Docker => self.containers(&["--all"]).len(),
        }
    }

    /// The process of each replica's watchdog that lives, in ascending order.
    #[must_use]
    pub fn replica_pids(&self, name: &str) -> Vec<i64> {
        let mut pids: Vec<i64> = match self.provider() {
            Provider::Process => {
                let pids = records(&self.data(), name).into_iter().filter_map(|(_, record)| {
                    let pid = u32::try_from(record["process"]["pid"].as_i64()?).ok()?;
                    procfs::read(pid).filter(|found| found.state != 'Z').map(|_| i64::from(pid))
                });
                pids.collect()
            }
            Provider::Docker => {
                let pids = self.containers_of(name).into_iter();
                pids.filter_map(|id| inspect(&id, "{{.State.Pid}}").parse().ok()).collect()
            }
        };
        pids.retain(|pid| *pid > 0);
        pids.sort_unstable();
        pids
    }

    /// Kills a function's replicas, as nobody but a stranger would.
    pub fn kill_replicas(&self, name: &str) {
        match self.provider() {
            Provider::Process => {
                for replica in self.replica_pids(name) {
                    let replica = u32::try_from(replica).expect("a process id");
                    // It may have ended meanwhile.
                    let _ = kill_process(pid(replica), Signal::KILL);
                }
            }
            Provider::Docker => {
                for id in self.containers_of(name) {
                    docker(&["kill", &id]);
                }
            }
        }
    }

    /// Makes so many replicas of a function deployed with [`Provider::mortal`] refuse connections,
    /// in a way that the provider cannot notice: their processes live.
    ///
    /// # Panics
    /// When there are fewer, or they go on listening.
    #[track_caller]
    pub fn cut_off(&self, name: &str, replicas: usize) {
        match self.provider() {
            Provider::Process => {
                let ids = records(&self.data(), name).into_iter().map(|(id, _)| id).take(replicas);
                let ids: Vec<_> = ids.collect();
                assert_eq!(ids.len(), replicas);
                for id in ids {
                    fs::remove_file(self.data().join("run").join(id)).expect("its socket");
                }
            }
            Provider::Docker => {
                let ids = self.containers_of(name);
                assert!(ids.len() >= replicas, "{ids:?}");
                for id in ids.iter().take(replicas) {
                    docker(&["exec", id, "touch", CUT_OFF]).expect("a container that runs");
                    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:8080";
                    let address: SocketAddr = inspect(id, format).parse().expect("its address");
                    eventually(DEADLINE, "it to refuse connections", || {
                        TcpStream::connect(address).is_err()
                    });
                }
            }
        }
    }

    /// What a function's replicas, one after the other, wrote to a file in their `TMPDIR`.
    #[must_use]
    pub fn written(&self, name: &str, file: &str) -> String {
        match self.provider() {
            Provider::Process => records(&self.data(), name)
                .into_iter()
                .filter_map(|(id, _)| {
                    fs::read_to_string(folder(&self.data(), name).join(id).join("tmp").join(file))
                        .ok()
                })
                .collect(),
            Provider::Docker => {
                let copy = |id: &String| {
                    let folder = tempfile::tempdir().expect("a folder");
                    let to = folder.path().join("file").display().to_string();
                    docker(&["cp", &format!("{id}:/tmp/{file}"), &to])?;
                    fs::read_to_string(to).ok()
                };
                self.containers_of(name).iter().filter_map(copy).collect()
            }
        }
    }

    /// The containers of a function, those that do not run included.
    fn containers_of(&self, name: &str) -> Vec<String> {
        let (name, namespace) = split(name);
        let [name, namespace] = [("function", name), ("namespace", namespace)]
            .map(|(key, value)| format!("label=dev.kennel.{key}={value}"));
        self.containers(&["--all", "--filter", &name, "--filter", &namespace])
    }

    fn containers(&self, more: &[&str]) -> Vec<String> {
        let mark = fs::read_to_string(self.data().join("docker/gateway")).unwrap_or_default();
        let ours = format!("label=dev.kennel.gateway={}", mark.trim());
        let all = docker(&[&["ps", "--quiet", "--no-trunc", "--filter", &ours], more].concat());
        all.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    }
}

impl Provider {
    /// The function, deployed so that [`Gateway::cut_off`] can cut its replicas off: a container has
    /// to have a process that lives on without the watchdog.
    #[must_use]
    pub fn mortal(self, function: Function) -> Function {
        const IMAGE: &str = "kennel-e2e/mortal:latest";
        static MADE: std::sync::Mutex<bool> = std::sync::Mutex::new(false);
        if self == Self::Process {
            return function;
        }
        let mut made = MADE.lock().expect("made, or failed before");
        if !*made {
            let script = format!(
                "fwatchdog & pid=$!; while [ ! -e {CUT_OFF} ]; do sleep 0.02; done; kill -9 $pid; exec sleep 1000"
            );
            let from = docker(&["create", super::provider::IMAGE]).expect("the image of all");
            let command = serde_json::json!(["sh", "-c", script]);
            let change = format!("CMD {command}");
            docker(&["commit", "--change", &change, from.trim(), IMAGE]).expect("an image");
            docker(&["rm", from.trim()]);
            *made = true;
        }
        function.set("image", IMAGE.into())
    }
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or((name, "openfaas-fn"))
}

fn inspect(id: &str, format: &str) -> String {
    docker(&["inspect", "--format", format, id]).unwrap_or_default().trim().to_owned()
}

fn folder(data: &Path, name: &str) -> PathBuf {
    let (name, namespace) = split(name);
    data.join("instances").join(namespace).join(name)
}

/// The instances of `DATA/instances/NAMESPACE/NAME/ID/instance.json`, and these records.
fn records(data: &Path, name: &str) -> Vec<(String, Value)> {
    let entries = fs::read_dir(folder(data, name)).into_iter().flatten().flatten();
    let read = |entry: fs::DirEntry| {
        let record = fs::read(entry.path().join("instance.json")).ok()?;
        let id = entry.file_name().into_string().ok()?;
        Some((id, serde_json::from_slice(&record).ok()?))
    };
    entries.filter_map(read).collect()
}
