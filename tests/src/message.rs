//! Requests to send and responses that came.

use crate::framing::End;

/// A request to be put on the wire exactly as it is described; nothing is checked or added except
/// `Host: function` (unless a Host was given) and the framing header of the body.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Sized(Vec<u8>),
    Chunked(Vec<Vec<u8>>),
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            body: Body::None,
        }
    }

    /// `GET target`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST target` with a Content-Length.
    #[must_use]
    pub fn post(target: &str, body: impl AsRef<[u8]>) -> Self {
        Self::new("POST", target).body(body)
    }

    /// HTTP/1.0 instead of 1.1.
    #[must_use]
    pub fn http_1_0(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// One more header line.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// A body with a Content-Length.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Body::Sized(body.as_ref().to_vec());
        self
    }

    /// A chunked body, one chunk for each item.
    #[must_use]
    pub fn chunked<T: AsRef<[u8]>>(mut self, chunks: impl IntoIterator<Item = T>) -> Self {
        self.body = Body::Chunked(chunks.into_iter().map(|c| c.as_ref().to_vec()).collect());
        self
    }

    /// Whether the response to it has no body, whatever its headers say (RFC 9112 section 6.3).
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// Request line and headers, up to and including the empty line.
    #[must_use]
    pub fn head_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", self.method, self.target, self.version);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            text.push_str("Host: function\r\n");
        }
        for (name, value) in &self.headers {
            text.extend([name, ": ", value, "\r\n"]);
        }
        match &self.body {
            Body::None => {}
            Body::Sized(body) => text.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]),
            Body::Chunked(_) => text.push_str("Transfer-Encoding: chunked\r\n"),
        }
        text.push_str("\r\n");
        text.into_bytes()
    }

    /// The whole request.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_bytes();
        match &self.body {
            Body::None => {}
            Body::Sized(body) => bytes.extend_from_slice(body),
            Body::Chunked(chunks) => {
                for chunk in chunks {
                    bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0\r\n\r\n");
            }
        }
        bytes
    }
}

/// Status line and headers of a response.
#[derive(Clone, Debug)]
pub struct Head {
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// The status code.
    pub status: u16,
    /// The rest of the status line.
    pub reason: String,
    /// Header lines as they came: order, case and repetitions kept.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Parses a head without its final empty line; `None` when it is not one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split("\r\n");
        let mut parts = lines.next()?.splitn(3, ' ');
        let version = parts.next()?.to_owned();
        let status = parts.next()?.parse().ok()?;
        let reason = parts.next().unwrap_or_default().to_owned();
        if !version.starts_with("HTTP/1.") {
            return None;
        }
        let headers = lines.map(field).collect::<Option<_>>()?;
        Some(Self { version, status, reason, headers })
    }

    /// The first value of a header; names compare without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of a header, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether the header has this value, compared without case.
    #[must_use]
    pub fn says(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|own| own.eq_ignore_ascii_case(value))
    }
}

/// `Name: value` of a head or a trailer section.
pub(crate) fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    (!name.is_empty() && !name.contains([' ', '\t']))
        .then(|| (name.to_owned(), value.trim().to_owned()))
}

/// A whole response, or as much of it as came.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status line and headers.
    pub head: Head,
    /// 1xx heads that came before it.
    pub interim: Vec<Head>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Whether the body ended as its framing promised.
    pub end: End,
}

impl Response {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the body ended as its framing promised.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.end == End::Complete
    }
}
