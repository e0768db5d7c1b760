//! Tests that cannot run where they are.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    sync::{Mutex, PoisonError},
};

static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Says, once and past the capture of output, that a test or a suite cannot run on this machine and
/// what it needs. `.ci/run` fails on such a line.
pub fn left_out(what_needs_what: &str) {
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(what_needs_what.to_owned()) {
        // Nobody is left to tell when this fails.
        let _ = writeln!(io::stderr(), "LEFT OUT: {what_needs_what}");
    }
}
