//! Names of functions, namespaces and secrets.

use std::fmt;

use crate::error::{Error, Result};

/// Where functions are whose namespace nobody names, as faas-cli expects it.
pub const DEFAULT_NAMESPACE: &str = "openfaas-fn";

/// The longest DNS label (RFC 1123 section 2.1, RFC 1035 section 2.3.4), in characters.
const LONGEST: usize = 63;

/// A function's name within its namespace; displayed as `name.namespace`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId {
    namespace: Box<str>,
    name: Box<str>,
}

impl FunctionId {
    /// Both parts, checked.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no DNS label.
    pub fn new(name: &str, namespace: &str) -> Result<Self> {
        check_name("function", name)?;
        check_name("namespace", namespace)?;
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }

    /// Without the namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

impl fmt::Display for FunctionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.name, self.namespace)
    }
}

/// A DNS-1123 label: lower-case letters, digits and `-`, at most 63 characters, a letter or digit
/// at both ends. `what` says whose name it is.
///
/// # Errors
/// [`Error::Invalid`], which names it and the rule.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_label = (1..=LONGEST).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if is_label {
        return Ok(());
    }
    let shown: String = name.chars().take(2 * LONGEST).collect();
    Err(Error::Invalid(format!(
        "{shown:?} is no name for a {what}: use 1 to {LONGEST} lower-case letters, digits and '-', \
         with a letter or digit at both ends"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_labels_are_names() {
        for name in ["a", "0", "a-b", "figlet", &"x".repeat(63)] {
            check_name("function", name).unwrap();
        }
    }

    #[test]
    fn nothing_else_is() {
        for name in ["", "-", "a-", "-a", "A", "a_b", "a.b", "a/b", "..", "ä", &"x".repeat(64)] {
            let error = check_name("secret", name).unwrap_err().to_string();
            assert!(error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn both_parts_are_shown_and_checked() {
        assert_eq!(FunctionId::new("a", "n").unwrap().to_string(), "a.n");
        assert!(FunctionId::new("a", "../n").is_err());
    }
}
