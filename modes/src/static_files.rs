//! `mode=static`: the files below one folder, without a function.
//!
//! A request is a pipeline: method, path, file, coding, conditions, range, response. What was learnt
//! of a file is kept for a second (`cache`), small contents included, so that most requests ask the
//! disk for nothing. Everything that does ask it happens in one piece on one of tokio's blocking
//! threads; long contents follow as a `FileBody`.

mod cache;
mod conditional;
mod content_type;
mod encoding;
mod open;
mod path;
mod range;
mod representation;
mod resource;

use std::{io, path::PathBuf, sync::Arc, time::Instant};

use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS},
};
use tokio::task::spawn_blocking;

use self::{
    cache::Cache,
    open::{Opened, Root},
    path::{Refusal, Target},
    resource::Resource,
};
use crate::{body::Body, error::Error, file_body::Transfer, zero_copy::ZeroCopy};

/// What `mode=static` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder to serve (`static_path`). Everything below it is public, except dot-files.
    pub root: PathBuf,
    /// Whether long files are sent by the kernel.
    pub zero_copy: ZeroCopy,
}

/// `static_path` cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("static_path {}: {source}", root.display())]
pub struct RootError {
    /// As it was configured.
    pub root: PathBuf,
    /// The kernel's reason, such as "Not a directory".
    pub source: io::Error,
}

/// Serves files; cheap to clone.
///
/// | request | response |
/// |---|---|
/// | a method other than GET and HEAD | 405 with `Allow: GET, HEAD` |
/// | HEAD | the headers of a GET without Range, Content-Length included; no body |
/// | a path with a `%` that is no escape, or with an encoded NUL | 400 |
/// | a segment that begins with a dot, or holds an encoded slash or a backslash | 404; a first segment `.well-known` is served (RFC 8615) |
/// | empty segments (`/a//b`) | as without them |
/// | a regular file | 200; the name is bytes, decoded once |
/// | a link to a file below the root | as that file |
/// | a link out of the root, a FIFO, a socket, a device, nothing | 404 |
/// | a folder without a final slash | 301 with a relative Location that adds it and keeps the query |
/// | a folder with a final slash | its `index.html`, else 404: there is no listing |
/// | a file with a final slash | 404 |
/// | a file that this process may not read | 403, as Go's file server has it |
/// | If-Match, If-Unmodified-Since that do not hold | 412 |
/// | If-None-Match, If-Modified-Since of the current content | 304 (RFC 9110 section 13) |
/// | GET with one range of bytes | 206; 416 if it lies behind the end |
/// | GET with several ranges, another unit, or an If-Range of other content | 200 |
///
/// A file `x` may have precompressed siblings `x.br`, `x.zst` and `x.gz`. What Accept-Encoding
/// likes best of them is sent as a representation of its own, with its Content-Encoding, its
/// `ETag`, and the type of `x`; ranges count in its bytes. A client that refuses all there is gets
/// `x` itself. As soon as there is a sibling, every 200, 206, 304 and 416 for `x` has
/// `Vary: Accept-Encoding`. Whoever makes the siblings keeps them current.
///
/// Every 200 and 206 has Content-Type (by the name's extension, else
/// `application/octet-stream`), `X-Content-Type-Options: nosniff` (an upload cannot pose as a
/// page), `Accept-Ranges: bytes`, and unless the file's time is one of those that image builders
/// give to all files, Last-Modified and a strong `ETag` of size and time.
///
/// A change of a file, of a link or of a folder on the way to it is seen at most a second later. A
/// content is never mixed of two versions, unless a long file is overwritten in place while it is
/// sent.
#[derive(Clone, Debug)]
pub struct StaticFiles {
    root: Arc<Root>,
    cache: Arc<Cache>,
    transfer: Transfer,
}

impl StaticFiles {
    /// Resolves and opens the root, once: if it is a link that is pointed elsewhere later, the
    /// old folder is still served.
    ///
    /// # Errors
    /// The root does not exist, is no folder, or cannot be reached.
    pub fn new(config: Config) -> Result<Self, RootError> {
        match Root::new(&config.root) {
            Ok(root) => Ok(Self {
                root: Arc::new(root),
                cache: Arc::default(),
                transfer: config.zero_copy.into(),
            }),
            Err(source) => Err(RootError { root: config.root, source }),
        }
    }

    /// Answers one request, which `began` just now; its body is not read. Has to run inside a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Io`] if the host fails, such as on too many open files, or if a small file was
    /// cut short while it was read. What a client can cause is a response.
    pub async fn call(
        &self,
        request: Request<Body>,
        began: Option<Instant>,
    ) -> Result<Response<Body>, Error> {
        let (parts, _) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let response = if !is_head && parts.method != Method::GET {
            method_not_allowed()
        } else {
            match path::map(parts.uri.path()) {
                Err(Refusal::Malformed) => text(StatusCode::BAD_REQUEST, "malformed path\n"),
                Err(Refusal::Hidden) => not_found(),
                Ok(target) => match self.find(&target, began.unwrap_or_else(Instant::now)).await? {
                    Found::File(resource) => resource.respond(&parts, self.transfer),
                    Found::Folder if !target.is_index => redirect(&target, parts.uri.query()),
                    Found::Folder | Found::Nothing => not_found(),
                    Found::Forbidden => text(StatusCode::FORBIDDEN, "forbidden\n"),
                },
            }
        };
        Ok(if is_head { response.map(|_| Body::empty()) } else { response })
    }

    /// From what is known, or from the disk.
    async fn find(&self, target: &Target, now: Instant) -> Result<Found, Error> {
        let known = match self.cache.get(&target.file, now) {
            Some((resource, true)) => return Ok(Found::File(resource)),
            Some((resource, false)) => Some(resource),
            None => None,
        };
        let (root, name) = (Arc::clone(&self.root), target.file.clone());
        let found = spawn_blocking(move || look(&root, &name, known.as_deref()))
            .await
            .map_err(io::Error::other)
            .map_err(Error::io("looking for a file under static_path"))??;
        match &found {
            Found::File(resource) => self.cache.put(&target.file, Arc::clone(resource), now),
            Found::Folder | Found::Nothing | Found::Forbidden => self.cache.forget(&target.file),
        }
        Ok(found)
    }
}

/// What a name leads to.
enum Found {
    File(Arc<Resource>),
    Folder,
    Nothing,
    Forbidden,
}

/// The part that asks the disk. Blocks.
fn look(root: &Root, name: &[u8], known: Option<&Resource>) -> Result<Found, Error> {
    let opened = root.open(name).map_err(Error::io("opening a file under static_path"))?;
    Ok(match opened {
        Opened::File(file) => Found::File(Arc::new(Resource::load(root, name, file, known)?)),
        Opened::Folder => Found::Folder,
        Opened::Absent => Found::Nothing,
        Opened::Forbidden => Found::Forbidden,
    })
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "not found\n")
}

fn method_not_allowed() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn redirect(target: &Target, query: Option<&str>) -> Response<Body> {
    let Some(location) = path::with_slash(target, query) else {
        return not_found();
    };
    let mut response = text(StatusCode::MOVED_PERMANENTLY, "moved permanently\n");
    response.headers_mut().insert(LOCATION, location);
    response
}

/// A response that is about the request and not of a file.
fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_LENGTH, text.len().into());
    response
}

#[cfg(test)]
mod tests;
