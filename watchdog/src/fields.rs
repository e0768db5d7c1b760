//! What the watchdog itself wants to know of a request's fields, found in one pass: a look-up hashes
//! a name, and a call would make a dozen.

use http::{HeaderMap, HeaderName, HeaderValue, header};

static X_CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
static X_TIMEOUT: HeaderName = HeaderName::from_static("x-timeout");

/// Where a field occurs more than once, these are the first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    /// `Host`.
    pub host: Option<&'a HeaderValue>,
    /// How often that occurs.
    pub hosts: usize,
    /// `User-Agent`.
    pub agent: Option<&'a HeaderValue>,
    /// `X-Call-Id`.
    pub call_id: Option<&'a HeaderValue>,
    /// `X-Timeout`.
    pub timeout: Option<&'a HeaderValue>,
    /// `Expect` holds something else than `100-continue`.
    pub expects_unknown: bool,
    /// `Transfer-Encoding` holds something else than `chunked`.
    pub codes_unknown: bool,
}

impl<'a> Fields<'a> {
    /// Of these headers.
    #[must_use]
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        let is_not =
            |value: &HeaderValue, known: &[u8]| !value.as_bytes().eq_ignore_ascii_case(known);
        for (name, value) in headers {
            if *name == header::HOST {
                fields.host.get_or_insert(value);
                fields.hosts += 1;
            } else if *name == header::USER_AGENT {
                fields.agent.get_or_insert(value);
            } else if *name == header::EXPECT {
                fields.expects_unknown |= is_not(value, b"100-continue");
            } else if *name == header::TRANSFER_ENCODING {
                fields.codes_unknown |= is_not(value, b"chunked");
            } else if *name == X_CALL_ID {
                fields.call_id.get_or_insert(value);
            } else if *name == X_TIMEOUT {
                fields.timeout.get_or_insert(value);
            }
        }
        fields
    }
}
