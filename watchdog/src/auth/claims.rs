//! What a valid token says, and whether that opens this function.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Denied, pattern};

/// Clock difference with the issuer that is let pass, in seconds; the value the OpenFaaS watchdog uses.
pub(super) const LEEWAY_SECONDS: u16 = 1;

/// The claims that are left to check after the registered ones (`iss`, `aud`, `exp`, `nbf`).
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Claims {
    /// Whose token it is, for the debug log.
    sub: Option<String>,
    /// When the token was issued, in seconds since 1970, perhaps with a fraction (RFC 7519 section 2, `NumericDate`).
    iat: Option<f64>,
    /// The claim of OpenFaaS function tokens. Without it a token permits nothing.
    #[serde(default)]
    function: FunctionClaim,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct FunctionClaim {
    /// Patterns for `namespace:name`, one of which must match.
    permissions: Option<Vec<String>>,
    /// Patterns for `namespace:name`, one of which must match unless there is none.
    audience: Option<Vec<String>>,
}

impl Claims {
    /// For the debug log: the claims as the token has them.
    pub(super) fn summary(&self) -> String {
        // Strings, lists of them and a number have a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Refuses a token from the future: its issuer's clock, and so its `exp`, cannot be trusted.
    pub(super) fn check_issued_at(&self) -> Result<(), Denied> {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        match self.iat {
            Some(iat) if iat > now + f64::from(LEEWAY_SECONDS) => {
                Err(Denied::invalid("it was issued in the future"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a token that does not open `resource`, that is `namespace:function`.
    pub(super) fn check_access(&self, resource: &str) -> Result<(), Denied> {
        let is_named = |patterns: &[String]| {
            patterns.iter().any(|pattern| pattern::matches(pattern, resource))
        };
        let audience = self.function.audience.as_deref().unwrap_or_default();
        let permissions = self.function.permissions.as_deref().unwrap_or_default();
        if (audience.is_empty() || is_named(audience)) && is_named(permissions) {
            Ok(())
        } else {
            Err(Denied::insufficient())
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use serde_json::json;

    use super::super::pattern::tests::reference;
    use super::{Claims, FunctionClaim};

    #[test]
    fn access_needs_a_permission_and_the_audience() {
        for (function, open) in [
            (json!({"permissions": ["ns1:fn"]}), true),
            (json!({"permissions": ["*"]}), true),
            (json!({"permissions": ["ns2:*", "ns1:*"]}), true),
            (json!({"permissions": ["ns1:fn"], "audience": []}), true),
            (json!({"permissions": ["ns1:fn"], "audience": null}), true),
            (json!({"permissions": ["ns1:fn"], "audience": ["ns2:fn", "ns1:f*"]}), true),
            (json!({"permissions": ["ns1:fn"], "audience": ["ns1:fn1"]}), false),
            (json!({"permissions": ["ns1:f"]}), false),
            (json!({"permissions": ["s1:fn"]}), false),
            (json!({"permissions": [""]}), false),
            (json!({"permissions": []}), false),
            (json!({"permissions": null}), false),
            (json!({"audience": ["*"]}), false),
            (json!({}), false),
        ] {
            let claims: Claims = serde_json::from_value(json!({"function": function})).unwrap();
            assert_eq!(claims.check_access("ns1:fn").is_ok(), open, "{function}");
        }
        let claims: Claims = serde_json::from_value(json!({})).unwrap();
        assert!(claims.check_access("ns1:fn").is_err());
    }

    /// Patterns that are near to `ns1:fn`.
    fn patterns() -> impl Strategy<Value = Option<Vec<String>>> {
        let pattern = prop_oneof!["ns1:fn", "[ns1:f*]{0,8}", "(ns1|\\*|ns)(:|\\*)(fn|\\*|f)"];
        proptest::option::of(vec(pattern, 0..3))
    }

    proptest! {
        #[test]
        fn grants_open_only_what_their_patterns_describe(
            permissions in patterns(),
            audience in patterns(),
        ) {
            let describes = |patterns: &[String]| {
                patterns.iter().any(|pattern| reference(pattern.as_bytes(), b"ns1:fn"))
            };
            let open = permissions.as_deref().is_some_and(describes)
                && audience.as_deref().is_none_or(|list| list.is_empty() || describes(list));
            let claims = json!({"function": {"permissions": permissions, "audience": audience}});
            let claims: Claims = serde_json::from_value(claims).unwrap();
            prop_assert_eq!(claims.check_access("ns1:fn").is_ok(), open);
        }

        #[test]
        fn damaged_claims_open_nothing_more(
            // A star may describe anything.
            damage in vec((any::<Index>(), prop_oneof![0..b'*', b'*' + 1..=255]), 1..3),
        ) {
            let function = json!({"permissions": ["ns1:fn"], "audience": ["ns*"]});
            let claims = json!({"sub": "caller", "iat": 1.5, "function": function});
            let mut claims = claims.to_string().into_bytes();
            for (place, byte) in damage {
                let place = place.index(claims.len());
                claims[place] = byte;
            }
            if let Ok(claims) = serde_json::from_slice::<Claims>(&claims) {
                let _ = claims.check_issued_at();
                prop_assert!(claims.check_access("other:name").is_err());
            }
        }

        #[test]
        fn token_from_the_future_is_refused_whatever_its_number(
            iat in prop_oneof![any::<f64>(), 0.0..1e11],
        ) {
            let function = FunctionClaim::default();
            let claims = Claims { sub: None, iat: Some(iat), function };
            // The year 2000, and one that no test will see.
            if iat < 946_684_800.0 {
                prop_assert!(claims.check_issued_at().is_ok());
            } else if iat > 32_503_680_000.0 {
                prop_assert!(claims.check_issued_at().is_err());
            }
        }
    }
}
