//! What marks a call on its way in and out.

use std::{cell::RefCell, time::Instant};

use bytes::BytesMut;
use http::{HeaderMap, HeaderName, HeaderValue};
use watchdog::epoch::since_1970;

/// Kept from the caller, or made; the same in the request, the response and the log.
static CALL_ID: HeaderName = HeaderName::from_static("x-call-id");
/// When the call reached the gateway, in nanoseconds since 1970.
static START_TIME: HeaderName = HeaderName::from_static("x-start-time");

thread_local! {
    /// Where values are written: one piece of memory does for many.
    static ROOM: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// What is taken from the allocator at once, in bytes.
const PIECE: usize = 4096;
/// More than one value needs.
const LONGEST: usize = 64;

/// The identifier and the start of one call.
#[derive(Debug)]
pub(super) struct Marks {
    call_id: HeaderValue,
    start_time: HeaderValue,
}

impl Marks {
    /// Of a call that `started` just now.
    pub(super) fn new(call_id: HeaderValue, started: Instant) -> Self {
        let nanoseconds = u64::try_from(since_1970(started).as_nanos()).unwrap_or(u64::MAX);
        let start_time = value(itoa::Buffer::new().format(nanoseconds));
        Self { call_id, start_time }
    }

    /// What the function is told.
    pub(super) fn added(&self) -> [(&'static HeaderName, &HeaderValue); 2] {
        [(&CALL_ID, &self.call_id), (&START_TIME, &self.start_time)]
    }

    /// What the caller is told, unless the function has its own word for it.
    pub(super) fn show(self, headers: &mut HeaderMap) {
        headers.entry(&CALL_ID).or_insert(self.call_id);
        headers.entry(&START_TIME).or_insert(self.start_time);
    }
}

/// What a call is called: as its caller does, or anew.
pub(super) fn call_id(given: Option<&HeaderValue>) -> HeaderValue {
    given.cloned().unwrap_or_else(|| {
        // It tells calls apart and keeps no secret.
        let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes());
        let mut text = uuid::Uuid::encode_buffer();
        value(id.into_uuid().hyphenated().encode_lower(&mut text))
    })
}

/// Letters, digits and hyphens as a value.
fn value(text: &str) -> HeaderValue {
    ROOM.with_borrow_mut(|room| {
        if room.capacity() < LONGEST.max(text.len()) {
            *room = BytesMut::with_capacity(PIECE);
        }
        room.extend_from_slice(text.as_bytes());
        let value = HeaderValue::from_maybe_shared(room.split().freeze());
        value.unwrap_or_else(|_| HeaderValue::from_static("unknown"))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_call_has_an_identifier_of_its_own_and_a_given_one_is_kept() {
        let marks = |given| Marks::new(call_id(given), Instant::now());
        let all: Vec<Marks> = (0..1000).map(|_| marks(None)).collect();
        let ids: HashSet<&str> = all.iter().map(|m| m.call_id.to_str().unwrap()).collect();
        assert_eq!(ids.len(), all.len());
        for marks in &all {
            uuid::Uuid::try_parse(marks.call_id.to_str().unwrap()).unwrap();
            let start: u64 = marks.start_time.to_str().unwrap().parse().unwrap();
            assert!(start > 1_700_000_000_000_000_000, "{start}");
        }
        let given = HeaderValue::from_static("mine");
        assert_eq!(marks(Some(&given)).call_id, given);
    }

    #[test]
    fn the_functions_own_word_stays() {
        let mut headers = HeaderMap::new();
        headers.insert(&CALL_ID, HeaderValue::from_static("its"));
        Marks::new(call_id(None), Instant::now()).show(&mut headers);
        assert_eq!(headers[&CALL_ID], "its");
        assert!(headers.contains_key(&START_TIME));
    }
}
