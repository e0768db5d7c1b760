//! The Docker back end with a real engine: the contract of all back ends, and its own rules.
//!
//! Needs an engine at `/var/run/docker.sock` with the image `kennel/alpine`: `.ci/docker` brings
//! both. Each test has a data directory, and so a mark, and a network of its own.

#![expect(clippy::expect_used, clippy::unwrap_used, reason = "tests fail by panicking")]

mod contract;
mod docker;

use std::sync::Arc;

use async_trait::async_trait;
use gateway_lite::{
    function::FunctionSpec,
    provider::{Order, Provider},
};

use self::{
    contract::{Ground, contract},
    docker::ground::{Yard, order_with, yard},
};

#[async_trait]
impl Ground for Yard {
    async fn open(&self) -> Arc<dyn Provider> {
        self.provider().await
    }

    fn order(&self, name: &str) -> Order {
        order_with(name, serde_json::json!({}))
    }

    fn unusable(&self) -> (FunctionSpec, String) {
        let spec = FunctionSpec {
            service: "f".to_owned(),
            image: "kennel/No Such".to_owned(),
            ..FunctionSpec::default()
        };
        (spec, "kennel/No Such".to_owned())
    }

    async fn kill(&self, id: &str) {
        self.kill_process(id).await;
    }
}

contract!(match yard().await {
    Some(yard) => yard,
    None => return,
});
