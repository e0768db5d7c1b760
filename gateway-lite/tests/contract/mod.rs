//! What every back end has to do, whatever it drives. A back end takes part with a [`Ground`] and
//! one line, `contract!(its_ground());`, which makes a test of each check.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use gateway_lite::{
    error::Error,
    function::FunctionSpec,
    provider::{Instance, Lines, Order, Provider, State},
};
use http_body_util::BodyExt as _;
use modes::{
    Body,
    proxy::{Context, Proxy, Target},
};
use time::OffsetDateTime;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(30);
/// What a function has to end on its own.
const GRACE: Duration = Duration::from_secs(10);

/// What the checks need of a back end.
#[async_trait]
pub(crate) trait Ground: Send + Sync {
    /// A provider object, over the same data each time. The one before was dropped.
    async fn open(&self) -> Arc<dyn Provider>;

    /// What makes an instance that answers a POST with its body in capitals, and writes the line
    /// `called` for each.
    fn order(&self, name: &str) -> Order;

    /// Something whose instances cannot be made, and what the error has to name.
    fn unusable(&self) -> (FunctionSpec, String);

    /// Ends an instance's processes behind the provider's back, with SIGKILL.
    async fn kill(&self, id: &str);
}

/// Makes a test of each check, on a ground of its own.
macro_rules! contract {
    ($ground:expr) => {
        contract!(@ $ground;
            nothing_is_listed_at_first, what_cannot_be_made_is_named, a_new_instance_is_parked,
            a_started_instance_answers, an_instance_that_is_killed_comes_back,
            what_is_parked_stays_parked, what_is_dismissed_is_parked_by_the_next, what_is_removed_is_gone, lines_are_told,
            lines_are_followed, usage_is_told, another_object_finds_everything,
            many_are_made_at_once, unknown_instances_are_named);
    };
    (@ $ground:expr; $($check:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                contract::$check(&$ground).await;
            }
        )*
    };
}
pub(crate) use contract;

pub(crate) async fn nothing_is_listed_at_first(ground: &dyn Ground) {
    let provider = ground.open().await;
    assert!(provider.list().await.unwrap().is_empty());
    assert!(!provider.info().name.is_empty() && !provider.info().orchestration.is_empty());
}

pub(crate) async fn what_cannot_be_made_is_named(ground: &dyn Ground) {
    let provider = ground.open().await;
    let (spec, named) = ground.unusable();
    match provider.prepare(&spec).await {
        Err(Error::Invalid(text)) => assert!(text.contains(&named), "{text}"),
        other => panic!("{other:?}"),
    }
    assert!(provider.list().await.unwrap().is_empty());
}

pub(crate) async fn a_new_instance_is_parked(ground: &dyn Ground) {
    let provider = ground.open().await;
    let order = ground.order("new");
    let mut changes = provider.changes();
    provider.prepare(&order.spec).await.unwrap();
    let made = provider.create(&order).await.unwrap();
    assert_eq!(made.state, State::Parked);
    within(changes.changed()).await.unwrap();
    let listed = only(&*provider).await;
    assert_eq!(listed.id, made.id);
    assert_eq!(listed.spec, order.spec, "word for word");
    assert_eq!((listed.function, listed.revision), (order.function, order.revision));
    assert_eq!(listed.deployed.unix_timestamp(), order.deployed.unix_timestamp());
    assert_eq!(provider.usage(&made.id).await.unwrap(), gateway_lite::function::Usage::default());
    provider.remove(&made.id).await.unwrap();
}

pub(crate) async fn a_started_instance_answers(ground: &dyn Ground) {
    let provider = ground.open().await;
    let id = running(ground, &*provider, "answers").await;
    assert_eq!(call(&*provider, &id, "hello").await, "HELLO");
    provider.start(&id).await.unwrap();
    assert_eq!(call(&*provider, &id, "again").await, "AGAIN");
    provider.remove(&id).await.unwrap();
}

pub(crate) async fn an_instance_that_is_killed_comes_back(ground: &dyn Ground) {
    let provider = ground.open().await;
    let id = running(ground, &*provider, "killed").await;
    for _ in 0..2 {
        let mut changes = provider.changes();
        changes.mark_unchanged();
        ground.kill(&id).await;
        within(changes.changed()).await.unwrap();
        assert_eq!(call(&*provider, &id, "back").await, "BACK");
    }
    provider.remove(&id).await.unwrap();
}

