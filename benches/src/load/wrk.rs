//! A second opinion on our client.

use std::{process::Command, time::Duration};

use super::fixture::Fixture;
use crate::{Result, server::Running};

/// Requests a second, as `wrk` counts them. GETs only.
pub(super) fn rate(
    server: &Running,
    fixture: &Fixture,
    connections: usize,
    time: Duration,
) -> Result<f64> {
    if !fixture.request.bytes().starts_with(b"GET ") {
        return Err("--wrk measures GETs only: name the scenarios static or http".into());
    }
    let output = Command::new("wrk")
        .args(["-t", "1", "-c", &connections.to_string()])
        .args(["-d", &format!("{}s", time.as_secs().max(1))])
        .arg(format!("http://{}{}", server.address, fixture.target))
        .output()
        .map_err(|error| format!("wrk: {error}: install it or leave out --wrk"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"));
    let rate = rate.and_then(|rate| rate.trim().parse().ok());
    rate.ok_or_else(|| format!("wrk printed no rate: {text}").into())
}
