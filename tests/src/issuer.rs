//! An issuer of tokens on this machine, for `jwt_auth_local`: a discovery document, a key set over
//! http or https, and tokens, good and bad ones.
//!
//! The watchdog looks for it at one fixed port, so there is one at a time: a test takes its [`Turn`]
//! first, across threads and across test processes.

mod keys;
mod server;
mod tls;
mod turn;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use rustls::ServerConfig;
use serde_json::{Value, json};

use self::{
    keys::{Owner, SigningKey},
    server::{Server, read_path, write_document},
};

pub use self::{
    keys::Algorithm,
    tls::{Authority, Identity},
    turn::Turn,
};

/// Where the watchdog looks with `jwt_auth_local=true`.
pub const PORT: u16 = 8000;

/// The name in the address of a key set that is served over https. It leads to this machine.
pub const HOST: &str = "localhost";

fn address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

/// The issuer. Dropping it closes its ports.
#[derive(Debug)]
pub struct Issuer {
    shared: Arc<Mutex<Shared>>,
    _plain: Server,
    _secured: Option<Server>,
}

#[derive(Debug)]
struct Shared {
    keys: BTreeMap<String, SigningKey>,
    /// Extra members of the key set, as they are.
    more_keys: Vec<Value>,
    /// Where the key set is.
    keys_url: String,
    /// Who the server says it is in the next handshakes; the last one stays.
    identities: VecDeque<Arc<ServerConfig>>,
    /// The address of every request.
    requests: Vec<String>,
}

impl Issuer {
    /// Serves the discovery document and a set of one key, `k1`, for ES256.
    ///
    /// # Panics
    /// When the port is taken, which the turn rules out.
    #[must_use]
    pub fn start(turn: &Turn) -> Self {
        Self::serve(turn, None)
    }

    /// The same, with the key set at an https address of [`HOST`] and nowhere else. It shows the
    /// first of these identities in the first handshake, and so on; the last one stays.
    ///
    /// # Panics
    /// When there is no identity, or a port is taken, which the turn rules out.
    #[must_use]
    pub fn start_over_https(turn: &Turn, identities: impl IntoIterator<Item = Identity>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let issuer = Self::serve(turn, Some(listener));
        issuer.identify(identities);
        issuer
    }

    fn serve(_turn: &Turn, secured: Option<TcpListener>) -> Self {
        let listener = TcpListener::bind(address()).expect("the port, which was free");
        let origin = secured.as_ref().map_or_else(url, |listener| {
            let port = listener.local_addr().expect("the address it was bound to").port();
            format!("https://{HOST}:{port}")
        });
        let shared = Arc::new(Mutex::new(Shared {
            keys: BTreeMap::new(),
            more_keys: Vec::new(),
            keys_url: format!("{origin}/.well-known/jwks"),
            identities: VecDeque::new(),
            requests: Vec::new(),
        }));
        let served = Arc::clone(&shared);
        let plain = Server::start(listener, move |stream| answer(stream, &url(), &served));
        let secured = secured.map(|listener| {
            let served = Arc::clone(&shared);
            Server::start(listener, move |stream| {
                let mut stream = tls::accept(stream, || lock(&served).next_identity())?;
                answer(&mut stream, &origin, &served)?;
                stream.conn.send_close_notify();
                stream.conn.complete_io(&mut stream.sock).map(drop)
            })
        });
        let issuer = Self { shared, _plain: plain, _secured: secured };
        issuer.add_key("k1", Algorithm::Es256);
        issuer
    }

    /// Its identifier, and the value of `iss` and `aud`.
    #[must_use]
    pub fn url(&self) -> String {
        url()
    }

    /// Where its keys are.
    #[must_use]
    pub fn keys_url(&self) -> String {
        lock(&self.shared).keys_url.clone()
    }

    /// Shows these identities from now on: one a handshake, the last one stays.
    ///
    /// # Panics
    /// When there is none.
    pub fn identify(&self, identities: impl IntoIterator<Item = Identity>) {
        let identities: VecDeque<_> = identities.into_iter().map(Identity::into_config).collect();
        assert!(!identities.is_empty(), "a server has an identity");
        lock(&self.shared).identities = identities;
    }

    /// Publishes a new key (for RSA always the same one); one with the same id is replaced.
    pub fn add_key(&self, id: &str, algorithm: Algorithm) {
        let key = SigningKey::new(algorithm, Owner::Issuer);
        lock(&self.shared).keys.insert(id.to_owned(), key);
    }

