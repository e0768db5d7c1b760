//! `/system/info`.

use axum::{extract::State, response::Response};
use serde_json::json;

use super::Api;

/// All nested objects are always there: faas-cli looks into them without asking.
pub(super) async fn get(State(api): State<Api>) -> Response {
    let provider = api.provider.info();
    let version = env!("CARGO_PKG_VERSION");
    super::show(&json!({
        "arch": std::env::consts::ARCH,
        "provider": {
            "provider": provider.name,
            "orchestration": provider.orchestration,
            "version": { "release": provider.version, "sha": "" },
        },
        "version": { "release": version, "sha": "" },
    }))
}
