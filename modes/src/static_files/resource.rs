//! All representations of one file, and which of them a request gets.

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header::VARY, request::Parts};

use super::{
    content_type,
    encoding::{self, Coding},
    open::{Opened, RegularFile, Root},
    representation::Representation,
};
use crate::{body::Body, error::Error, file_body::Transfer};

/// A file and its precompressed siblings, as they were when they were last looked at.
#[derive(Debug)]
pub(super) struct Resource {
    /// The file itself first.
    representations: Vec<Arc<Representation>>,
}

impl Resource {
    /// `file`, which was opened as `name`, with its siblings. What `known` holds of the same
    /// versions is taken over. Blocks.
    ///
    /// # Errors
    /// [`Error::Io`] when the host fails.
    pub(super) fn load(
        root: &Root,
        name: &[u8],
        file: RegularFile,
        known: Option<&Self>,
    ) -> Result<Self, Error> {
        let content_type = content_type::of(name);
        let load = |file: RegularFile, coding| {
            let known = known.and_then(|known| known.of(coding));
            match known.filter(|known| known.is_of(&file.stamp)) {
                Some(known) => Ok(Arc::clone(known)),
                None => Representation::load(file, coding, content_type).map(Arc::new),
            }
        };
        let mut representations = vec![load(file, None)?];
        for coding in Coding::ALL {
            let sibling = [name, coding.suffix().as_bytes()].concat();
            let opening = Error::io("opening a precompressed file under static_path");
            if let Opened::File(file) = root.open(&sibling).map_err(opening)? {
                representations.push(load(file, Some(coding))?);
            }
        }
        Ok(Self { representations })
    }

    fn of(&self, coding: Option<Coding>) -> Option<&Arc<Representation>> {
        self.representations.iter().find(|known| known.coding == coding)
    }

    /// The response to a GET or HEAD; that to a HEAD may have a body still.
    pub(super) fn respond(&self, request: &Parts, transfer: Transfer) -> Response<Body> {
        let [only] = self.representations.as_slice() else {
            return self.negotiate(request, transfer);
        };
        only.respond(request, transfer)
    }

    fn negotiate(&self, request: &Parts, transfer: Transfer) -> Response<Body> {
        let available: Vec<Coding> =
            self.representations.iter().filter_map(|known| known.coding).collect();
        let coding = encoding::choose(&request.headers, &available);
        let chosen = self.of(coding).unwrap_or(&self.representations[0]);
        let mut response = chosen.respond(request, transfer);
        if response.status() != StatusCode::PRECONDITION_FAILED {
            response.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        response
    }

    /// Bytes of memory that contents take.
    pub(super) fn memory(&self) -> usize {
        self.representations.iter().map(|known| known.memory()).sum()
    }

    /// Descriptors that are kept open.
    pub(super) fn descriptors(&self) -> usize {
        self.representations.iter().map(|known| known.descriptors()).sum()
    }
}
