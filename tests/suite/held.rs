//! Not a suite: a function whose calls stay in flight until the test lets them go.

use e2e::{Client, DEADLINE, Request, Watchdog, eventually};

/// A call to `/hold…` is held, any other answers `quick` at once. In streaming mode `/hold-open`
/// sends its first line before it waits.
pub(crate) const SCRIPT: &str = r#"
case "$Http_Path" in
/hold*)
    if [ "$Http_Path" = /hold-open ]; then echo opened; fi
    : > "$TMPDIR/held.$$"
    while [ ! -e "$TMPDIR/go" ]; do sleep 0.02; done
    rm -f "$TMPDIR/held.$$"
    echo released ;;
*)
    echo quick ;;
esac
"#;

/// Starts a call to `/hold` and waits until its process runs.
#[track_caller]
pub(crate) fn hold(dog: &Watchdog) -> Client {
    hold_at(dog, "/hold")
}

/// As [`hold`], for another path that starts with `/hold`.
#[track_caller]
pub(crate) fn hold_at(dog: &Watchdog, path: &str) -> Client {
    hold_with(dog, &Request::get(path))
}

/// As [`hold_at`], with a request of its own.
#[track_caller]
pub(crate) fn hold_with(dog: &Watchdog, request: &Request) -> Client {
    let before = held(dog);
    let mut client = dog.connect();
    client.send(request.to_bytes());
    eventually(DEADLINE, "the held call to start", || held(dog) > before);
    client
}

/// How many calls have reached the place where they wait.
pub(crate) fn held(dog: &Watchdog) -> usize {
    std::fs::read_dir(dog.temp_dir()).map_or(0, |entries| {
        entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("held."))
            .count()
    })
}

/// Lets every held call go, and every later one pass.
pub(crate) fn release(dog: &Watchdog) {
    std::fs::write(dog.temp_dir().join("go"), "").expect("a file in the temporary directory");
}

/// Waits until this many calls are in flight, those in the queue included; needs
/// [`metrics`](e2e::Launch::metrics).
#[track_caller]
pub(crate) fn wait_until_in_flight(dog: &Watchdog, count: f64) {
    eventually(DEADLINE, "calls in flight", || {
        dog.metrics()
            .get("http_requests_in_flight", &[])
            .is_some_and(|value| (value - count).abs() < f64::EPSILON)
    });
}
