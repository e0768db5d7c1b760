//! A network of its own: nothing else listens in it or sends through it.

use std::{
    io::ErrorKind,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

/// Set in the copy of this program that runs inside.
const MARK: &str = "BENCHES_OWN_NETWORK";

/// Starts this program again inside a network namespace with a working loopback, unless it is in
/// one already. Returns a note for the report: where it runs, or why not apart.
#[must_use]
pub fn enter() -> String {
    if std::env::var_os(MARK).is_some() {
        return "own network namespace".into();
    }
    let mut unshare = vec!["unshare", "--net"];
    if !rustix::process::geteuid().is_root() {
        unshare.push("--map-root-user");
    }
    let up = "ip link set lo up";
    let trial = Command::new(unshare[0])
        .args(&unshare[1..])
        .args(["sh", "-c", up])
        .stderr(Stdio::null())
        .status();
    match trial {
        Ok(status) if status.success() => {}
        Ok(_) => return format!("the machine's own network (`unshare --net` and `{up}` failed)"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return "the machine's own network (no `unshare`)".into();
        }
        Err(error) => return format!("the machine's own network (`unshare`: {error})"),
    }
    let Ok(program) = std::env::current_exe() else {
        return "the machine's own network (this program cannot be found again)".into();
    };
    let failed = Command::new(unshare[0])
        .args(&unshare[1..])
        .args(["sh", "-c", &format!("{up} && exec \"$0\" \"$@\"")])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(MARK, "1")
        .exec();
    format!("the machine's own network (`unshare`: {failed})")
}
