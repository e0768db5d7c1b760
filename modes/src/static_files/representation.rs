//! What is sent of a file: itself or a precompressed sibling, whole or in part, or only the news
//! that the client has it already.

use std::{sync::Arc, time::SystemTime};

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};

use super::{
    conditional::{self, Validators, Verdict},
    content_type,
    encoding::{self, Coding},
    open::{Opened, RegularFile, Root},
    range::{self, Range},
    text,
};
use crate::{
    body::Body,
    error::Error,
    file_body::{FIRST_CHUNK, FileBody, read_exact_at},
};

/// One of the representations of a file (RFC 9110 section 3.2).
pub(super) struct Representation {
    file: RegularFile,
    /// `None`: the file itself.
    coding: Option<Coding>,
    /// There are others.
    varies: bool,
    content_type: HeaderValue,
}

impl Representation {
    /// The representation of `file`, which was opened as `name`, that `headers` prefer. Blocks.
    pub(super) fn select(
        root: &Root,
        name: &[u8],
        file: RegularFile,
        headers: &HeaderMap,
    ) -> Result<Self, Error> {
        let mut siblings = Vec::new();
        for coding in Coding::ALL {
            let sibling = [name, coding.suffix().as_bytes()].concat();
            let opening = Error::io("opening a precompressed file under static_path");
            if let Opened::File(file) = root.open(&sibling).map_err(opening)? {
                siblings.push((coding, file));
            }
        }
        let varies = !siblings.is_empty();
        let available: Vec<Coding> = siblings.iter().map(|&(coding, _)| coding).collect();
        let coding = encoding::choose(headers, &available);
        let chosen = siblings.into_iter().find(|&(sibling, _)| Some(sibling) == coding);
        let content_type = HeaderValue::from_static(content_type::of(name));
        let file = chosen.map_or(file, |(_, sibling)| sibling);
        Ok(Self { file, coding, varies, content_type })
    }

    /// The response to a GET or HEAD; that to a HEAD may have a body still. Blocks.
    pub(super) fn respond(self, request: &Parts) -> Result<Response<Body>, Error> {
        let RegularFile { length, modified, .. } = self.file;
        let validators = Validators::new(length, modified, self.coding, SystemTime::now());
        let mut response = match conditional::evaluate(&request.headers, validators.as_ref()) {
            Verdict::Send => self.content(request, validators.as_ref())?,
            Verdict::NotModified => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            Verdict::PreconditionFailed => {
                return Ok(text(StatusCode::PRECONDITION_FAILED, "precondition failed\n"));
            }
        };
        let headers = response.headers_mut();
        if self.varies {
            headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        if let Some(Validators { etag, modified }) = validators {
            let modified = httpdate::fmt_http_date(modified);
            // Neither text has a byte that a header cannot hold.
            headers.extend(HeaderValue::try_from(etag).ok().map(|value| (ETAG, value)));
            headers.extend(HeaderValue::try_from(modified).ok().map(|v| (LAST_MODIFIED, v)));
        }
        Ok(response)
    }

    /// 200, 206 or 416.
    fn content(
        &self,
        request: &Parts,
        validators: Option<&Validators>,
    ) -> Result<Response<Body>, Error> {
        let total = self.file.length;
        let is_ranged = request.method == Method::GET
            && conditional::is_range_wanted(&request.headers, validators);
        let range = if is_ranged { range::parse(&request.headers, total) } else { Range::Whole };
        let (status, offset, length, content_range) = match range {
            Range::Whole => (StatusCode::OK, 0, total, None),
            Range::Part { offset, length } => {
                let last = offset + length - 1;
                let content_range = format!("bytes {offset}-{last}/{total}");
                (StatusCode::PARTIAL_CONTENT, offset, length, Some(content_range))
            }
            Range::Unsatisfiable => return Ok(unsatisfiable(total)),
        };
        let body =
            if request.method == Method::GET { self.read(offset, length)? } else { Body::empty() };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_LENGTH, length.into());
        if let Some(coding) = self.coding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.token()));
        }
        if let Some(range) = content_range.and_then(|range| HeaderValue::try_from(range).ok()) {
            headers.insert(CONTENT_RANGE, range);
        }
        Ok(response)
    }

    /// What fits into one chunk is read at once, so that it needs no second hop to this thread.
    fn read(&self, offset: u64, length: u64) -> Result<Body, Error> {
        match usize::try_from(length) {
            Ok(small) if small <= FIRST_CHUNK => read_exact_at(&self.file.file, offset, small)
                .map(Body::full)
                .map_err(Error::io("reading a file under static_path")),
            _ => Ok(Body::stream(FileBody::new(Arc::clone(&self.file.file), offset, length))),
        }
    }
}

fn unsatisfiable(total: u64) -> Response<Body> {
    let mut response = text(StatusCode::RANGE_NOT_SATISFIABLE, "range not satisfiable\n");
    let range = HeaderValue::try_from(format!("bytes */{total}"));
    response.headers_mut().extend(range.ok().map(|range| (CONTENT_RANGE, range)));
    response
}
