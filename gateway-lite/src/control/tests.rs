//! Orders of events, with a back end in memory.

mod kitchen;
mod memory;

use kitchen::{Kitchen, eventually, hasty};
use memory::Memory;

use super::*;
use crate::registry::Endpoint;

fn id() -> FunctionId {
    FunctionId::new("f", "n").unwrap()
}

fn spec(image: &str, labels: &[(&str, &str)]) -> FunctionSpec {
    let labels: HashMap<_, _> = labels.iter().copied().collect();
    let json =
        serde_json::json!({"service": "f", "namespace": "n", "image": image, "labels": labels});
    serde_json::from_value(json).unwrap()
}

const MIN: &str = crate::function::policy::SCALE_MIN;
const MAX: &str = crate::function::policy::SCALE_MAX;

#[tokio::test]
async fn deployed_function_serves_until_it_is_removed() {
    let kitchen = Kitchen::open("life").await;
    let control = &kitchen.control;
    assert_eq!(control.deploy(spec("good", &[(MIN, "2")])).await, Ok(Accepted::Done));
    kitchen.until_ready(1, 2).await;
    assert_eq!(control.usage(&id()).await, Some(Usage { cpu: 2.0, memory: 4.0 }));
    assert!(matches!(control.deploy(spec("good", &[])).await, Err(Error::Conflict(_))));
    assert_eq!(control.remove(&id()).await, Ok(Accepted::Done));
    assert!(kitchen.registry.get(&id()).is_none());
    assert_eq!(kitchen.provider.all(), []);
    assert!(matches!(control.remove(&id()).await, Err(Error::NotFound(_))));
    assert!(matches!(control.update(spec("good", &[])).await, Err(Error::NotFound(_))));
    assert!(matches!(control.scale(&id(), 1).await, Err(Error::NotFound(_))));
    assert!(matches!(control.alert(&id(), true), Err(Error::NotFound(_))));
}

#[tokio::test]
async fn failed_deployment_leaves_nothing() {
    let kitchen = Kitchen::open("nothing").await;
    for (image, named) in [("refused", "no such command"), ("missing", "no image missing")] {
        let error = kitchen.control.deploy(spec(image, &[(MIN, "3")])).await.unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(kitchen.provider.all(), []);
        assert!(kitchen.registry.get(&id()).is_none());
    }
    let mut lacking = spec("good", &[]);
    lacking.secrets = Some(vec!["sauce".to_owned()]);
    let error = kitchen.control.deploy(lacking).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("sauce")), "{error}");
    assert_eq!(kitchen.control.deploy(spec("good", &[])).await, Ok(Accepted::Done));
    kitchen.until_ready(1, 1).await;
}

#[tokio::test]
async fn one_of_two_deployments_at_once_wins() {
    let kitchen = Kitchen::open("two").await;
    let one = kitchen.control.deploy(spec("good", &[]));
    let (one, two) = tokio::join!(one, kitchen.control.deploy(spec("good", &[])));
    let is_conflict = |result: &Result<_>| matches!(result, Err(Error::Conflict(_)));
    assert!(
        one.is_ok() && is_conflict(&two) || two.is_ok() && is_conflict(&one),
        "{one:?} {two:?}"
    );
    kitchen.until_ready(1, 1).await;
    assert_eq!(kitchen.provider.all().len(), 1);
}

