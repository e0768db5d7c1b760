//! Where a response body ends (RFC 9112 section 6.3).

use http::StatusCode;

use super::Broken;

/// How the end of a response body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body: the answer to HEAD, 1xx, 204, 304.
    Bodiless,
    /// This many bytes.
    Length(u64),
    /// Chunks, then trailer fields.
    Chunked,
    /// Everything until the connection ends.
    UntilClose,
}

/// What the fields of a head say about its body, gathered field by field.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    length: Option<u64>,
    /// `Some(true)` for `chunked` and nothing else.
    chunked: Option<bool>,
}

impl Evidence {
    /// One `Content-Length` field. The same number may be said twice (RFC 9110 section 8.6).
    pub(super) fn length(&mut self, value: &[u8]) -> Result<(), Broken> {
        for number in value.split(|byte| *byte == b',') {
            let number = decimal(number.trim_ascii()).ok_or(Broken::Length)?;
            if self.length.is_some_and(|before| before != number) {
                return Err(Broken::Length);
            }
            self.length = Some(number);
        }
        Ok(())
    }

    /// One `Transfer-Encoding` field. Several count as one list, and `chunked` may stand in it
    /// once.
    pub(super) fn coding(&mut self, value: &[u8]) {
        let is_chunked = value.trim_ascii().eq_ignore_ascii_case(b"chunked");
        self.chunked = Some(self.chunked.is_none() && is_chunked);
    }

    /// The first rule of RFC 9112 section 6.3 that fits. `to_head` when it answers HEAD.
    pub(super) fn framing(
        self,
        is_http_10: bool,
        status: StatusCode,
        to_head: bool,
    ) -> Result<Framing, Broken> {
        let is_sound = self.chunked.is_none_or(|only| only && self.length.is_none() && !is_http_10);
        if !is_sound {
            return Err(Broken::Coding);
        }
        let bodiless = to_head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match (bodiless, self.chunked, self.length) {
            (true, ..) => Framing::Bodiless,
            (_, Some(_), _) => Framing::Chunked,
            (_, None, Some(length)) => Framing::Length(length),
            (_, None, None) => Framing::UntilClose,
        })
    }
}

/// Digits only: no sign, no space, no overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
