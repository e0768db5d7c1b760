//! An issuer for tests: its HTTP server, its keys and its tokens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    self as sig, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What the server answers when asked for its keys.
#[derive(Clone)]
pub(super) enum Reply {
    Body(Vec<u8>),
    Status(u16),
    Redirect(String),
    /// Nothing: the connection ends.
    Hangup,
}

struct State {
    name: String,
    reply: Reply,
    delay: Duration,
    failures: u32,
    key_fetches: u32,
    agents: Vec<String>,
}

/// A discovery document and a key set on a port of their own, until dropped.
pub(super) struct Issuer {
    pub(super) url: String,
    state: Arc<Mutex<State>>,
    _server: JoinSet<()>,
}

impl Issuer {
    pub(super) async fn start(signers: &[&Signer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            name: url.clone(),
            reply: Reply::Hangup,
            delay: Duration::ZERO,
            failures: 0,
            key_fetches: 0,
            agents: Vec::new(),
        }));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, url.clone(), Arc::clone(&state)));
        let issuer = Self { url, state, _server: server };
        issuer.set_signers(signers);
        issuer
    }

    pub(super) fn set_signers(&self, signers: &[&Signer]) {
        let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
        self.set_keys(&keys);
    }

    pub(super) fn set_keys(&self, keys: &[Value]) {
        self.set_reply(Reply::Body(json!({"keys": keys}).to_string().into_bytes()));
    }

    pub(super) fn set_reply(&self, reply: Reply) {
        self.state.lock().unwrap().reply = reply;
    }

    pub(super) fn set_issuer_name(&self, name: &str) {
        self.state.lock().unwrap().name = name.into();
    }

    /// Answers for the keys come this much later.
    pub(super) fn set_delay(&self, delay: Duration) {
        self.state.lock().unwrap().delay = delay;
    }

    /// The next so many requests are answered with 503.
    pub(super) fn fail_next(&self, requests: u32) {
        self.state.lock().unwrap().failures = requests;
    }

    pub(super) fn key_fetches(&self) -> u32 {
        self.state.lock().unwrap().key_fetches
    }

    /// The `User-Agent` of every request so far.
    pub(super) fn agents(&self) -> Vec<String> {
        self.state.lock().unwrap().agents.clone()
    }
}

async fn serve(listener: TcpListener, url: String, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(answer(stream, url.clone(), Arc::clone(&state)));
    }
}

async fn answer(stream: TcpStream, url: String, state: Arc<Mutex<State>>) {
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head).await.unwrap_or(0) == 0 {
            return;
        }
    }
    let head = String::from_utf8(head).unwrap();
    let is_keys = head.starts_with("GET /keys HTTP/1.1\r\n");
    assert!(is_keys || head.starts_with("GET /.well-known/openid-configuration HTTP/1.1\r\n"));
    assert!(head.contains(&format!("Host: {}\r\n", url.trim_start_matches("http://"))));
    let (reply, delay) = {
        let mut state = state.lock().unwrap();
        let agent = head.lines().find_map(|line| line.strip_prefix("User-Agent: "));
        state.agents.push(agent.unwrap_or_default().to_owned());
        state.key_fetches += u32::from(is_keys);
        if state.failures > 0 {
            state.failures -= 1;
            (Reply::Status(503), Duration::ZERO)
        } else if is_keys {
            (state.reply.clone(), state.delay)
        } else {
            let document =
                json!({"issuer": state.name, "jwks_uri": format!("{url}/keys"), "more": [1]});
            (Reply::Body(document.to_string().into_bytes()), Duration::ZERO)
        }
    };
    tokio::time::sleep(delay).await;
    let (status, location, body) = match reply {
        Reply::Body(body) => (200, String::new(), body),
        Reply::Status(status) => (status, String::new(), Vec::new()),
        Reply::Redirect(to) => (302, format!("Location: {to}\r\n"), Vec::new()),
        Reply::Hangup => return,
    };
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Reason\r\n{location}Content-Length: {length}\r\n\r\n");
    // The client may leave in the middle of a body that is too long.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&body).await;
    let _ = stream.shutdown().await;
}

enum Pair {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair, &'static dyn sig::RsaEncoding),
}

/// A key pair with a name, that signs tokens with one algorithm.
pub(super) struct Signer {
    kid: String,
    pub(super) alg: &'static str,
    pair: Pair,
}

