//! What is asked of the control plane.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Function, Gateway};
use crate::{Client, DEADLINE, Request, Response, eventually};

impl Gateway {
    /// One request with credentials on a new connection.
    ///
    /// # Panics
    /// When no response comes.
    #[track_caller]
    pub fn system(&self, request: Request) -> Response {
        match &self.authorization {
            Some(field) => self.call(&request.header("Authorization", field)),
            None => self.call(&request),
        }
    }

    /// A request with a JSON body.
    ///
    /// # Panics
    /// When no response comes.
    #[track_caller]
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Response {
        let request = Request::new(method, path).header("Content-Type", "application/json");
        self.system(request.body(body.to_string()))
    }

    /// `GET path` as JSON.
    ///
    /// # Panics
    /// When it is not answered with 200 and JSON.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let response = self.system(Request::get(path));
        assert_eq!(response.status(), 200, "GET {path}: {}", response.text());
        serde_json::from_slice(&response.body)
            .unwrap_or_else(|error| panic!("GET {path}: {error}: {}", response.text()))
    }

    /// Deploys a function that is not there.
    ///
    /// # Panics
    /// When it is not taken.
    #[track_caller]
    pub fn deploy(&self, function: &Function) {
        let response = self.try_deploy(function);
        assert_eq!(response.status(), 202, "{}\n{}", response.text(), self.log());
    }

    /// Deploys it and waits until it has a replica.
    ///
    /// # Panics
    /// When it is not taken, or never ready.
    #[track_caller]
    pub fn run(&self, function: &Function) {
        self.deploy(function);
        self.wait_ready(&function.path_name(), 1);
    }

    /// `POST /system/functions`.
    ///
    /// # Panics
    /// When no response comes.
    #[track_caller]
    pub fn try_deploy(&self, function: &Function) -> Response {
        self.send("POST", "/system/functions", &function.deployment(self))
    }

    /// `PUT /system/functions`.
    ///
    /// # Panics
    /// When no response comes.
    #[track_caller]
    pub fn try_update(&self, function: &Function) -> Response {
        self.send("PUT", "/system/functions", &function.deployment(self))
    }

    /// `DELETE /system/functions`, which has to succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn remove(&self, name: &str) {
        let body = serde_json::json!({ "functionName": name });
        let response = self.send("DELETE", "/system/functions", &body);
        assert_eq!(response.status(), 202, "{}", response.text());
    }

    /// Asks for the end of a function, and returns once that has begun: the answer is still to be read.
    ///
    /// # Panics
    /// When it does not begin.
    #[must_use]
    #[track_caller]
    pub fn begin_removal(&self, name: &str) -> Client {
        let body = serde_json::json!({ "functionName": name }).to_string();
        let remove = Request::new("DELETE", "/system/functions").body(body);
        let remove = match &self.authorization {
            Some(field) => remove.header("Authorization", field),
            None => remove,
        };
        let mut removing = self.connect();
        removing.send(remove.to_bytes());
        eventually(DEADLINE, "the removal to have begun", || {
            self.status(name)["availableReplicas"] == 0
        });
        removing
    }

    /// `POST /system/scale-function/NAME`, which has to succeed.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn scale(&self, name: &str, replicas: u32) {
        let body = serde_json::json!({ "serviceName": name, "replicas": replicas });
        let response = self.send("POST", &format!("/system/scale-function/{name}"), &body);
        assert_eq!(response.status(), 202, "{}", response.text());
    }

    /// `GET /system/function/NAME`; `NAME.NAMESPACE` for others than the default.
    ///
    /// # Panics
    /// When it is not there.
    #[must_use]
    #[track_caller]
    pub fn status(&self, name: &str) -> Value {
        self.json(&format!("/system/function/{name}?usage=1"))
    }

    /// Waits until exactly so many replicas take calls.
    ///
    /// # Panics
    /// When there are never so many; with the log.
    #[track_caller]
    pub fn wait_ready(&self, name: &str, replicas: u64) {
        let start = Instant::now();
        while self.status(name)["availableReplicas"] != replicas {
            assert!(
                start.elapsed() < DEADLINE,
                "{name}: {}, never {replicas} ready\n{}",
                self.status(name),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `GET /system/logs` of a function without following it; more of the query may be given.
    ///
    /// # Panics
    /// When it is not answered with 200 and lines of JSON.
    #[must_use]
    #[track_caller]
    pub fn logs(&self, name: &str, query: &str) -> Vec<Value> {
        let response = self.system(Request::get(&format!("/system/logs?name={name}{query}")));
        assert_eq!(response.status(), 200, "{}", response.text());
        let line = |line: &str| serde_json::from_str(line).expect("a line of JSON");
        response.text().lines().map(line).collect()
    }

    /// Keeps a secret.
    ///
    /// # Panics
    /// When it is not taken.
    #[track_caller]
    pub fn keep_secret(&self, name: &str, value: &str) {
        let body = serde_json::json!({ "name": name, "value": value });
        let response = self.send("POST", "/system/secrets", &body);
        assert_eq!(response.status(), 202, "{}", response.text());
    }

    /// Makes a namespace.
    ///
    /// # Panics
    /// When it is not taken.
    #[track_caller]
    pub fn make_namespace(&self, name: &str) {
        let body = serde_json::json!({ "name": name });
        let response = self.send("POST", "/system/namespace/", &body);
        assert_eq!(response.status(), 200, "{}", response.text());
    }
}
