//! mode=http: one function that stays, and what lies between it and its clients.
//!
//! The function is `upstream`, which does what each request tells it to (`e2e::play`).

mod base_path;
mod child;
mod connections;
mod deaths;
mod expect;
mod failures;
mod hostile;
mod output;
mod places;
mod requests;
mod responses;
mod smuggling;
mod starts;
mod stop;
mod streams;
mod timeouts;
mod unix;

use std::fs;

use e2e::{Launch, Request, Response, Watchdog, free_port};

use crate::{UPSTREAM, watchdog};

/// A watchdog in front of the function.
pub(crate) fn http() -> Launch {
    http_with("")
}

/// A watchdog in front of the function with command-line options.
pub(crate) fn http_with(options: &str) -> Launch {
    let port = free_port();
    watchdog()
        .mode("http")
        .fprocess(format!("{UPSTREAM} 127.0.0.1:{port} {options}").trim_end())
        .env("http_upstream_url", format!("http://127.0.0.1:{port}"))
}

/// A watchdog in front of a shell script in which `$UPSTREAM` starts the function.
pub(crate) fn http_sh(script: &str) -> Launch {
    let port = free_port();
    watchdog()
        .mode("http")
        .env("UPSTREAM", format!("{UPSTREAM} 127.0.0.1:{port}"))
        .env("http_upstream_url", format!("http://127.0.0.1:{port}"))
        .sh(script)
}

/// Creates a file that the function waits for.
pub(crate) fn touch(dog: &Watchdog, name: &str) {
    fs::write(dog.temp_dir().join(name), "").expect("a file in TMPDIR");
}

/// Whether the function created the file.
pub(crate) fn exists(dog: &Watchdog, name: &str) -> bool {
    dog.temp_dir().join(name).exists()
}

/// The lines of a file that the function writes.
fn lines(dog: &Watchdog, name: &str) -> Vec<String> {
    let text = fs::read_to_string(dog.temp_dir().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// The heads of all requests that the function received.
pub(crate) fn heads(dog: &Watchdog) -> Vec<String> {
    let text = fs::read(dog.temp_dir().join("heads")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.split_terminator("\r\n\r\n").map(str::to_owned).collect()
}

/// How long it took, said once.
#[track_caller]
fn assert_duration(response: &Response) {
    let told: Vec<&str> = response.head.all("x-duration-seconds").collect();
    let told: Vec<f64> = told.iter().map(|text| text.parse().expect("a number")).collect();
    assert!(told.len() == 1 && told[0] >= 0.0, "{:?}", response.head);
}

/// A request as the function received it.
#[derive(Debug)]
struct Seen {
    line: String,
    headers: Vec<(String, String)>,
    /// With its framing.
    body: Vec<u8>,
}

impl Seen {
    fn parse(echo: &[u8]) -> Self {
        let end = echo.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8_lossy(&echo[..end]);
        let mut lines = head.split("\r\n");
        let line = lines.next().expect("a request line").to_owned();
        let headers = lines
            .map(|line| line.split_once(':').expect("a header"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self { line, headers, body: echo[end + 4..].to_vec() }
    }

    /// All values of a header, in order.
    fn all(&self, name: &str) -> Vec<&str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().filter(|(own, _)| *own == name).map(|(_, value)| &**value).collect()
    }

    /// Every header name, sorted.
    fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
    }

    /// The data of a chunked body, and the trailer section with its final empty line.
    fn chunks(&self) -> (Vec<u8>, String) {
        let mut data = Vec::new();
        let mut rest = self.body.as_slice();
        loop {
            let end = rest.windows(2).position(|window| window == b"\r\n").expect("a size line");
            let size = String::from_utf8_lossy(&rest[..end]);
            let size = usize::from_str_radix(&size, 16).expect("a chunk size");
            rest = &rest[end + 2..];
            if size == 0 {
                return (data, String::from_utf8_lossy(rest).into_owned());
            }
            data.extend_from_slice(&rest[..size]);
            rest = &rest[size + 2..];
        }
    }
}

/// Sends a request that the function echoes.
#[track_caller]
fn seen(dog: &Watchdog, request: &Request) -> Seen {
    let response = dog.call(request);
    assert_eq!(response.status(), 200, "{}\n{}", response.text(), dog.log());
    assert!(response.is_complete(), "{:?}", response.end);
    Seen::parse(&response.body)
}
