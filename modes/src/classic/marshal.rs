//! `marshal_request`: the request as one JSON document, written as its body arrives.
//!
//! The form is classic-watchdog's: `{"header":{"Name":["value"]},"body":{"raw":"<base64>"}}`.

use std::{
    collections::BTreeMap,
    pin::Pin,
    task::{Context, Poll, ready},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::{Body as HttpBody, Frame};

use crate::{body::Body, cgi, error::Error};

/// The document's bytes.
pub(super) struct Marshal {
    prefix: Option<String>,
    body: Body,
    /// Up to two bytes that wait for a third: base64 codes three at a time.
    carry: BytesMut,
    done: bool,
}

impl Marshal {
    pub(super) fn new(headers: &HeaderMap, body: Body) -> Self {
        Self { prefix: Some(prefix(headers)), body, carry: BytesMut::new(), done: false }
    }
}

/// Everything before the first byte of the body. Names are sorted, `Host` and
/// `Transfer-Encoding` are left out, as Go does.
fn prefix(headers: &HeaderMap) -> String {
    let map: BTreeMap<String, Vec<String>> = headers
        .keys()
        .filter(|name| ![header::HOST, header::TRANSFER_ENCODING].contains(name))
        .map(|name| {
            let values = headers.get_all(name).iter();
            let values = values.map(|v| String::from_utf8_lossy(v.as_bytes()).into_owned());
            (cgi::canonical(name, '-'), values.collect())
        })
        .collect();
    let json = serde_json::to_string(&map).unwrap_or_else(|_| "{}".to_owned());
    format!(r#"{{"header":{json},"body":{{"raw":""#)
}

impl HttpBody for Marshal {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let text = loop {
            if let Some(prefix) = this.prefix.take() {
                break prefix;
            }
            if this.done {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)).transpose()? {
                Some(frame) => {
                    let Ok(data) = frame.into_data() else { continue };
                    this.carry.extend_from_slice(&data);
                    let whole = this.carry.len() / 3 * 3;
                    if whole > 0 {
                        break STANDARD.encode(this.carry.split_to(whole));
                    }
                }
                None => {
                    this.done = true;
                    break STANDARD.encode(&this.carry) + r#""}}"#;
                }
            }
        };
        Poll::Ready(Some(Ok(Frame::data(text.into()))))
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use http_body_util::BodyExt as _;
    use proptest::{collection::vec, prelude::*};
    use serde_json::Value;

    use super::*;

    #[tokio::test]
    async fn any_split_of_the_body_gives_the_same_document() {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("h"));
        headers.append("x-b", HeaderValue::from_static("2"));
        headers.append("x-b", HeaderValue::from_static("3"));
        headers.append("x-a", HeaderValue::from_static("\"1\""));
        for length in 0..8_u8 {
            let bytes: Vec<u8> = (0..length).map(|n| n.wrapping_mul(67)).collect();
            for split in 0..=bytes.len() {
                let body = Body::prefixed(
                    Bytes::copy_from_slice(&bytes[..split]),
                    Body::full(Bytes::copy_from_slice(&bytes[split..])),
                );
                let document = Marshal::new(&headers, body).collect().await.unwrap().to_bytes();
                let expected = format!(
                    r#"{{"header":{{"X-A":["\"1\""],"X-B":["2","3"]}},"body":{{"raw":"{}"}}}}"#,
                    STANDARD.encode(&bytes)
                );
                assert_eq!(document, expected);
            }
        }
    }

    fn field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
        let name =
            prop_oneof!["host|transfer-encoding|x-a|x-b|x_a|accept", "[!#-'*+.0-9a-z^_`|~-]{1,9}"];
        let value =
            prop_oneof![vec(any::<u8>(), 0..12), "[\"\\\\ -~]{0,12}".prop_map(String::into_bytes)];
        (name, value).prop_filter_map("no header", |(name, value)| {
            Some((name.parse().ok()?, HeaderValue::from_bytes(&value).ok()?))
        })
    }

    proptest! {
        #[test]
        fn any_request_is_a_json_document_that_decodes_to_it(
            fields in vec(field(), 0..6),
            pieces in vec(vec(any::<u8>(), 0..8), 0..6),
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, value);
            }
            let body = pieces
                .iter()
                .rev()
                .fold(Body::empty(), |rest, piece| Body::prefixed(piece.clone(), rest));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let document = runtime.block_on(Marshal::new(&headers, body).collect()).unwrap();
            let document: Value = serde_json::from_slice(&document.to_bytes()).unwrap();
            let raw = STANDARD.decode(document["body"]["raw"].as_str().unwrap()).unwrap();
            prop_assert_eq!(raw, pieces.concat());

            // Names compare without case, so Go's spelling of one finds it.
            let told = document["header"].as_object().unwrap();
            for name in headers.keys() {
                let values: Vec<Value> = headers
                    .get_all(name)
                    .iter()
                    .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
                    .collect();
                let found = told.iter().find(|(told, _)| told.eq_ignore_ascii_case(name.as_str()));
                let expected = (name != header::HOST && name != header::TRANSFER_ENCODING)
                    .then_some(Value::Array(values));
                prop_assert_eq!(found.map(|(_, values)| values), expected.as_ref(), "{}", name);
            }
            prop_assert!(told.keys().all(|name| headers.contains_key(name)));
        }
    }
}