pub(crate) async fn what_is_parked_stays_parked(ground: &dyn Ground) {
    let provider = ground.open().await;
    let id = running(ground, &*provider, "parked").await;
    let target = target(&*provider, &id).await;
    for _ in 0..2 {
        within(provider.park(&id, GRACE)).await.unwrap();
        assert_eq!(only(&*provider).await.state, State::Parked);
    }
    assert!(!Proxy::new(target, "", modes::ZeroCopy::Off).accepts().await, "it listens no more");
    provider.start(&id).await.unwrap();
    assert_eq!(call(&*provider, &id, "again").await, "AGAIN");
    provider.remove(&id).await.unwrap();
}

pub(crate) async fn what_is_dismissed_is_parked_by_the_next(ground: &dyn Ground) {
    let provider = ground.open().await;
    let goes = running(ground, &*provider, "goes").await;
    let stays = running(ground, &*provider, "stays").await;
    for id in [&goes, &stays] {
        within(provider.dismiss(id)).await.unwrap();
        assert_eq!(call(&*provider, id, "busy").await, "BUSY", "it ended at once");
    }
    within(provider.start(&stays)).await.unwrap();
    drop(provider);
    let provider = ground.open().await;
    let state = async |id: &str| {
        let all = provider.list().await.unwrap();
        all.into_iter().find(|one| one.id == id).unwrap().state
    };
    eventually("it to be parked", async || state(&goes).await == State::Parked).await;
    assert_eq!(call(&*provider, &stays, "still").await, "STILL");
    provider.start(&goes).await.unwrap();
    assert_eq!(call(&*provider, &goes, "again").await, "AGAIN");
    for id in [goes, stays] {
        provider.remove(&id).await.unwrap();
    }
    assert!(matches!(provider.dismiss("no-such-instance").await, Err(Error::NotFound(_))));
}

pub(crate) async fn what_is_removed_is_gone(ground: &dyn Ground) {
    let provider = ground.open().await;
    let id = running(ground, &*provider, "removed").await;
    let target = target(&*provider, &id).await;
    within(provider.remove(&id)).await.unwrap();
    assert!(provider.list().await.unwrap().is_empty());
    assert!(!Proxy::new(target, "", modes::ZeroCopy::Off).accepts().await);
    provider.remove(&id).await.unwrap();
    assert!(matches!(provider.start(&id).await, Err(Error::NotFound(_))));
}

pub(crate) async fn lines_are_told(ground: &dyn Ground) {
    let provider = ground.open().await;
    let id = running(ground, &*provider, "lines").await;
    let before = OffsetDateTime::now_utc() - Duration::from_secs(5);
    for _ in 0..3 {
        call(&*provider, &id, "x").await;
    }
    eventually("three lines", async || told(&*provider, &id, Lines::default()).await.len() >= 3)
        .await;
    let since = |since| Lines { since: Some(since), ..Lines::default() };
    assert!(told(&*provider, &id, since(before)).await.len() >= 3);
    let later = OffsetDateTime::now_utc() + Duration::from_secs(60);
    assert!(told(&*provider, &id, since(later)).await.is_empty());
    let one = Lines { tail: Some(1), ..Lines::default() };
    let stream = provider.lines(&id, one).await.unwrap();
    assert_eq!(within(stream.count()).await, 1);
    provider.park(&id, GRACE).await.unwrap();
    assert!(told(&*provider, &id, Lines::default()).await.len() >= 3, "also of what is parked");
    provider.remove(&id).await.unwrap();
}

pub(crate) async fn lines_are_followed(ground: &dyn Ground) {
    let provider = ground.open().await;
    let id = running(ground, &*provider, "followed").await;
    let lines = Lines { follow: true, tail: Some(0), since: None };
    let mut stream = provider.lines(&id, lines).await.unwrap();
    call(&*provider, &id, "x").await;
    let seen = async {
        while let Some(line) = stream.next().await {
            if line.unwrap().text.contains("called") {
                return true;
            }
        }
        false
    };
    assert!(within(seen).await, "the stream ended");
    provider.remove(&id).await.unwrap();
    within(async { while stream.next().await.is_some() {} }).await;
}

pub(crate) async fn usage_is_told(ground: &dyn Ground) {
    let provider = ground.open().await;
    let id = running(ground, &*provider, "usage").await;
    eventually("some memory", async || {
        let usage = provider.usage(&id).await.unwrap();
        usage.memory > 100_000.0 && usage.cpu >= 0.0
    })
    .await;
    provider.remove(&id).await.unwrap();
}

