//! One representation of a file (RFC 9110 section 3.2), itself or a precompressed sibling, with
//! everything that does not depend on the request: its bytes if they are few, its validators, its
//! headers.

use std::{
    fs::File,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        IF_RANGE, LAST_MODIFIED, RANGE, X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};

use super::{
    conditional::{self, Validators, Verdict},
    encoding::Coding,
    open::{RegularFile, Stamp},
    range::{self, Range},
    text,
};
use crate::{
    body::Body,
    error::Error,
    file_body::{FileBody, SMALL, Transfer, Warmth, read_exact_at},
};

/// File systems stamp changes with a clock that may tick no finer than this (ext3, FAT, HFS+).
const COARSEST_CLOCK: Duration = Duration::from_secs(2);

/// A representation, ready to be sent any number of times.
#[derive(Debug)]
pub(super) struct Representation {
    /// `None`: the file itself.
    pub(super) coding: Option<Coding>,
    stamp: Stamp,
    /// When it was read.
    read: SystemTime,
    content: Content,
    validators: Option<Validators>,
    /// Of a 200.
    headers: HeaderMap,
}

/// Where the bytes are.
#[derive(Debug)]
enum Content {
    Memory(Bytes),
    File(Arc<File>, Arc<Warmth>),
}

impl Representation {
    /// Reads what is small. Blocks.
    ///
    /// # Errors
    /// [`Error::Io`], of kind `UnexpectedEof` when the file was cut short meanwhile.
    pub(super) fn load(
        file: RegularFile,
        coding: Option<Coding>,
        content_type: &'static str,
    ) -> Result<Self, Error> {
        let RegularFile { file, stamp } = file;
        let read = SystemTime::now();
        let content = match usize::try_from(stamp.length) {
            Ok(small) if small < SMALL => Content::Memory(
                read_exact_at(&file, 0, small)
                    .map_err(Error::io("reading a file under static_path"))?,
            ),
            _ => Content::File(file, Arc::default()),
        };
        let validators = Validators::new(stamp.length, stamp.modified, coding, read);
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_LENGTH, stamp.length.into());
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        }
        if let Some(Validators { etag, modified }) = &validators {
            let modified = httpdate::fmt_http_date(*modified);
            // Neither text has a byte that a header cannot hold.
            headers.extend(HeaderValue::try_from(etag).ok().map(|value| (ETAG, value)));
            headers.extend(HeaderValue::try_from(modified).ok().map(|v| (LAST_MODIFIED, v)));
        }
        Ok(Self { coding, stamp, read, content, validators, headers })
    }

    /// Whether a file with this stamp is sure to be the one that was read.
    ///
    /// One that changed shortly before it was read may have changed once more behind the same
    /// times, and one from the future has a Last-Modified that moves on.
    pub(super) fn is_of(&self, stamp: &Stamp) -> bool {
        self.stamp == *stamp
            && stamp.modified <= self.read
            && stamp.is_settled(self.read, COARSEST_CLOCK)
    }

    /// Bytes of memory its content takes.
    pub(super) fn memory(&self) -> usize {
        match &self.content {
            Content::Memory(bytes) => bytes.len(),
            Content::File(..) => 0,
        }
    }

    /// Descriptors it keeps open.
    pub(super) fn descriptors(&self) -> usize {
        match &self.content {
            Content::Memory(_) => 0,
            Content::File(..) => 1,
        }
    }

    /// The response to a GET or HEAD; that to a HEAD may have a body still.
    pub(super) fn respond(&self, request: &Parts, transfer: Transfer) -> Response<Body> {
        if conditional::is_plain(&request.headers) {
            return self.whole(request, transfer);
        }
        match conditional::evaluate(&request.headers, self.validators.as_ref()) {
            Verdict::Send => self.content(request, transfer),
            Verdict::NotModified => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                self.add_validators(&mut response);
                response
            }
            Verdict::PreconditionFailed => {
                text(StatusCode::PRECONDITION_FAILED, "precondition failed\n")
            }
        }
    }

    fn whole(&self, request: &Parts, transfer: Transfer) -> Response<Body> {
        let mut response = Response::new(self.body(request, 0, self.stamp.length, transfer));
        *response.headers_mut() = self.headers.clone();
        response
    }

    /// 200, 206 or 416.
    fn content(&self, request: &Parts, transfer: Transfer) -> Response<Body> {
        let total = self.stamp.length;
        match self.range(request) {
            Range::Whole => self.whole(request, transfer),
            Range::Part { offset, length } => {
                let mut response = Response::new(self.body(request, offset, length, transfer));
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                let headers = response.headers_mut();
                headers.clone_from(&self.headers);
                headers.insert(CONTENT_LENGTH, length.into());
                let range = format!("bytes {offset}-{}/{total}", offset + length - 1);
                headers
                    .extend(HeaderValue::try_from(range).ok().map(|range| (CONTENT_RANGE, range)));
                response
            }
            Range::Unsatisfiable => {
                let mut response =
                    text(StatusCode::RANGE_NOT_SATISFIABLE, "range not satisfiable\n");
                let range = HeaderValue::try_from(format!("bytes */{total}"));
                response.headers_mut().extend(range.ok().map(|range| (CONTENT_RANGE, range)));
                self.add_validators(&mut response);
                response
            }
        }
    }

    fn range(&self, request: &Parts) -> Range {
        let headers = &request.headers;
        let is_ranged = request.method == Method::GET
            && headers.contains_key(RANGE)
            && (!headers.contains_key(IF_RANGE)
                || conditional::is_range_wanted(headers, self.validators.as_ref()));
        if is_ranged { range::parse(headers, self.stamp.length) } else { Range::Whole }
    }

    fn body(&self, request: &Parts, offset: u64, length: u64, transfer: Transfer) -> Body {
        if request.method != Method::GET {
            return Body::empty();
        }
        match &self.content {
            Content::Memory(bytes) => {
                // Both lie within the bytes, so they fit.
                let part = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
                Body::full(bytes.slice(part(offset)..part(offset + length)))
            }
            Content::File(file, warmth) => {
                let body = FileBody::new(Arc::clone(file), offset, length, transfer);
                Body::ranges(if length == self.stamp.length {
                    body.whole(Arc::clone(warmth))
                } else {
                    body
                })
            }
        }
    }

    fn add_validators(&self, response: &mut Response<Body>) {
        for name in [ETAG, LAST_MODIFIED] {
            if let Some(value) = self.headers.get(&name) {
                response.headers_mut().insert(name, value.clone());
            }
        }
    }
}
