//! Conditional requests (RFC 9110 section 13), for GET and HEAD.

use std::time::{Duration, SystemTime};

use http::{
    HeaderMap, HeaderName,
    header::{IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE},
};

use super::encoding::Coding;

/// 1981-01-01. Image builders that want the same bytes from the same sources give every file one
/// old time (0, 1 s, or 1980, the first that a ZIP archive can hold), whatever its content.
const OLDEST_REAL_TIME: Duration = Duration::from_secs(11 * 365 * 86_400 + 3 * 86_400);

/// What identifies the current content of a representation.
#[derive(Debug)]
pub(super) struct Validators {
    /// A strong entity tag, with its quotes.
    pub(super) etag: String,
    /// Whole seconds, as an HTTP date has them.
    pub(super) modified: SystemTime,
}

impl Validators {
    /// From what the file system knows. `None` if the time of change says nothing, so that a
    /// cache could take one version of a file for the next.
    ///
    /// A time in the future counts as `now` in Last-Modified (RFC 9110 section 8.8.2.1). The
    /// inode is left out of the tag: it differs between replicas of one image.
    pub(super) fn new(
        length: u64,
        modified: SystemTime,
        coding: Option<Coding>,
        now: SystemTime,
    ) -> Option<Self> {
        let since_epoch = modified.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        if since_epoch < OLDEST_REAL_TIME {
            return None;
        }
        let suffix = coding.map_or(String::new(), |coding| format!("-{}", coding.token()));
        let etag = format!("\"{length:x}-{:x}{suffix}\"", since_epoch.as_nanos());
        let shown = modified.min(now).duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(shown.as_secs());
        Some(Self { etag, modified })
    }
}

/// Whether a request has neither a condition nor a range, as most: one pass over a few names costs
/// less than hashing one of these.
pub(super) fn is_plain(headers: &HeaderMap) -> bool {
    const ASKING: [HeaderName; 6] =
        [IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE];
    !headers.keys().any(|name| ASKING.contains(name))
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// As if there were no condition.
    Send,
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates all conditions but If-Range, in the order of RFC 9110 section 13.2.2.
///
/// Dates that cannot be read are ignored, and so is every date if there is no time to compare it
/// with (sections 13.1.3 and 13.1.4); a list of tags counts up to where its syntax breaks.
pub(super) fn evaluate(headers: &HeaderMap, current: Option<&Validators>) -> Verdict {
    let matches = |name, strong| {
        any_tag(headers, name, |tag| current.is_some_and(|current| tag.is(current, strong)))
    };
    let modified_after = |name| Some(current?.modified > date(headers, name)?);

    let precondition_holds = if headers.contains_key(IF_MATCH) {
        matches(IF_MATCH, true)
    } else {
        modified_after(IF_UNMODIFIED_SINCE) != Some(true)
    };
    if !precondition_holds {
        return Verdict::PreconditionFailed;
    }
    let is_current = if headers.contains_key(IF_NONE_MATCH) {
        matches(IF_NONE_MATCH, false)
    } else {
        modified_after(IF_MODIFIED_SINCE) == Some(false)
    };
    if is_current { Verdict::NotModified } else { Verdict::Send }
}

/// Whether a Range header counts (RFC 9110 section 13.1.5): there is no If-Range, or it names the
/// current content. A date has to be the very Last-Modified that was sent; whether it was a
/// strong one (section 8.8.2.2) only the client, which knows when it came, can tell.
pub(super) fn is_range_wanted(headers: &HeaderMap, current: Option<&Validators>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    let Some(current) = current else { return false };
    match Tag::parse(value.as_bytes()) {
        Some((tag, [])) => tag.is(current, true),
        Some(_) => false,
        None => date(headers, IF_RANGE) == Some(current.modified),
    }
}

/// The date in a header that stands there once.
fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).into_iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// Whether a header is `*`, which any existing file fulfils, or lists a tag that fits.
fn any_tag(headers: &HeaderMap, name: HeaderName, fits: impl Fn(Tag<'_>) -> bool) -> bool {
    headers.get_all(name).into_iter().any(|value| {
        let mut rest = value.as_bytes().trim_ascii();
        if rest == b"*" {
            return true;
        }
        while let Some((tag, behind)) = Tag::parse(between(rest)) {
            if fits(tag) {
                return true;
            }
            rest = behind.trim_ascii_start();
            if !rest.starts_with(b",") {
                break;
            }
        }
        false
    })
}

/// Without the commas and the space before the next element of a list.
fn between(list: &[u8]) -> &[u8] {
    let start = list.iter().position(|byte| !b", \t".contains(byte)).unwrap_or(list.len());
    &list[start..]
}

/// An entity tag as a client sends it (RFC 9110 section 8.8.3).
#[derive(Clone, Copy)]
struct Tag<'a> {
    is_weak: bool,
    /// With its quotes.
    opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    /// The tag that `text` begins with, and what stands behind it.
    fn parse(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (is_weak, quoted) = match text.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, text),
        };
        let end = quoted.strip_prefix(b"\"")?.iter().position(|&byte| byte == b'"')? + 2;
        let (opaque, behind) = quoted.split_at(end);
        Some((Self { is_weak, opaque }, behind))
    }

    /// The comparisons of RFC 9110 section 8.8.3.2; ours are all strong.
    fn is(self, current: &Validators, strong: bool) -> bool {
        self.opaque == current.etag.as_bytes() && !(strong && self.is_weak)
    }
}

#[cfg(test)]
mod tests;
