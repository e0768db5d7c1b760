//! The servers that are compared: one command each, for one kind of work, on a free port.

mod gateway;
mod haproxy;
mod kind;
mod nginx;
mod running;
mod watchdog;

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

pub(crate) use self::running::kill;
pub use self::{kind::Kind, running::Running};
use crate::{Result, affinity};

/// What a server has to do.
#[derive(Clone, Debug)]
pub enum Work {
    /// A process for each call, its whole output.
    Classic(Vec<String>),
    /// A process for each call, its output as it comes.
    Streaming(Vec<String>),
    /// Files.
    Static {
        /// The folder.
        root: PathBuf,
        /// The one file that is asked for.
        file: String,
    },
    /// A server that listens already, at `ADDRESS:PORT` or `unix:PATH`.
    Http(String),
    /// A replica of a gateway's function, which listens already: what is asked of the gateway,
    /// without a gateway is asked of the replica.
    Hop {
        /// Where the replica listens: `unix:PATH`.
        replica: String,
        /// The data directory of the gateways that know it.
        data: PathBuf,
    },
}

/// One of those that are compared.
#[derive(Clone, Debug)]
pub struct Contender {
    /// As the report names it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// Its program.
    pub path: PathBuf,
    /// Environment on top of what the work needs.
    pub extra: Vec<(String, String)>,
    /// A command that runs it, such as a tracer with its options.
    pub through: Vec<String>,
}

impl Contender {
    /// A server of the kind that its name says (see [`Kind::of`]).
    #[must_use]
    pub fn new(name: &str, path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
        let (extra, through) = (Vec::new(), Vec::new());
        Self { name: name.into(), kind: Kind::of(name), path, extra, through }
    }

    /// Starts it; it accepts connections when this returns. `folder` is for what it writes.
    pub fn start(&self, work: &Work, folder: &Path) -> Result<Running> {
        let port = free_port()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let log = folder.join(format!("{}.log", self.name));
        let mut command = self.command(work, address, folder)?;
        command
            .envs(self.extra.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(File::create(folder.join(format!("{}.out", self.name)))?)
            .stderr(File::create(&log)?)
            .process_group(0);
        let start = Instant::now();
        let child = command
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", self.path.display()))?;
        Running::when_listening(child, self, address, start, log)
    }

    fn command(&self, work: &Work, address: SocketAddr, folder: &Path) -> Result<Command> {
        let mut command = match self.through.split_first() {
            Some((tool, options)) => {
                let mut command = Command::new(tool);
                command.args(options).arg(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        match self.kind {
            Kind::Fwatchdog => {
                let metrics_port = free_port()?;
                watchdog::fwatchdog(&mut command, work, address.port(), metrics_port, folder)?;
            }
            Kind::Gateway => gateway::serve(&mut command, work, address.port(), folder),
            Kind::Hop => gateway::hop(&mut command, work, address.port())?,
            Kind::OfWatchdog => watchdog::of(&mut command, work, address.port(), folder),
            Kind::ClassicWatchdog => watchdog::classic(&mut command, work, address.port(), folder),
            Kind::Nginx => {
                let file = folder.join("nginx.conf");
                std::fs::write(&file, nginx::config(work, address, folder, affinity::cpus()))?;
                command.arg("-p").arg(folder).arg("-e").arg(folder.join("nginx.err"));
                command.arg("-c").arg(file);
            }
            Kind::Haproxy => {
                let file = folder.join("haproxy.cfg");
                std::fs::write(&file, haproxy::config(work, address, affinity::cpus()))?;
                command.arg("-db").arg("-f").arg(file);
            }
            Kind::Floor => {
                command.arg(address.to_string());
                let spares = self.extra.iter().find(|(name, _)| name == "warm_spares");
                let mode = |name: &str| match spares {
                    Some((_, count)) => vec![format!("{name}-spares"), count.clone()],
                    None => vec![name.to_owned()],
                };
                match work {
                    Work::Classic(program) => command.args(mode("classic")).args(program),
                    Work::Streaming(program) => command.args(mode("streaming")).args(program),
                    Work::Static { root, file } => command.arg("static").arg(root.join(file)),
                    Work::Http(function) | Work::Hop { replica: function, .. } => {
                        command.arg("relay").arg(function)
                    }
                };
            }
        }
        Ok(command)
    }
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
