//! Who starts replicas, as a parameter of every suite.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::left_out;

/// A back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Plain processes.
    Process,
    /// Containers.
    Docker,
}

/// The image of every function of the suites.
pub(super) const IMAGE: &str = "kennel-e2e/function:latest";

/// What functions need; the rest is `sh`.
const PROGRAMS: [&str; 13] =
    ["sh", "bash", "cat", "sleep", "tr", "head", "env", "ls", "seq", "dd", "touch", "rm", "wc"];

/// Runs what the function's author wrote.
const RUN: &str = "eval \"$SCRIPT\"\n";

impl Provider {
    /// Containers, if an engine answers. Says so if none does.
    #[must_use]
    pub fn docker() -> Option<Self> {
        static ANSWERS: OnceLock<bool> = OnceLock::new();
        let answers = *ANSWERS.get_or_init(|| docker(&["version"]).is_some());
        if !answers {
            left_out("docker suites of the gateway need a Docker engine that answers");
        }
        answers.then_some(Self::Docker)
    }

    /// Containers, if an engine answers that has all these images. Says so if not.
    #[must_use]
    pub fn docker_with(images: &[&str]) -> Option<Self> {
        let containers = Self::docker()?;
        let missing: Vec<_> = images
            .iter()
            .filter(|image| docker(&["image", "inspect", image]).is_none())
            .copied()
            .collect();
        if !missing.is_empty() {
            left_out(&format!(
                "images of the examples need {} (.ci/docker makes them)",
                missing.join(", ")
            ));
        }
        missing.is_empty().then_some(containers)
    }

    /// What settings call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Docker => "docker",
        }
    }

    /// What is deployed as the image of every function.
    #[must_use]
    pub fn image(self, temp: &Path) -> String {
        match self {
            Self::Process => folder(temp).display().to_string(),
            Self::Docker => IMAGE.to_owned(),
        }
    }

    /// Makes that image.
    pub(super) fn lay_out(self, temp: &Path, upstream: &str, gateway: &Path) {
        match self {
            Self::Process => {
                let folder = folder(temp);
                fs::create_dir(&folder).expect("a folder");
                fs::write(folder.join("run.sh"), RUN).expect("a file");
                std::os::unix::fs::symlink(upstream, folder.join("upstream")).expect("a link");
            }
            Self::Docker => {
                static MADE: OnceLock<()> = OnceLock::new();
                MADE.get_or_init(|| import(upstream, gateway));
            }
        }
    }

    /// Ends the replicas of the gateway with this data directory.
    pub(super) fn end_all(self, data: &Path) {
        if self == Self::Process {
            // They are found by their environment.
            return;
        }
        let Ok(mark) = fs::read_to_string(data.join("docker/gateway")) else { return };
        let filter = format!("label=dev.kennel.gateway={}", mark.trim());
        let all = docker(&["ps", "--all", "--quiet", "--filter", &filter]).unwrap_or_default();
        for id in all.split_whitespace() {
            docker(&["rm", "--force", "--volumes", id]);
        }
        let all = docker(&["network", "ls", "--quiet", "--filter", &filter]).unwrap_or_default();
        for id in all.split_whitespace() {
            docker(&["network", "rm", id]);
        }
    }
}

fn folder(temp: &Path) -> PathBuf {
    temp.join("function")
}

/// What the command wrote, if it succeeded.
pub(super) fn docker(arguments: &[&str]) -> Option<String> {
    let done = Command::new("docker").args(arguments).stdin(Stdio::null()).output().ok()?;
    done.status.success().then(|| String::from_utf8_lossy(&done.stdout).into_owned())
}

/// An image of this machine's own programs, so that no registry is needed.
fn import(upstream: &str, gateway: &Path) {
    let root = tempfile::tempdir().expect("a folder");
    let script = format!(
        r#"set -e
        cd "$1"
        mkdir -p bin usr/bin tmp home/app etc var/openfaas/secrets
        chmod 1777 tmp
        echo 'app:x:1000:1000::/home/app:/bin/sh' > etc/passwd
        printf '%s' "$RUN" > home/app/run.sh
        install "$2" home/app/upstream
        install "$3" usr/bin/gateway-lite
        printf '#!/bin/sh\nexec /usr/bin/gateway-lite watchdog\n' > usr/bin/fwatchdog
        chmod +x usr/bin/fwatchdog
        for name in {programs}; do install "$(readlink -f "$(command -v $name || echo /usr/bin/$name)")" bin/$name; done
        for file in bin/* home/app/upstream usr/bin/gateway-lite; do
            ldd $file 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
                mkdir -p ".${{library%/*}}"
                cp -L "$library" ".$library"
            done
        done
        tar c . | docker import --change 'WORKDIR /home/app' --change 'USER 1000' \
            --change 'ENV PATH=/usr/bin:/bin TMPDIR=/tmp' --change 'CMD ["fwatchdog"]' - {IMAGE}"#,
        programs = PROGRAMS.join(" "),
    );
    let made = Command::new("bash")
        .args(["-c", &script, "import"])
        .arg(root.path())
        .arg(upstream)
        .arg(gateway)
        .env("RUN", RUN)
        .output()
        .expect("bash");
    assert!(made.status.success(), "no image: {}", String::from_utf8_lossy(&made.stderr));
}
