//! Response heads.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
};

use super::{Broken, Framing, MOST_HEAD_BYTES, MOST_HEAD_FIELDS, framing::Evidence};

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// The head of one response. What belongs to the connection (RFC 9110 section 7.6.1) is not among
/// the fields: it is told by the other members.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Any from 100 to 999.
    pub status: StatusCode,
    /// The reason phrase, if it is not the usual one.
    pub reason: Option<Bytes>,
    /// The end-to-end fields, in order.
    pub headers: HeaderMap,
    /// How the end of the body is told.
    pub framing: Framing,
    /// Whether the connection may carry another exchange behind this one (RFC 9112 section 9.3).
    pub persistent: bool,
    /// The protocols that the connection may switch to, or with status 101 has switched to.
    pub upgrade: Option<HeaderValue>,
}

/// One field before its head is cut out of the buffer: where its value lies.
struct Field {
    name: HeaderName,
    start: usize,
    end: usize,
}

impl Head {
    /// Takes one head out of `buffer`; `None` until all of it is there. The fields share the
    /// buffer's memory. `to_head` when it answers HEAD.
    ///
    /// # Errors
    /// [`Broken`], as soon as it is certain.
    pub fn parse(buffer: &mut BytesMut, to_head: bool) -> Result<Option<Self>, Broken> {
        // httparse skips empty lines in front; a server that sends them has lost count.
        if buffer.first().is_some_and(|first| *first != b'H') {
            return Err(Broken::Garbage);
        }
        let mut space = [const { MaybeUninit::uninit() }; MOST_HEAD_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let length = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut parsed,
            buffer,
            &mut space,
        );
        let length = match length {
            Ok(httparse::Status::Complete(length)) if length <= MOST_HEAD_BYTES => length,
            Ok(httparse::Status::Partial) if buffer.len() <= MOST_HEAD_BYTES => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Broken::TooLarge),
            Err(error) => return Err(Broken::Head(error)),
        };
        // Complete: all of these are there.
        let is_http_10 = parsed.version == Some(0);
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or(Broken::Status)?;
        let reason = parsed.reason.unwrap_or_default();
        let reason = (Some(reason) != status.canonical_reason() && !reason.is_empty())
            .then(|| Bytes::copy_from_slice(reason.as_bytes()));

        let base = buffer.as_ptr().addr();
        let mut fields = Vec::with_capacity(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes())
                .map_err(|_| Broken::Head(httparse::Error::HeaderName))?;
            let start = field.value.as_ptr().addr() - base;
            fields.push(Field { name, start, end: start + field.value.len() });
        }
        let head = buffer.split_to(length).freeze();
        assemble(&head, fields, (is_http_10, status, to_head)).map(|parts| {
            let (headers, framing, persistent, upgrade) = parts;
            Some(Self { status, reason, headers, framing, persistent, upgrade })
        })
    }
}

type Parts = (HeaderMap, Framing, bool, Option<HeaderValue>);

fn assemble(
    head: &Bytes,
    fields: Vec<Field>,
    (is_http_10, status, to_head): (bool, StatusCode, bool),
) -> Result<Parts, Broken> {
    // Whoever forwards it adds a field or two: growing is a second allocation and hashing anew.
    let mut headers = HeaderMap::with_capacity(fields.len() + 2);
    let (mut evidence, mut connection) = (Evidence::default(), Tokens::default());
    let mut upgrade = None;
    for Field { name, start, end } in fields {
        let value = HeaderValue::from_maybe_shared(head.slice(start..end))
            .map_err(|_| Broken::Head(httparse::Error::HeaderValue))?;
        if name == CONTENT_LENGTH {
            evidence.length(value.as_bytes())?;
            headers.insert(name, value);
        } else if name == TRANSFER_ENCODING {
            evidence.coding(value.as_bytes());
        } else if name == CONNECTION {
            connection.read(value.as_bytes());
        } else if name == UPGRADE {
            upgrade.get_or_insert(value);
        } else if name != KEEP_ALIVE && name != PROXY_CONNECTION {
            headers.append(name, value);
        }
    }
    for name in &connection.named {
        headers.remove(name);
    }
    let framing = evidence.framing(is_http_10, status, to_head)?;
    if let (Framing::Length(length), Some(value)) = (framing, headers.get_mut(CONTENT_LENGTH))
        && value.as_bytes().contains(&b',')
    {
        // Said once is enough.
        *value = length.into();
    }
    // RFC 9110 section 8.6: these have none, whatever was asked for.
    if status == StatusCode::NO_CONTENT || status.is_informational() {
        headers.remove(CONTENT_LENGTH);
    }
    let persistent = framing != Framing::UntilClose
        && !connection.close
        && (!is_http_10 || connection.keep_alive);
    Ok((headers, framing, persistent, upgrade))
}

/// What `Connection` fields say.
#[derive(Default)]
struct Tokens {
    close: bool,
    keep_alive: bool,
    /// Fields that belong to the connection. `Host` and the message's framing cannot be named.
    named: Vec<HeaderName>,
}

impl Tokens {
    fn read(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if !token.eq_ignore_ascii_case(b"upgrade")
                && let Ok(name) = HeaderName::from_bytes(token)
                && name != HOST
                && name != CONTENT_LENGTH
            {
                self.named.push(name);
            }
        }
    }
}
