//! One call of a function: look up, wait for a replica, pick one, forward, account.

use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};

use http::{Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use modes::{Body, Context, Deadline, proxy::Next};
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
mod marks;
mod place;

use self::{lease::Lease, marks::Marks, place::Unplaced};

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

/// A call that has begun.
#[derive(Debug)]
pub struct Call {
    entry: Box<Entry>,
    marks: Marks,
}

impl Call {
    /// Opens the call that `request` begins on the connection of `account`; `fields` are what its
    /// headers say.
    #[must_use]
    pub fn open<B>(request: &Request<B>, fields: &Fields<'_>, account: &Arc<Account>) -> Self {
        let call_id = marks::call_id(fields.call_id);
        let fields = Fields { call_id: Some(&call_id), ..*fields };
        let entry = Entry::open(account, request, &fields);
        let marks = Marks::new(call_id, entry.started());
        Self { entry, marks }
    }
}

impl Invoker {
    /// Answers `request`, whose path begins with `/function/`.
    pub async fn answer(
        &self,
        call: Call,
        mut request: Request<Incoming>,
        peer: Option<IpAddr>,
        origin: Origin,
    ) -> Response<Sent> {
        let Call { mut entry, marks } = call;
        let mut response = match self.admit(&mut request, origin) {
            // Pinned where they are made: they are large to move.
            Ok(admitted) => pin!(self.forward(admitted, request, peer, &marks, &mut entry)).await,
            Err(refused) => *refused,
        };
        marks.show(response.headers_mut());
        entry.answer(response)
    }

    /// The function that is called, and how long it may take, if this caller may call it.
    fn admit(
        &self,
        request: &mut Request<Incoming>,
        origin: Origin,
    ) -> Result<(Arc<Function>, Duration), Box<Response<Body>>> {
        let (name, _) = target(request.uri().path());
        let Some(function) = self.registry.find(name) else { return Err(unknown(name).into()) };
        let revision = function.revision.load();
        let policy = &revision.policy;
        if policy.internal && origin == Origin::Outside {
            let text = format!("function {} is internal: only functions may call it", function.id);
            return Err(respond::text(StatusCode::FORBIDDEN, &text).into());
        }
        if let Some(secret) = &policy.key {
            let key = self.secrets.value(function.id.namespace(), secret);
            key::check(request.headers_mut(), key.as_deref(), &function)?;
        }
        let timeout = policy.timeout.unwrap_or(self.settings.timeout);
        drop(revision);
        Ok((function, timeout))
    }

    async fn forward(
        &self,
        (function, timeout): (Arc<Function>, Duration),
        request: Request<Incoming>,
        peer: Option<IpAddr>,
        marks: &Marks,
        entry: &mut Entry,
    ) -> Response<Body> {
        let deadline = Deadline::since(entry.started(), timeout);
        let lease = Lease::begin(function);
        entry.tell(lease.clone());
        let function = lease.function();
        let picked = lease.pick(&function.endpoints.load());
        let (first, began) = match picked {
            Some(first) => (first, Some(entry.started())),
            None => {
                // Boxed: most calls find a replica at once.
                let waited =
                    Box::pin(place::endpoints(&self.registry, function, &self.settings, deadline));
                match waited.await.map(|endpoints| lease.pick(&endpoints)) {
                    Ok(Some(first)) => (first, None),
                    Ok(None) => return unknown(&function.id.to_string()),
                    Err(unplaced) => return refuse(function, &unplaced),
                }
            }
        };
        let (_, strip) = target(request.uri().path());
        let context = Context { peer, began, deadline: Some(deadline), strip };
        let read_timeout = self.settings.read_timeout;
        let request = request.map(|body| {
            if body.is_end_stream() {
                return Body::empty();
            }
            Body::received(body, read_timeout, Some(entry.unread()))
        });
        // Once: a function none of whose replicas listens is not found by asking all of them.
        let (registry, settings, lease) = (&*self.registry, &self.settings, &*lease);
        let next = || -> Next<'_> {
            Box::pin(async move {
                let other = place::another(registry, lease, settings, deadline).await?;
                Some(&other.proxy)
            })
        };
        match pin!(first.proxy.call_or(request, context, &marks.added(), next)).await {
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
