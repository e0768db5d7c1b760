//! Keys: what callers of a function have to show.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use modes::Body;
use subtle::ConstantTimeEq as _;

use crate::{registry::Function, respond};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Takes the key out of the headers, so that the function never sees it. `expected` is the
/// content of the secret, without white space around it.
pub(super) fn check(
    headers: &mut HeaderMap,
    expected: Option<&[u8]>,
    function: &Function,
) -> Result<(), Box<Response<Body>>> {
    let Some(expected) = expected.map(<[u8]>::trim_ascii).filter(|key| !key.is_empty()) else {
        let text = format!("the secret with the key of function {} is not there", function.id);
        return Err(Box::new(respond::text(StatusCode::SERVICE_UNAVAILABLE, &text)));
    };
    let mut is_shown = false;
    // In both forms: what is left would reach the function.
    for name in [API_KEY, header::AUTHORIZATION] {
        let shown = headers.get_all(&name).iter().map(HeaderValue::as_bytes);
        let mut keys =
            shown.filter_map(|value| if name == API_KEY { Some(value) } else { bearer(value) });
        // Its length is no secret; its bytes are.
        if keys.any(|shown| shown.ct_eq(expected).into()) {
            headers.remove(&name);
            is_shown = true;
        }
    }
    if is_shown {
        return Ok(());
    }
    let text = format!(
        "function {} needs its key: send it as X-Api-Key or as Authorization: Bearer",
        function.id
    );
    let mut refused = respond::text(StatusCode::UNAUTHORIZED, &text);
    let bearer = HeaderValue::from_static("Bearer realm=\"function\"");
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
    Err(Box::new(refused))
}

/// The token of `Bearer TOKEN` (RFC 6750 section 2.1); the scheme's case does not matter.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        function::{FunctionId, Policy},
        registry::Revision,
    };

    fn try_with(fields: &[(&'static str, &'static str)], key: Option<&[u8]>) -> (u16, Vec<String>) {
        let revision = Revision {
            number: 1,
            spec: Arc::default(),
            policy: Policy::default(),
            deployed: time::OffsetDateTime::UNIX_EPOCH,
        };
        let function = Function::new(FunctionId::new("f", "n").unwrap(), revision);
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let status = match check(&mut headers, key, &function) {
            Ok(()) => 200,
            Err(refused) => refused.status().as_u16(),
        };
        (status, headers.keys().map(ToString::to_string).collect())
    }

    #[test]
    fn key_is_taken_in_both_forms_and_away() {
        let key = Some(b"secret\n".as_slice());
        let none: Vec<String> = Vec::new();
        assert_eq!(try_with(&[("x-api-key", "secret")], key), (200, none.clone()));
        assert_eq!(try_with(&[("authorization", "bearer secret")], key), (200, none));
        let both = [("authorization", "Basic x"), ("x-api-key", "secret")];
        assert_eq!(try_with(&both, key), (200, vec!["authorization".to_owned()]));
        let twice = [("authorization", "Bearer secret"), ("x-api-key", "secret")];
        assert_eq!(try_with(&twice, key), (200, Vec::new()));
        let repeated = [("x-api-key", "another"), ("x-api-key", "secret")];
        assert_eq!(try_with(&repeated, key), (200, Vec::new()));
    }

    #[test]
    fn nothing_else_is_a_key() {
        let key = Some(b"secret".as_slice());
        for fields in [
            &[][..],
            &[("x-api-key", "secre")],
            &[("x-api-key", "")],
            &[("authorization", "Basic secret")],
            &[("authorization", "Bearer")],
        ] {
            assert_eq!(try_with(fields, key).0, 401, "{fields:?}");
        }
    }

    #[test]
    fn without_a_secret_nobody_comes_in() {
        assert_eq!(try_with(&[("x-api-key", "")], None).0, 503);
        assert_eq!(try_with(&[("x-api-key", "")], Some(b" \n")).0, 503);
    }
}
