//! The side-by-side load harness, the gates and the soak: they start servers as anyone would and
//! talk to them over sockets, with nothing of the products' own code.
//!
//! [`load`] plans, runs and reports; it starts [`server`]s and loads them with [`client`]s, and
//! learns from [`procfs`] what that cost. [`serve`] is the other side: the event loop of the
//! `floor` loops and of the functions that a server is put in front of. [`pattern`] is the content
//! that both sides agree on; [`affinity`] and [`namespace`] keep a run apart from the rest of the
//! machine; [`statistic`] says what a handful of figures is worth.
//!
//! The criterion benchmarks in `benches/*.rs`, one file an idea, do use the products' code:
//! `cargo bench -p benches`.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::missing_errors_doc,
    reason = "measured figures fit; an error names what failed and what to do"
)]

pub mod affinity;
pub mod client;
pub mod gates;
pub mod load;
pub mod namespace;
pub mod pattern;
pub mod probes;
pub mod procfs;
pub mod serve;
pub mod server;
pub mod soak;
pub mod statistic;

/// What went wrong, for whoever started the program: names the thing and what to do.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// See [`Failure`].
pub type Result<T, E = Failure> = std::result::Result<T, E>;

/// The program `name` that was built together with this one.
pub fn sibling(name: &str) -> Result<std::path::PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() {
        return Ok(path);
    }
    Err(format!("{} is missing: cargo build --release -p benches --bins", path.display()).into())
}

/// The first executable file `name` in PATH; a name with a slash is a path.
#[must_use]
pub fn in_path(name: &str) -> Option<std::path::PathBuf> {
    if name.contains('/') {
        return std::path::absolute(name).ok().filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    // Debian keeps daemons where an ordinary user's PATH does not look.
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}
