//! `/system/alert`: what Alertmanager says about the load of functions.

use axum::{
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;

use super::{Api, functions};
use crate::error::{Error, Result};

#[derive(Debug, Deserialize)]
struct Alerts {
    #[serde(default)]
    alerts: Vec<Alert>,
}

#[derive(Debug, Deserialize)]
struct Alert {
    status: String,
    labels: Labels,
}

#[derive(Debug, Deserialize)]
struct Labels {
    function_name: String,
}

/// An unknown function is no error: alerts outlive functions.
pub(super) async fn post(State(api): State<Api>, body: Bytes) -> Result<Response> {
    let alerts: Alerts = super::read("alerts", &body)?;
    for alert in alerts.alerts {
        let id = functions::named(&alert.labels.function_name, None)?;
        match api.control.alert(&id, alert.status == "firing") {
            Err(Error::NotFound(text)) => tracing::info!("an alert is ignored: {text}"),
            done => done?,
        }
    }
    Ok(StatusCode::OK.into_response())
}
