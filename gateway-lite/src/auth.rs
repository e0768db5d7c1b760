//! Who may use the control plane: one name and password, as HTTP Basic.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::HeaderValue;
use subtle::ConstantTimeEq as _;

use crate::private_file::{self, about};

/// The names of the files, as Docker and Kubernetes mount them for OpenFaaS.
pub(crate) const FILES: [&str; 2] = ["basic-auth-user", "basic-auth-password"];

/// The name of who nobody named.
const USER: &str = "admin";

/// The name and password that are right.
pub struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

/// Never shows them.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Those in the secret files of `dir`, without white space around them.
    ///
    /// # Errors
    /// A file that cannot be read or is empty, by its path.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let [user, password] = FILES.map(|name| {
            let path = dir.join(name);
            let text = fs::read(&path).map_err(|error| about(&path, &error))?;
            let text = text.trim_ascii().to_vec();
            if text.is_empty() {
                let empty = io::Error::new(io::ErrorKind::InvalidData, "is empty");
                return Err(about(&path, &empty));
            }
            Ok(text)
        });
        Ok(Self { user: user?, password: password? })
    }

    /// Those in `data`, made on the first start; and the path of the password if it is new.
    ///
    /// # Errors
    /// As [`read`](Self::read), or they cannot be written.
    pub fn read_or_make(data: &Path) -> io::Result<(Self, Option<PathBuf>)> {
        let [user, password] = FILES.map(|name| data.join(name));
        let mut made = None;
        if !password.exists() {
            let mut bytes = [0; 24];
            rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
            let text = URL_SAFE_NO_PAD.encode(bytes);
            private_file::write(&password, text.as_bytes())?;
            made = Some(password);
        }
        if !user.exists() {
            private_file::write(&user, USER.as_bytes())?;
        }
        Ok((Self::read(data)?, made))
    }

    /// Whether an `Authorization` field shows them. What is no Basic field, such as the empty
    /// bearer token that faas-cli sends without a login, shows nothing.
    #[must_use]
    pub fn are_shown(&self, field: Option<&HeaderValue>) -> bool {
        let Some(shown) = field.and_then(|field| basic(field.as_bytes())) else { return false };
        let colon = shown.iter().position(|byte| *byte == b':');
        let Some((user, password)) = colon.and_then(|at| shown.split_at_checked(at)) else {
            return false;
        };
        // Both are compared, whatever the first says: the time tells nothing.
        let same = user.ct_eq(&self.user) & password[1..].ct_eq(&self.password);
        same.into()
    }
}

/// `user:password` of `Basic BASE64` (RFC 7617 section 2).
fn basic(field: &[u8]) -> Option<Vec<u8>> {
    let (scheme, token) = field.split_at_checked("Basic ".len())?;
    scheme.eq_ignore_ascii_case(b"basic ").then_some(())?;
    STANDARD.decode(token.trim_ascii()).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn shown(credentials: &Credentials, field: &str) -> bool {
        credentials.are_shown(Some(&HeaderValue::from_str(field).unwrap()))
    }

    #[test]
    fn only_both_parts_let_in() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILES[0]), "me\n").unwrap();
        fs::write(dir.path().join(FILES[1]), " pass:word \n").unwrap();
        let credentials = Credentials::read(dir.path()).unwrap();
        let field = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert!(shown(&credentials, &field("me:pass:word")));
        for wrong in ["me:", ":pass:word", "me", "you:pass:word", "me:pass:wor", "me:pass:word "] {
            assert!(!shown(&credentials, &field(wrong)), "{wrong}");
        }
        for wrong in ["Bearer", "Bearer ", "Basic", "Basic ", "Basic !", "me:pass:word"] {
            assert!(!shown(&credentials, wrong), "{wrong}");
        }
        assert!(!credentials.are_shown(None));
        assert!(!format!("{credentials:?}").contains("word"));
    }

    #[test]
    fn missing_ones_are_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let (_, made) = Credentials::read_or_make(dir.path()).unwrap();
        let path = made.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let password = fs::read_to_string(&path).unwrap();
        assert_eq!(password.len(), 32);
        let (again, made) = Credentials::read_or_make(dir.path()).unwrap();
        assert!(made.is_none());
        let field = format!("basic {}", STANDARD.encode(format!("admin:{password}")));
        assert!(shown(&again, &field));
    }

    #[test]
    fn an_empty_file_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILES[0]), "me").unwrap();
        fs::write(dir.path().join(FILES[1]), "\n").unwrap();
        let error = Credentials::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("basic-auth-password") && error.contains("empty"), "{error}");
    }
}
