//! One call of a function: look up, wait for a replica, pick one, forward, account.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderName, HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use modes::{Body, Context, Deadline};
use watchdog::{
    account::{Account, Entry, Ledger, Sent},
    fields::Fields,
};

use crate::{
    registry::{Function, Registry},
    respond,
    secrets::Secrets,
};

mod key;
mod lease;
mod place;

use self::{lease::Lease, place::Unplaced};

/// Kept from the caller, or made; the same in the request, the response and the log.
const CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
/// When the call reached the gateway, in nanoseconds since 1970.
const START_TIME: HeaderName = HeaderName::from_static("x-start-time");

/// Where a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Anywhere.
    Outside,
    /// A listener that only functions reach.
    Inside,
}

/// Limits of calls.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The longest a call may take, unless its function says otherwise.
    pub timeout: Duration,
    /// The longest a call waits for a replica.
    pub wait: Duration,
    /// How many calls of one function may wait.
    pub most_waiting: usize,
    /// For any stretch in which no byte of the request body arrives.
    pub read_timeout: Option<Duration>,
}

/// Answers calls.
#[derive(Debug)]
pub struct Invoker {
    /// Limits.
    pub settings: Settings,
    /// Who there is to call.
    pub registry: Arc<Registry>,
    /// Keys of callers.
    pub secrets: Arc<Secrets>,
    /// Accounts.
    pub ledger: Arc<Ledger>,
}

impl Invoker {
    /// Answers `request`, whose path begins with `/function/`, on the connection of `account`.
    pub async fn call(
        &self,
        mut request: Request<Incoming>,
        account: &Arc<Account>,
        peer: Option<IpAddr>,
        origin: Origin,
    ) -> Response<Sent> {
        let marks = Marks::set(&mut request);
        let mut entry = Entry::open(account, &request, &Fields::of(request.headers()));
        let mut response = self.answer(request, peer, origin, &mut entry).await;
        marks.show(&mut response);
        entry.answer(response)
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        peer: Option<IpAddr>,
        origin: Origin,
        entry: &mut Entry,
    ) -> Response<Body> {
        let (name, strip) = target(request.uri().path());
        let Some(function) = self.registry.find(name) else { return unknown(name) };
        let revision = function.revision.load();
        if revision.policy.internal && origin == Origin::Outside {
            let text = format!("function {} is internal: only functions may call it", function.id);
            return respond::text(StatusCode::FORBIDDEN, &text);
        }
        if let Some(secret) = &revision.policy.key {
            let key = self.secrets.value(function.id.namespace(), secret);
            if let Err(refused) = key::check(request.headers_mut(), key.as_deref(), &function) {
                return *refused;
            }
        }
        let deadline = Deadline::after(revision.policy.timeout.unwrap_or(self.settings.timeout));
        drop(revision);
        let lease = Lease::begin(&function);
        let counted = lease.clone();
        entry.tell(Box::new(counted));
        let endpoints =
            match place::endpoints(&self.registry, &function, &self.settings, deadline).await {
                Ok(endpoints) => endpoints,
                Err(unplaced) => return refuse(&function, &unplaced),
            };
        let Some(first) = lease.pick(&endpoints) else { return unknown(&function.id.to_string()) };
        let context = Context { peer, deadline: Some(deadline), strip };
        let unread = entry.unread();
        let request =
            request.map(|body| Body::received(body, self.settings.read_timeout, Some(unread)));
        // Once: a function none of whose replicas listens is not found by asking all of them.
        let others = OnceLock::new();
        let next = || {
            if others.get().is_some() {
                return None;
            }
            // The list may have changed since: that is why nobody was there.
            let others = others.get_or_init(|| function.endpoints.load_full());
            lease.pick_another(others).map(|endpoint| &endpoint.proxy)
        };
        match first.proxy.call_or(request, context, next).await {
            Ok(response) => response,
            Err(error) => {
                entry.blame(&error);
                respond::failed(&error)
            }
        }
    }
}

/// The name in `/function/NAME[/...]`, and how many bytes of the path are not the function's.
fn target(path: &str) -> (&str, usize) {
    let prefix = "/function/".len();
    let name = path.get(prefix..).unwrap_or_default();
    let name = name.split('/').next().unwrap_or_default();
    (name, prefix + name.len())
}

fn unknown(name: &str) -> Response<Body> {
    let name: String = name.chars().take(200).collect();
    let text = format!("no such function: {name} (is it deployed, and in this namespace?)");
    respond::text(StatusCode::NOT_FOUND, &text)
}

fn refuse(function: &Function, unplaced: &Unplaced) -> Response<Body> {
    let id = &function.id;
    match unplaced {
        Unplaced::Gone => unknown(&id.to_string()),
        Unplaced::Crowded(most) => {
            let text = format!("{most} calls of function {id} already wait for a replica");
            respond::text(StatusCode::SERVICE_UNAVAILABLE, &text)
        }
        Unplaced::Late(waited) => {
            let problem = function.problem.load();
            let why = problem.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
            let text = format!("no replica of function {id} was ready within {waited:?}{why}");
            respond::text(StatusCode::SERVICE_UNAVAILABLE, &text)
        }
    }
}

/// What marks a call on its way in and out.
struct Marks {
    call_id: HeaderValue,
    start_time: HeaderValue,
}

impl Marks {
    fn set(request: &mut Request<Incoming>) -> Self {
        let headers = request.headers_mut();
        let call_id = match headers.get(CALL_ID) {
            Some(given) => given.clone(),
            None => {
                // It tells calls apart and keeps no secret.
                let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes());
                let mut text = uuid::Uuid::encode_buffer();
                let text = id.into_uuid().hyphenated().encode_lower(&mut text);
                let id = HeaderValue::from_str(text)
                    .unwrap_or_else(|_| HeaderValue::from_static("unknown"));
                headers.insert(CALL_ID, id.clone());
                id
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let start_time = HeaderValue::from(nanoseconds);
        headers.insert(START_TIME, start_time.clone());
        Self { call_id, start_time }
    }

    fn show(self, response: &mut Response<Body>) {
        let headers = response.headers_mut();
        headers.entry(CALL_ID).or_insert(self.call_id);
        headers.entry(START_TIME).or_insert(self.start_time);
        // The watchdog's own wish for its connection is not the gateway's.
        headers.remove(header::CONNECTION);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_told_from_the_path() {
        for (path, name, rest) in [
            ("/function/f", "f", ""),
            ("/function/f/", "f", "/"),
            ("/function/f.ns/a%2Fb//c", "f.ns", "/a%2Fb//c"),
            ("/function/", "", ""),
            ("/function//x", "", "/x"),
        ] {
            let (found, strip) = target(path);
            assert_eq!((found, &path[strip..]), (name, rest), "{path}");
        }
    }
}
