//! Packs the relative relocations of a static binary (RELR): a thirtieth of their size.

#![expect(clippy::disallowed_methods, reason = "how cargo and a build script talk")]

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if is_static_glibc() && glibc_relocates_relr() == Some(true) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// A dynamic binary would ask for a newer glibc than it needs otherwise.
fn is_static_glibc() -> bool {
    let features = std::env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    features.split(',').any(|feature| feature == "crt-static")
        && std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu")
        && std::env::var("HOST") == std::env::var("TARGET")
}

/// Whether the glibc that is linked in, this machine's, knows the format: it does from 2.36.
fn glibc_relocates_relr() -> Option<bool> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?) >= (2, 36))
}