impl Signer {
    pub(super) fn es256(kid: &str) -> Self {
        Self::ecdsa(kid, "ES256", &sig::ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(super) fn es384(kid: &str) -> Self {
        Self::ecdsa(kid, "ES384", &sig::ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn ecdsa(kid: &str, alg: &'static str, algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self { kid: kid.into(), alg, pair: Pair::Ecdsa(pair) }
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            kid: kid.into(),
            alg: "EdDSA",
            pair: Pair::Ed25519(Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap()),
        }
    }

    /// Always the same key, since `ring` makes no RSA keys.
    pub(super) fn rsa(kid: &str, alg: &'static str) -> Self {
        let encoding: &'static dyn sig::RsaEncoding = match alg {
            "RS256" => &sig::RSA_PKCS1_SHA256,
            "RS384" => &sig::RSA_PKCS1_SHA384,
            "RS512" => &sig::RSA_PKCS1_SHA512,
            "PS256" => &sig::RSA_PSS_SHA256,
            "PS384" => &sig::RSA_PSS_SHA384,
            "PS512" => &sig::RSA_PSS_SHA512,
            _ => panic!("{alg} is not for RSA keys"),
        };
        let document = STANDARD.decode(RSA_PKCS1.concat()).unwrap();
        Self {
            kid: kid.into(),
            alg,
            pair: Pair::Rsa(RsaKeyPair::from_der(&document).unwrap(), encoding),
        }
    }

    pub(super) fn public_key(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ecdsa(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair, _) => pair.public_key().as_ref().to_vec(),
        }
    }

    pub(super) fn jwk(&self) -> Value {
        let kid = &self.kid;
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match &self.pair {
            Pair::Ecdsa(_) => {
                let public = self.public_key();
                let (x, y) = public[1..].split_at(public.len() / 2);
                let crv = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kid": kid, "kty": "EC", "crv": crv, "x": text(x), "y": text(y), "use": "sig"})
            }
            Pair::Ed25519(_) => {
                json!({"kid": kid, "kty": "OKP", "crv": "Ed25519", "x": text(&self.public_key())})
            }
            Pair::Rsa(pair, _) => {
                let key = sig::RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({"kid": kid, "kty": "RSA", "n": text(&key.n), "e": text(&key.e)})
            }
        }
    }

    /// A token with these claims and the header that belongs to this key.
    pub(super) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.alg, "typ": "JWT", "kid": self.kid}), claims)
    }

    /// A token with any header, signed with this key and its own algorithm.
    pub(super) fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Ecdsa(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Pair::Rsa(pair, encoding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*encoding, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A token whose authentication code was made with a shared secret.
pub(super) fn hmac_token(kid: &str, secret: &[u8], claims: &Value) -> String {
    let message = format!(
        "{}.{}",
        encoded(&json!({"alg": "HS256", "typ": "JWT", "kid": kid})),
        encoded(claims)
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret);
    let code = ring::hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(code))
}

/// One part of a token.
pub(super) fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

/// An RSA private key of 2048 bits, made for these tests and used nowhere else (PKCS #1, DER, base64).
const RSA_PKCS1: &[&str] = &[
    "MIIEpQIBAAKCAQEA4T4tmwcpdTfgJCrlM8uiaueaYx37HmqulYQMSissiINVYbOIwZIJ9iQS8vKUZjjD+hTGTNohxxPmG113/HNo8L7JFgpb33",
    "tlbd8C61Ne/YdQouwjYc1wb9I9Nhj4M++Kcj3I4VxuFoaVbIQBxWzOt4NzL4ghyqk8/GuOp3K5Kv+buQy7nyMD55Kf5vr7z1DrqDKVL9BaRZ21",
    "HFnhZG9L/UNZwIq+v/spZggaGnl6PUw/pbM1RZqzNxL0SgJ2HafIgxAVSLBrtymRDqHxoIMNeI9PQAxxzn2OjgL6fwSjfvl8jijFFbiz256AXN",
    "R9BpoX1gZU41I8mFMAVOHod/RJAwIDAQABAoIBABKzEkncui+N6tD7MgRu+KDDxzieVxLrNsDunFnrTqsArZh1tWSjRqoazECY11ggiKic4T+l",
    "G7PG2PjW9YH4ZN3DwQxQN4NiClrTmQ7yC3X52L3F4+7ChaigPXkIcVFX0YMdfQK0pTu/2EI7jVgXaev+AOnmdS5kMXjKnHvAqv3A4IV7NbBtxN",
    "Ku4D0ZkLTKlcn5ovQhyjl43ysEaJdIFwCGUUO+o8Fq2cIewes3t8uK1RnjLhxVWPPkKhkYFNQ6v68l7LtTWiEMv+SkKd8hjjkmfNtvKN5g3nJf",
    "JnYx/QA6pJ6X+/m7frDBHYGPfoYDx+1Qid1CtfI2+kVc8A6IGx0CgYEA+Wwk+f58tRZd9XUCodf7U6aWVq1kmF4B4i4/foqqWsufoURvw5ADK0",
    "B1kWWqw/9DUadiC/1Gf2nVQMHmmVgy0kG4eVXBxUda66boTfWXe8JxcsjGK2rBdK3b/OUsWurwBv8Y5E+FCz8/Sh6DQjDYiWwo4vzJX8n/r5Qx",
    "JWBBCT8CgYEA5y7MDPVgOnQ264zSge10mtecx+Ez6fb1a1flIF+bYdqGLJ71n0j4vsMDouxMZNy14HatcfwHYo1M2jgu5/6C2qQLJeqBjCO2+1",
    "mfaE5Xeyf4vLOwIHjXiFVogI2JDhc5y9MeB4ra/FPT1S7wctNzsElEiND3PGMRKVq+Sw64qz0CgYEAmpmrucFCL0Sz7KcggIzNXaZOXV+QkNkE",
    "NdwQwzDUMv8v7Nfspr0nGbIUrZDk7iPU6FHl9iSBhAxngIIvmzEOH0FZROwg9VUrSBHmwBvQT4fQpiNIojTDwLzbNMAgZCJnsQ6BsVKQ1s3XPu",
    "v21BpOva9rEHc7osIkWAJ1DAPDjCUCgYEA0z3jngOoxkDi3iFzSN2dKs/RpqKVOTg70LYj240BAk0XRTaK4d1fzY+Mhxa8R32Vg2Ft4zWT2e2b",
    "R9sGoV3iW76BoUfC0DbiQJIIIttS/Gnt0x+t1D4XU7AXKUAq+AEpAqIKUoICz4YZjjax53pnv7FzOkEXaMptKAiO0S7Gd1ECgYEAqtYbzwuYXS",
    "hG/f5D8/B8VaZwdb6OBhfzxsDdh2/PsjX/CSQCvapDrBXLx+l3RoFJ77faVG7L7CHUM5C9EL/I3FgGIcHxrWqZ+9g/E6OdQ2nh/grAFKTSezrd",
    "jjzIoPl+4NfaV/GWZgGmhNfVyQOFFUxSO6MozFwveSEiRNlib8g=",
];
