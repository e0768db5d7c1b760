//! What may stand behind a body.

use http::{HeaderName, header};

/// Fields that frame, route, authenticate, or say how a message is to be taken: behind it they come too late, and
/// whoever checked the head has not seen them (RFC 9110 section 6.5.1). The first ones end with a
/// connection (section 7.6.1).
const NEVER: [HeaderName; 24] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::FORWARDED,
    header::MAX_FORWARDS,
    header::EXPECT,
    header::RANGE,
    header::CACHE_CONTROL,
    header::AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::WWW_AUTHENTICATE,
    header::COOKIE,
    header::SET_COOKIE,
    HeaderName::from_static("x-api-key"),
];

/// Whether the field may be passed on in a trailer section.
pub(crate) fn may_trail(name: &HeaderName) -> bool {
    !NEVER.contains(name) && !name.as_str().starts_with("x-forwarded-")
}