    /// What is published of a key.
    ///
    /// # Panics
    /// When there is no such key.
    #[must_use]
    pub fn jwk(&self, id: &str) -> Value {
        lock(&self.shared).key(id).jwk(id)
    }

    /// Publishes one more member of the key set, whatever it is.
    pub fn publish(&self, jwk: Value) {
        lock(&self.shared).more_keys.push(jwk);
    }

    /// How often the key set was asked for at its address.
    #[must_use]
    pub fn key_fetches(&self) -> usize {
        let shared = lock(&self.shared);
        shared.requests.iter().filter(|url| **url == shared.keys_url).count()
    }

    /// The claims of a token that opens `permission` for one hour.
    #[must_use]
    pub fn claims(&self, permission: &str) -> Value {
        json!({
            "iss": self.url(),
            "aud": self.url(),
            "sub": "fed:somebody",
            "iat": now(),
            "nbf": now(),
            "exp": now() + 3600,
            "function": {"permissions": [permission]},
        })
    }

    /// A token of these claims, signed with a published key.
    ///
    /// # Panics
    /// When there is no such key.
    #[must_use]
    pub fn token(&self, id: &str, claims: &Value) -> String {
        let header = lock(&self.shared).header(id);
        self.token_with(id, &header, claims)
    }

    /// The same with any header; the key and its algorithm stay those of `id`.
    ///
    /// # Panics
    /// When there is no such key.
    #[must_use]
    pub fn token_with(&self, id: &str, header: &Value, claims: &Value) -> String {
        let shared = lock(&self.shared);
        signed(header, claims, |input| shared.key(id).sign(input))
    }

    /// A token that names a published key and was signed with a stranger's of the same kind.
    ///
    /// # Panics
    /// When there is no such key.
    #[must_use]
    pub fn forged_token(&self, id: &str, claims: &Value) -> String {
        let shared = lock(&self.shared);
        let key = SigningKey::new(shared.key(id).algorithm(), Owner::Stranger);
        signed(&shared.header(id), claims, |input| key.sign(input))
    }

    /// A token that pretends: its header says HS256, and the secret is what the key set publishes,
    /// in each of the forms that a careless verifier might take for the key.
    ///
    /// # Panics
    /// When there is no such key.
    #[must_use]
    pub fn confused_tokens(&self, id: &str, claims: &Value) -> Vec<String> {
        let header = json!({"typ": "JWT", "alg": "HS256", "kid": id});
        let forms = lock(&self.shared).key(id).published_forms(id);
        let tokens = forms.iter().map(|secret| {
            let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
            signed(&header, claims, |input| hmac::sign(&secret, input).as_ref().to_vec())
        });
        tokens.collect()
    }
}

impl Shared {
    fn key(&self, id: &str) -> &SigningKey {
        self.keys.get(id).expect("a published key")
    }

    fn header(&self, id: &str) -> Value {
        json!({"typ": "JWT", "alg": self.key(id).algorithm().name(), "kid": id})
    }

    fn next_identity(&mut self) -> Arc<ServerConfig> {
        let last = self.identities.len() == 1;
        let next =
            if last { self.identities.front().cloned() } else { self.identities.pop_front() };
        next.expect("a server has an identity")
    }

    /// The document at an address; `null` when there is none.
    fn document(&self, url: &str) -> Value {
        if url == self.keys_url {
            let keys = self.keys.iter().map(|(id, key)| key.jwk(id));
            json!({"keys": keys.chain(self.more_keys.iter().cloned()).collect::<Vec<_>>()})
        } else if url == format!("{}/.well-known/openid-configuration", self::url()) {
            json!({"issuer": self::url(), "jwks_uri": self.keys_url})
        } else {
            Value::Null
        }
    }
}

/// A token with any header and without a signature (`alg` none, RFC 7515 appendix A.5).
#[must_use]
pub fn unsigned(header: &Value, claims: &Value) -> String {
    signed(header, claims, |_| Vec::new())
}

/// Seconds since 1970.
///
/// # Panics
/// When the clock stands before that.
#[must_use]
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.expect("a clock that is right").as_secs()
}

fn url() -> String {
    format!("http://{}", address())
}

fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers one request at `origin`.
fn answer(
    mut stream: impl io::Read + io::Write,
    origin: &str,
    shared: &Mutex<Shared>,
) -> io::Result<()> {
    let url = format!("{origin}{}", read_path(&mut stream)?);
    let document = {
        let mut shared = lock(shared);
        let document = shared.document(&url);
        shared.requests.push(url);
        document
    };
    write_document(&mut stream, &document)
}
