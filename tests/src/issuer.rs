//! An issuer of tokens on this machine, for `jwt_auth_local`: a discovery document, a key set,
//! and tokens, good and bad ones.
//!
//! The watchdog looks for it at one fixed port, so there is one at a time: a test takes its [`Turn`]
//! first, across threads and across test processes.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

/// Where the watchdog looks with `jwt_auth_local=true`.
pub const PORT: u16 = 8000;

/// The right to use the port, or to know that nobody does.
#[derive(Debug)]
pub struct Turn {
    _process: MutexGuard<'static, ()>,
    /// Locked (flock(2)) against other test processes until it is closed.
    _machine: File,
}

static TURN: Mutex<()> = Mutex::new(());

/// How long another test process may need for its own turns.
const QUEUE: Duration = Duration::from_secs(120);

impl Turn {
    /// Waits for the turn. `None`, and a line on standard error, when a program that is none of ours
    /// has the port.
    #[must_use]
    pub fn take(test: &str) -> Option<Self> {
        let process = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let path = std::env::temp_dir().join("e2e-issuer.lock");
        let machine = OpenOptions::new().create(true).append(true).open(path).expect("a lock file");
        let start = Instant::now();
        while flock(&machine, FlockOperation::NonBlockingLockExclusive).is_err() {
            assert!(start.elapsed() < QUEUE, "another test process keeps the issuer's port");
            thread::sleep(Duration::from_millis(20));
        }
        if let Err(error) = TcpListener::bind(address()) {
            // Not `eprintln`, whose output the test harness hides while a test passes.
            let line = format!("LEFT OUT: {test}: port {PORT} of the issuer is taken ({error})\n");
            let _ = io::stderr().write_all(line.as_bytes());
            return None;
        }
        Some(Self { _process: process, _machine: machine })
    }
}

fn address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, PORT).into()
}

/// The issuer. Dropping it closes the port.
#[derive(Debug)]
pub struct Issuer {
    shared: Arc<Mutex<Shared>>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    keys: BTreeMap<String, SigningKey>,
    /// Extra members of the key set, as they are.
    more_keys: Vec<Value>,
    requests: Vec<String>,
    stopped: bool,
}

/// How tokens are signed (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

#[derive(Debug)]
enum SigningKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Issuer {
    /// Serves the discovery document and a set of one key, `k1`, for ES256.
    ///
    /// # Panics
    /// When the port is taken, which the turn rules out.
    #[must_use]
    pub fn start(_turn: &Turn) -> Self {
        let listener = TcpListener::bind(address()).expect("the port, which was free");
        let shared = Arc::new(Mutex::new(Shared::default()));
        let served = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if lock(&served).stopped {
                    return;
                }
                // A client that leaves early has its own reasons.
                let _ = stream.and_then(|stream| answer(stream, &served));
            }
        });
        let issuer = Self { shared, thread: Some(thread) };
        issuer.add_key("k1", Algorithm::Es256);
        issuer
    }

    /// Its identifier, and the value of `iss` and `aud`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", address())
    }

    /// Publishes a new key; one with the same id is replaced.
    pub fn add_key(&self, id: &str, algorithm: Algorithm) {
        let random = SystemRandom::new();
        let key = match algorithm {
            Algorithm::Es256 => {
                let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
                let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("a key");
                SigningKey::Es256(
                    EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).expect("that key"),
                )
            }
            Algorithm::EdDsa => {
                let document = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
                SigningKey::EdDsa(Ed25519KeyPair::from_pkcs8(document.as_ref()).expect("that key"))
            }
        };
        lock(&self.shared).keys.insert(id.to_owned(), key);
    }

    /// Publishes one more member of the key set, whatever it is.
    pub fn publish(&self, jwk: Value) {
        lock(&self.shared).more_keys.push(jwk);
    }

    /// How often a path was asked for.
    #[must_use]
    pub fn count(&self, path: &str) -> usize {
        lock(&self.shared).requests.iter().filter(|own| *own == path).count()
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
        let shared = lock(&self.shared);
        let key = shared.keys.get(id).expect("a published key");
        let header = json!({"typ": "JWT", "alg": key.algorithm(), "kid": id});
        signed(&header, claims, |input| key.sign(input))
    }

    /// A token that pretends: its header says HS256, and the secret is what the key set publishes,
    /// in each of the forms that a careless verifier might take for the key.
    ///
    /// # Panics
    /// When there is no such key.
    #[must_use]
    pub fn confused_tokens(&self, id: &str, claims: &Value) -> Vec<String> {
        let shared = lock(&self.shared);
        let key = shared.keys.get(id).expect("a published key");
        let header = json!({"typ": "JWT", "alg": "HS256", "kid": id});
        let jwk = key.jwk(id);
        let raw = key.public();
        // SubjectPublicKeyInfo of a P-256 key (RFC 5480): a fixed prefix before the point.
        let mut der = vec![0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02];
        der.extend([0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42]);
        der.push(0);
        der.extend(&raw);
        let body = base64::engine::general_purpose::STANDARD.encode(&der);
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
        let pem =
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
        let x = jwk["x"].as_str().unwrap_or_default().to_owned();
        let x_bytes = URL_SAFE_NO_PAD.decode(&x).expect("our own encoding");
        let secrets =
            [raw, der, pem.into_bytes(), x.into_bytes(), x_bytes, jwk.to_string().into_bytes()];
        secrets
            .iter()
            .map(|secret| {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
                signed(&header, claims, |input| hmac::sign(&secret, input).as_ref().to_vec())
            })
            .collect()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        lock(&self.shared).stopped = true;
        // Wakes the thread, which then lets the port go.
        let _ = TcpStream::connect(address());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
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

fn signed(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(input.as_bytes()));
    format!("{input}.{signature}")
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(mut stream: TcpStream, shared: &Mutex<Shared>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut shared = lock(shared);
    let document = match path.as_str() {
        "/.well-known/openid-configuration" => json!({
            "issuer": format!("http://{}", address()),
            "jwks_uri": format!("http://{}/.well-known/jwks", address()),
        }),
        "/.well-known/jwks" => {
            let keys = shared.keys.iter().map(|(id, key)| key.jwk(id));
            json!({"keys": keys.chain(shared.more_keys.iter().cloned()).collect::<Vec<_>>()})
        }
        _ => Value::Null,
    };
    shared.requests.push(path);
    drop(shared);
    let status = if document.is_null() { "404 Not Found" } else { "200 OK" };
    let body = document.to_string();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes())
}

impl SigningKey {
    fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn public(&self) -> Vec<u8> {
        match self {
            Self::Es256(pair) => pair.public_key().as_ref().to_vec(),
            Self::EdDsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), input);
                signature.expect("random numbers").as_ref().to_vec()
            }
            Self::EdDsa(pair) => pair.sign(input).as_ref().to_vec(),
        }
    }

    fn jwk(&self, id: &str) -> Value {
        let public = self.public();
        match self {
            Self::Es256(_) => json!({
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id,
                // An uncompressed point: 4, x, y (SEC 1 section 2.3.3).
                "x": URL_SAFE_NO_PAD.encode(&public[1..33]),
                "y": URL_SAFE_NO_PAD.encode(&public[33..]),
            }),
            Self::EdDsa(_) => json!({
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id,
                "x": URL_SAFE_NO_PAD.encode(&public),
            }),
        }
    }
}