#[tokio::test]
async fn update_leaves_no_gap_and_waits_for_calls() {
    let kitchen = Kitchen::open("update").await;
    kitchen.control.deploy(spec("good", &[(MIN, "2")])).await.unwrap();
    kitchen.until_ready(1, 2).await;
    let old = kitchen.ready();
    old[0].in_flight.fetch_add(1, Ordering::SeqCst);
    let function = kitchen.function();
    let watched = tokio::spawn(async move {
        while function.revision.load().number == 1 {
            assert!(!function.endpoints.load().is_empty());
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(kitchen.control.update(spec("good", &[(MIN, "2")])).await, Ok(Accepted::Done));
    watched.await.unwrap();
    kitchen.until_ready(2, 2).await;
    let running = kitchen.provider.running();
    kitchen.until_all(&[(1, running.clone()), (2, running.clone()), (2, running.clone())]).await;
    old[0].in_flight.fetch_sub(1, Ordering::SeqCst);
    kitchen.until_all(&[(2, running.clone()), (2, running)]).await;
}

#[tokio::test]
async fn failed_update_leaves_the_old_version_and_says_why() {
    let settings = Settings { ready_within: Duration::from_millis(300), ..hasty() };
    let kitchen = Kitchen::over("bad-update", Memory::start().await, settings).await;
    kitchen.control.deploy(spec("good", &[])).await.unwrap();
    kitchen.until_ready(1, 1).await;
    let endpoint = kitchen.ready().remove(0);
    for (image, named) in [
        ("refused", "no such command"),
        ("missing", "no image missing"),
        ("silent", "not ready within 0.3 s"),
        ("silent", "cannot open the oven"),
    ] {
        let error = kitchen.control.update(spec(image, &[])).await.unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert_eq!(kitchen.provider.all(), [(1, kitchen.provider.running())]);
        assert!(Arc::ptr_eq(&kitchen.ready()[0], &endpoint));
        assert_eq!(kitchen.function().revision.load().spec.image, "good");
    }
}

#[tokio::test]
async fn version_that_keeps_failing_is_given_up_early() {
    let kitchen = Kitchen::open("fails").await;
    kitchen.control.deploy(spec("good", &[])).await.unwrap();
    let control = Arc::clone(&kitchen.control);
    let update = tokio::spawn(async move { control.update(spec("broken", &[])).await });
    eventually("the new one is there", || kitchen.provider.all().len() == 2).await;
    let new = kitchen.provider.ids().pop().unwrap();
    while !update.is_finished() && kitchen.provider.ids().contains(&new) {
        // As a provider that tries it again and again.
        let nowhere = modes::proxy::Target::Unix("/nowhere/socket".into());
        kitchen.provider.meddle(&new, State::Running { target: nowhere });
        tokio::time::sleep(Duration::from_millis(40)).await;
        if kitchen.provider.ids().contains(&new) {
            kitchen.provider.meddle(&new, State::Failing { why: "exit status 3".to_owned() });
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let error = update.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("exit status 3") && error.contains("oven"), "{error}");
    kitchen.until_ready(1, 1).await;
}

#[tokio::test]
async fn updates_at_once_take_turns() {
    let kitchen = Kitchen::open("turns").await;
    kitchen.control.deploy(spec("good", &[])).await.unwrap();
    let one = kitchen.control.update(spec("good", &[]));
    let (one, two) = tokio::join!(one, kitchen.control.update(spec("good", &[])));
    assert_eq!((one, two), (Ok(Accepted::Done), Ok(Accepted::Done)));
    kitchen.until_ready(3, 1).await;
    kitchen.until_all(&[(3, kitchen.provider.running())]).await;
}

#[tokio::test]
async fn function_sleeps_and_wakes() {
    let kitchen = Kitchen::open("sleep").await;
    kitchen.control.deploy(spec("good", &[(MIN, "2"), (MAX, "3")])).await.unwrap();
    kitchen.until_ready(1, 2).await;
    let error = kitchen.control.scale(&id(), 4).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains(MAX)), "{error}");
    kitchen.control.scale(&id(), 0).await.unwrap();
    kitchen.until_all(&[(1, State::Parked)]).await;
    assert_eq!(kitchen.ready().len(), 0);
    let record = kitchen.provider.ids();
    kitchen.registry.want(&kitchen.function());
    kitchen.until_ready(1, 2).await;
    assert!(kitchen.ready().iter().any(|one| one.instance == record[0]), "the parked one starts");
    kitchen.control.alert(&id(), true).unwrap();
    kitchen.until_ready(1, 3).await;
    kitchen.control.alert(&id(), false).unwrap();
    kitchen.until_ready(1, 2).await;
}

#[tokio::test]
async fn call_that_was_heard_in_vain_is_heard_again() {
    let kitchen = Kitchen::open("vain").await;
    kitchen.control.deploy(spec("silent", &[])).await.unwrap();
    let function = kitchen.function();
    kitchen.registry.want(&function);
    kitchen.control.scale(&id(), 0).await.unwrap();
    kitchen.until_all(&[(1, State::Parked)]).await;
    kitchen.registry.want(&function);
    eventually("it is started", || kitchen.provider.all()[0].1 != State::Parked).await;
    assert_eq!(function.desired.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn none_at_the_start_is_one_parked() {
    let kitchen = Kitchen::open("zero").await;
    kitchen.control.deploy(spec("good", &[(MIN, "0")])).await.unwrap();
    assert_eq!(kitchen.provider.all(), [(1, State::Parked)]);
    // Even so, a version that does not run replaces nothing.
    kitchen.control.update(spec("refused", &[(MIN, "0")])).await.unwrap_err();
    assert_eq!(kitchen.provider.all(), [(1, State::Parked)]);
    kitchen.control.update(spec("good", &[(MIN, "0")])).await.unwrap();
    kitchen.until_all(&[(2, State::Parked)]).await;
    kitchen.registry.want(&kitchen.function());
    kitchen.until_ready(2, 1).await;
}

#[tokio::test]
async fn idle_function_sleeps_only_when_nobody_calls() {
    let kitchen = Kitchen::open("idle").await;
    let zero = crate::function::policy::SCALE_ZERO;
    let duration = crate::function::policy::SCALE_ZERO_DURATION;
    let sleepy = spec("good", &[(zero, "true"), (duration, "300ms")]);
    kitchen.control.deploy(sleepy).await.unwrap();
    kitchen.until_ready(1, 1).await;
    let function = kitchen.function();
    function.counts.begin();
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(kitchen.ready().len(), 1, "a call is under way");
    function.counts.end();
    kitchen.until_all(&[(1, State::Parked)]).await;
    kitchen.registry.want(&function);
    kitchen.until_ready(1, 1).await;
}

#[tokio::test]
async fn dead_replica_leaves_at_once_and_comes_back() {
    let kitchen = Kitchen::open("dead").await;
    kitchen.control.deploy(spec("good", &[(MIN, "2")])).await.unwrap();
    kitchen.until_ready(1, 2).await;
    let ids = kitchen.provider.ids();
    kitchen.provider.meddle(&ids[0], State::Failing { why: "killed".to_owned() });
    kitchen.until_ready(1, 1).await;
    assert_eq!(kitchen.function().problem.load_full(), None, "one serves");
    kitchen.provider.meddle(&ids[1], State::Failing { why: "out of memory".to_owned() });
    eventually("the problem is told", || {
        let problem = kitchen.function().problem.load_full();
        problem.is_some_and(|text| text.contains("killed"))
    })
    .await;
    kitchen.provider.meddle(&ids[0], kitchen.provider.running());
    kitchen.until_ready(1, 1).await;
    eventually("the problem is over", || kitchen.function().problem.load().is_none()).await;
    // Ended by a stranger: started again. Removed by one: made again.
    kitchen.provider.meddle(&ids[0], State::Ended { why: "stopped".to_owned() });
    kitchen.provider.lose(&ids[1]);
    kitchen.until_ready(1, 2).await;
    assert!(kitchen.provider.ids().contains(&ids[0]));
}

#[tokio::test]
async fn provider_that_goes_away_is_survived() {
    let kitchen = Kitchen::open("away").await;
    kitchen.control.deploy(spec("good", &[])).await.unwrap();
    kitchen.until_ready(1, 1).await;
    kitchen.provider.is_away.store(true, Ordering::SeqCst);
    let error = kitchen.control.update(spec("good", &[])).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    let error = kitchen.control.remove(&id()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    kitchen.provider.come_back();
    eventually("the removal goes on", || kitchen.registry.get(&id()).is_none()).await;
    assert_eq!(kitchen.provider.all(), []);
    kitchen.control.deploy(spec("good", &[])).await.unwrap();
    kitchen.until_ready(1, 1).await;
    kitchen.provider.is_away.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(kitchen.ready().len(), 1, "what is known is served");
}

#[tokio::test]
async fn long_deployment_goes_on_in_the_background() {
    let settings = Settings { answer_within: Duration::from_millis(200), ..hasty() };
    let kitchen = Kitchen::over("long", Memory::start().await, settings).await;
    assert_eq!(kitchen.control.deploy(spec("slow", &[])).await, Ok(Accepted::InBackground));
    assert!(kitchen.function().problem.load_full().unwrap().contains("slow"));
    assert!(matches!(kitchen.control.deploy(spec("good", &[])).await, Err(Error::Conflict(_))));
    assert!(matches!(kitchen.control.update(spec("good", &[])).await, Err(Error::Conflict(_))));
    // Who removes it need not wait for it.
    assert_eq!(kitchen.control.remove(&id()).await, Ok(Accepted::Done));
    assert!(kitchen.registry.get(&id()).is_none());
    assert_eq!(kitchen.control.deploy(spec("slow", &[])).await, Ok(Accepted::InBackground));
    kitchen.provider.arrived.send_replace(true);
    kitchen.until_ready(1, 1).await;
    eventually("the problem is over", || kitchen.function().problem.load().is_none()).await;
}

#[tokio::test]
async fn next_gateway_goes_on_with_a_deployment() {
    let settings = Settings { answer_within: Duration::from_millis(100), ..hasty() };
    let kitchen = Kitchen::over("promised", Memory::start().await, settings).await;
    assert_eq!(
        kitchen.control.deploy(spec("slow", &[(MIN, "2")])).await,
        Ok(Accepted::InBackground)
    );
    let deployed = kitchen.function().revision.load().deployed;
    // One that is killed does nothing any more.
    kitchen.control.cells()[&id()].doom.send_replace(true);
    let kitchen = kitchen.again().await;
    assert!(kitchen.function().problem.load_full().unwrap().contains("slow"));
    assert_eq!(kitchen.function().revision.load().deployed, deployed);
    kitchen.provider.arrived.send_replace(true);
    kitchen.until_ready(1, 2).await;
    // It is promised no more.
    kitchen.control.scale(&id(), 0).await.unwrap();
    kitchen.until_all(&[(1, State::Parked)]).await;
    let kitchen = kitchen.again().await;
    assert_eq!(kitchen.function().desired.load(Ordering::SeqCst), 0);
    // One that was refused at once is not tried again.
    kitchen.control.remove(&id()).await.unwrap();
    assert!(kitchen.control.deploy(spec("missing", &[])).await.is_err());
    let kitchen = kitchen.again().await;
    assert!(kitchen.registry.get(&id()).is_none());
}

#[tokio::test]
async fn next_gateway_starts_what_the_one_before_it_only_made() {
    let provider = Memory::start().await;
    left(&provider, "a", 1, "good", State::Parked);
    let kitchen = Kitchen::over("made", provider, hasty()).await;
    let revision = kitchen.function().revision.load_full();
    let spec = Box::new(FunctionSpec::clone(&revision.spec));
    let promise = Promise::Deploy { spec, deployed: revision.deployed };
    kitchen.control.promises.make(&id(), &promise).unwrap();
    let kitchen = kitchen.again().await;
    kitchen.until_ready(1, 1).await;
    kitchen.until_all(&[(1, kitchen.provider.running())]).await;
}

#[tokio::test]
async fn removal_waits_for_calls() {
    let kitchen = Kitchen::open("drain").await;
    kitchen.control.deploy(spec("good", &[])).await.unwrap();
    kitchen.until_ready(1, 1).await;
    let endpoint = kitchen.ready().remove(0);
    endpoint.in_flight.fetch_add(1, Ordering::SeqCst);
    let control = Arc::clone(&kitchen.control);
    let removal = tokio::spawn(async move { control.remove(&id()).await });
    eventually("no new call finds it", || kitchen.ready().is_empty()).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(kitchen.provider.all(), [(1, kitchen.provider.running())]);
    endpoint.in_flight.fetch_sub(1, Ordering::SeqCst);
    assert_eq!(removal.await.unwrap(), Ok(Accepted::Done));
    assert_eq!(kitchen.provider.all(), []);
}

/// A replica that has a call, and goes to be removed or parked, as `change` wants it.
async fn with_a_call_on_one_that_left(name: &str, changes: &[u32]) -> (Kitchen, Arc<Endpoint>) {
    let kitchen = Kitchen::open(name).await;
    kitchen.control.deploy(spec("good", &[])).await.unwrap();
    kitchen.until_ready(1, 1).await;
    let endpoint = kitchen.ready().remove(0);
    endpoint.in_flight.fetch_add(1, Ordering::SeqCst);
    for &replicas in changes {
        kitchen.control.scale(&id(), replicas).await.unwrap();
        kitchen.until_ready(1, replicas as usize).await;
    }
    (kitchen, endpoint)
}

#[tokio::test]
async fn removal_waits_for_calls_of_replicas_that_left_before() {
    let (kitchen, endpoint) = with_a_call_on_one_that_left("left", &[0, 1, 0, 1]).await;
    for _ in 0..2 {
        kitchen.control.update(spec("good", &[])).await.unwrap();
    }
    let control = Arc::clone(&kitchen.control);
    let mut removal = tokio::spawn(async move { control.remove(&id()).await });
    eventually("nothing else to be left", || kitchen.provider.all().len() == 1).await;
    assert!(timeout(Duration::from_millis(400), &mut removal).await.is_err());
    assert_eq!(kitchen.provider.all(), [(1, kitchen.provider.running())]);
    // One whose end fails is removed all the same.
    kitchen.provider.is_stubborn.store(true, Ordering::SeqCst);
    endpoint.in_flight.fetch_sub(1, Ordering::SeqCst);
    assert_eq!(removal.await.unwrap(), Ok(Accepted::Done));
    assert_eq!(kitchen.provider.all(), []);
}

#[tokio::test]
async fn update_waits_for_calls_of_a_replica_that_is_being_parked() {
    let (kitchen, endpoint) = with_a_call_on_one_that_left("parking", &[0]).await;
    kitchen.control.update(spec("good", &[])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(kitchen.provider.all()[0], (1, kitchen.provider.running()));
    endpoint.in_flight.fetch_sub(1, Ordering::SeqCst);
    eventually("the old one to be gone", || {
        kitchen.provider.all().iter().all(|(revision, _)| *revision == 2)
    })
    .await;
}

#[tokio::test]
async fn next_gateway_knows_everything() {
    let kitchen = Kitchen::open("next").await;
    kitchen.control.deploy(spec("good", &[(MAX, "5")])).await.unwrap();
    kitchen.control.scale(&id(), 3).await.unwrap();
    let kitchen = kitchen.again().await;
    kitchen.until_ready(1, 3).await;
    assert_eq!(kitchen.function().desired.load(Ordering::SeqCst), 3);
    kitchen.control.scale(&id(), 0).await.unwrap();
    kitchen.until_all(&[(1, State::Parked)]).await;
    let kitchen = kitchen.again().await;
    assert_eq!(kitchen.function().desired.load(Ordering::SeqCst), 0);
    kitchen.registry.want(&kitchen.function());
    kitchen.until_ready(1, 1).await;
}

#[tokio::test]
async fn acknowledged_number_outlives_a_gateway_that_is_killed() {
    let kitchen = Kitchen::open("kept").await;
    kitchen.control.deploy(spec("good", &[(MIN, "3")])).await.unwrap();
    kitchen.until_ready(1, 3).await;
    // With a call each they do not end as long as anybody looks.
    for endpoint in kitchen.ready() {
        endpoint.in_flight.fetch_add(1, Ordering::SeqCst);
    }
    kitchen.control.scale(&id(), 2).await.unwrap();
    let running = kitchen.provider.running();
    assert_eq!(kitchen.provider.all(), vec![(1, running); 3]);
    let kitchen = kitchen.again().await;
    assert_eq!(kitchen.function().desired.load(Ordering::SeqCst), 2);
    kitchen.until_ready(1, 2).await;
    for endpoint in kitchen.ready() {
        endpoint.in_flight.fetch_add(1, Ordering::SeqCst);
    }
    kitchen.control.scale(&id(), 0).await.unwrap();
    let kitchen = kitchen.again().await;
    assert_eq!(kitchen.function().desired.load(Ordering::SeqCst), 0);
    kitchen.registry.want(&kitchen.function());
    kitchen.until_ready(1, 3).await;
}

#[tokio::test]
async fn replica_that_did_not_end_and_is_wanted_again_is_kept() {
    let kitchen = Kitchen::open("stubborn").await;
    kitchen.control.deploy(spec("good", &[])).await.unwrap();
    kitchen.until_ready(1, 1).await;
    let ids = kitchen.provider.ids();
    kitchen.provider.is_stubborn.store(true, Ordering::SeqCst);
    kitchen.control.scale(&id(), 0).await.unwrap();
    eventually("it did not end", || {
        kitchen.control.cells()[&id()].known().replicas[&ids[0]].leaving.is_none()
    })
    .await;
    kitchen.control.scale(&id(), 1).await.unwrap();
    kitchen.until_ready(1, 1).await;
    assert_eq!(kitchen.provider.ids(), ids);
    assert!(kitchen.provider.dismissed.lock().unwrap().is_empty(), "it is lost with the gateway");
}

/// An instance as a gateway left it that was killed within an update.
fn left(provider: &Memory, name: &str, revision: u64, image: &str, state: State) {
    let instance = Instance {
        id: name.to_owned(),
        function: id(),
        spec: Arc::new(spec(image, &[])),
        revision,
        deployed: OffsetDateTime::UNIX_EPOCH,
        state,
        deaths: 0,
        last_death: None,
    };
    provider.instances.lock().unwrap().insert(name.to_owned(), instance);
}

#[tokio::test]
async fn interrupted_update_is_finished() {
    let provider = Memory::start().await;
    left(&provider, "a", 6, "good", provider.running());
    left(&provider, "b", 7, "good", State::Parked);
    let kitchen = Kitchen::over("finish", provider, hasty()).await;
    kitchen.until_ready(7, 1).await;
    kitchen.until_all(&[(7, kitchen.provider.running())]).await;
}

#[tokio::test]
async fn interrupted_update_is_rolled_back() {
    let provider = Memory::start().await;
    left(&provider, "a", 6, "good", provider.running());
    left(&provider, "b", 7, "silent", State::Parked);
    let settings = Settings { ready_within: Duration::from_millis(300), ..hasty() };
    let kitchen = Kitchen::over("back", provider, settings).await;
    kitchen.until_ready(6, 1).await;
    kitchen.until_all(&[(6, kitchen.provider.running())]).await;
    let problem = kitchen.function().problem.load_full().unwrap();
    assert!(problem.contains("update failed"), "{problem}");
}