pub(crate) async fn another_object_finds_everything(ground: &dyn Ground) {
    let provider = ground.open().await;
    let runs = running(ground, &*provider, "runs").await;
    let parked = provider.create(&ground.order("parked")).await.unwrap().id;
    let before = provider.list().await.unwrap();
    drop(provider);
    let provider = ground.open().await;
    let after = provider.list().await.unwrap();
    let key = |all: &[Instance]| {
        let mut all: Vec<_> = all
            .iter()
            .map(|one| (one.id.clone(), one.spec.clone(), one.revision, one.state.clone()))
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    assert_eq!(key(&after), key(&before));
    assert_eq!(call(&*provider, &runs, "still").await, "STILL");
    let mut changes = provider.changes();
    changes.mark_unchanged();
    ground.kill(&runs).await;
    within(changes.changed()).await.unwrap();
    assert_eq!(call(&*provider, &runs, "kept").await, "KEPT");
    within(provider.park(&runs, GRACE)).await.unwrap();
    for id in [runs, parked] {
        provider.remove(&id).await.unwrap();
    }
    assert!(provider.list().await.unwrap().is_empty());
}

pub(crate) async fn many_are_made_at_once(ground: &dyn Ground) {
    let provider = ground.open().await;
    let order = ground.order("many");
    let making = (0..4).map(|_| async {
        let id = provider.create(&order).await.unwrap().id;
        provider.start(&id).await.unwrap();
        id
    });
    let ids = futures_util::future::join_all(making).await;
    assert_eq!(provider.list().await.unwrap().len(), 4);
    for id in &ids {
        assert_eq!(call(&*provider, id, "one").await, "ONE");
    }
    let removing = ids.iter().map(|id| provider.remove(id));
    for removed in futures_util::future::join_all(removing).await {
        removed.unwrap();
    }
}

pub(crate) async fn unknown_instances_are_named(ground: &dyn Ground) {
    let provider = ground.open().await;
    let id = "no-such-instance";
    let not_found = |error: Error| {
        assert!(matches!(&error, Error::NotFound(text) if text.contains(id)), "{error:?}");
    };
    not_found(provider.start(id).await.unwrap_err());
    not_found(provider.usage(id).await.unwrap_err());
    not_found(provider.lines(id, Lines::default()).await.err().unwrap());
    provider.remove(id).await.unwrap();
}

/// An instance that takes calls.
async fn running(ground: &dyn Ground, provider: &dyn Provider, name: &str) -> String {
    let order = ground.order(name);
    provider.prepare(&order.spec).await.unwrap();
    let id = provider.create(&order).await.unwrap().id;
    provider.start(&id).await.unwrap();
    call(provider, &id, "ready?").await;
    id
}

async fn only(provider: &dyn Provider) -> Instance {
    let mut all = provider.list().await.unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

async fn target(provider: &dyn Provider, id: &str) -> Target {
    let all = provider.list().await.unwrap();
    match all.into_iter().find(|one| one.id == id).unwrap().state {
        State::Running { target } => target,
        other => panic!("{other:?}"),
    }
}

/// The answer of an instance, as soon as there is one.
async fn call(provider: &dyn Provider, id: &str, text: &'static str) -> String {
    let begun = Instant::now();
    loop {
        let all = provider.list().await.unwrap();
        let state = all.into_iter().find(|one| one.id == id).unwrap().state;
        let mut last = format!("{state:?}");
        if let State::Running { target } = state {
            let request = http::Request::post("/").body(Body::full(text)).unwrap();
            match Proxy::new(target, "", modes::ZeroCopy::Off)
                .call(request, Context::default())
                .await
            {
                Ok(answer) if answer.status() == 200 => {
                    let body = answer.into_body().collect().await.unwrap().to_bytes();
                    return String::from_utf8(body.to_vec()).unwrap();
                }
                other => last = format!("{other:?}"),
            }
        }
        assert!(begun.elapsed() < DEADLINE, "no answer: {last}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The lines `called` among those of an instance.
async fn told(provider: &dyn Provider, id: &str, lines: Lines) -> Vec<String> {
    let stream = provider.lines(id, lines).await.unwrap();
    let texts: Vec<_> = within(stream.map(|line| line.unwrap().text).collect()).await;
    texts.into_iter().filter(|text| text.contains("called")).collect()
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, work).await.expect("done in time")
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < DEADLINE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
