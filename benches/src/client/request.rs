//! One request, as its bytes.

/// What is sent, again and again.
#[derive(Clone, Debug)]
pub struct Request(Vec<u8>);

impl Request {
    /// A GET. The headers are those that a small command-line client sends.
    #[must_use]
    pub fn get(target: &str) -> Self {
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"
        );
        Self(head.into_bytes())
    }

    /// A POST with a length.
    #[must_use]
    pub fn post(target: &str, body: &[u8]) -> Self {
        let mut bytes = format!(
            "POST {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\
             Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    /// What goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}
