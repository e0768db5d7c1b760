//! Whether a replica takes calls: asked over HTTP, for as long as it takes.

use std::time::Duration;

use http::{Method, Request};
use modes::{
    Body,
    deadline::Deadline,
    proxy::{Context, Proxy, Target},
};

use crate::function::Policy;

/// Where the watchdog says it.
const READY_PATH: &str = "/_/ready";

/// The first pause; doubled after each refusal.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest, while a start is expected.
const USUAL: Duration = Duration::from_millis(100);
/// The longest for what has been starting for [`PATIENCE`].
const LONGEST: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(60);

/// A replica that takes longer for one answer is not ready.
const ANSWER: Duration = Duration::from_secs(5);

/// A start that takes longer is explained.
const UNEXPLAINED: Duration = Duration::from_secs(2);

/// Returns once the replica at `target` says that it takes calls. `explain` is told what is waited
/// for meanwhile.
pub(super) async fn ready(target: Target, policy: &Policy, explain: impl Fn(String)) {
    // Not the proxy of its calls: its connections belong to the event loops that make them.
    let proxy = Proxy::new(target, "", modes::ZeroCopy::Off);
    let path = policy.ready_path.as_deref().unwrap_or(READY_PATH);
    let begun = tokio::time::Instant::now();
    let mut pause = SHORTEST;
    while let Err(why) = says_ready(&proxy, path).await {
        if begun.elapsed() >= UNEXPLAINED {
            explain(why);
        }
        tokio::time::sleep(pause).await;
        let longest = if begun.elapsed() < PATIENCE { USUAL } else { LONGEST };
        pause = (pause * 2).min(longest);
    }
}

/// Old watchdogs have no such path and answer as their function does, so anything but a refusal to
/// serve is a yes: 2xx to 4xx.
async fn says_ready(proxy: &Proxy, path: &str) -> Result<(), String> {
    let Ok(request) = Request::builder().method(Method::GET).uri(path).body(Body::empty()) else {
        // No path at all: what connects is ready.
        let nobody = || format!("nobody listens at {}", proxy.authority());
        return if proxy.accepts().await { Ok(()) } else { Err(nobody()) };
    };
    let context = Context { deadline: Some(Deadline::after(ANSWER)), ..Context::default() };
    match proxy.call(request, context).await {
        Ok(answer) if answer.status().is_server_error() => {
            Err(format!("GET {path} is answered {}", answer.status()))
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("GET {path}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    /// Answers each connection with the next of `answers`, the last one ever after.
    async fn server(answers: &'static [&'static str]) -> (Target, std::sync::Arc<AtomicUsize>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = std::sync::Arc::new(AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let at = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                let mut head = [0; 1024];
                let length = stream.read(&mut head).await.unwrap();
                assert!(head[..length].starts_with(b"GET /up HTTP/1.1\r\n"));
                let answer = format!("HTTP/1.1 {}\r\nConnection: close\r\n\r\n", answers[at]);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (Target::Tcp { host: "127.0.0.1".to_owned(), port }, asked)
    }

    fn policy() -> Policy {
        Policy { ready_path: Some("/up".to_owned()), ..Policy::default() }
    }

    #[tokio::test]
    async fn refusals_are_waited_out() {
        let answers = &["503 Service Unavailable", "500 Oops", "502 Bad Gateway", "404 Not Found"];
        let (target, asked) = server(answers).await;
        tokio::time::timeout(Duration::from_secs(20), ready(target, &policy(), drop))
            .await
            .unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn nobody_there_is_not_ready() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let proxy = Proxy::new(
            Target::Tcp { host: "127.0.0.1".to_owned(), port },
            "",
            modes::ZeroCopy::Off,
        );
        let why = says_ready(&proxy, "/up").await.unwrap_err();
        assert!(why.contains(&port.to_string()), "{why}");
    }
}
