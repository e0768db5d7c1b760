//! Fetches one small document over HTTP: one connection, one deadline, one bound, no redirects, no proxy.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::uri::Scheme;
use http::{Method, StatusCode, Uri};
use modes::http1::{Broken, Decoder, Head, Piece, RequestHead};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// For one address of the host, so that a dead one leaves time for the next.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

const MAX_BYTES: usize = 1024 * 1024;

/// At once.
const READ_BYTES: usize = 8 * 1024;

/// The name that issuers know from the OpenFaaS watchdog.
const AGENT: &str = "openfaas-watchdog";

/// Why a document could not be fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The address is not an absolute `http` or `https` URL.
    #[error("not an absolute http or https URL")]
    Url,
    /// An `https` address, and this build has no TLS (cargo feature `tls`).
    #[error("https is not supported by this build")]
    NoTls,
    /// The host has no address, refuses connections, or cannot be reached.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed, for example because the certificate is not trusted.
    #[error("cannot establish TLS: {0}")]
    Tls(#[source] io::Error),
    /// The connection broke.
    #[error("broken HTTP exchange: {0}")]
    Connection(#[source] io::Error),
    /// The other side does not speak HTTP, or broke off.
    #[error("broken HTTP exchange: {0}")]
    Http(#[source] Broken),
    /// The answer is a redirect, which is not followed: keys come from the place that was named, or not at all.
    #[error("redirect to {0:?}, which is not followed")]
    Redirect(String),
    /// The answer has any other status but 200.
    #[error("status {0}")]
    Status(StatusCode),
    /// The body is longer than 1 MiB.
    #[error("body of more than {MAX_BYTES} bytes")]
    TooLong,
    /// No complete answer within this time.
    #[error("no complete answer within {0:?}")]
    Late(Duration),
}

impl Failure {
    /// Whether it would be the same the next time, too.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Url | Self::NoTls)
    }
}

/// The body of a GET request answered with 200. The deadline is for all of it: name look-up, connection, request, body.
pub(super) async fn get(url: &str, deadline: Duration) -> Result<Bytes, Failure> {
    tokio::time::timeout(deadline, get_unbounded(url)).await.unwrap_or(Err(Failure::Late(deadline)))
}

async fn get_unbounded(url: &str) -> Result<Bytes, Failure> {
    let target = Target::parse(url)?;
    let mut stream = target.connect().await?;
    stream.write_all(&target.request()?).await.map_err(Failure::Connection)?;
    stream.flush().await.map_err(Failure::Connection)?;

    let mut answer = BytesMut::with_capacity(READ_BYTES);
    let head = loop {
        match Head::parse(&mut answer, false).map_err(Failure::Http)? {
            // Ends with the deadline if there is no end to them.
            Some(head) if head.status.is_informational() => {}
            Some(head) => break head,
            None => {
                if stream.read_buf(&mut answer).await.map_err(Failure::Connection)? == 0 {
                    return Err(Failure::Http(Broken::Cut));
                }
            }
        }
    };
    accept(&head)?;
    read(stream, answer, Decoder::new(head.framing)).await
}

/// Only 200 has the document.
fn accept(head: &Head) -> Result<(), Failure> {
    if head.status.is_redirection() {
        let place = head.headers.get(LOCATION);
        let place = String::from_utf8_lossy(place.map_or(&[], |place| place.as_bytes()));
        return Err(Failure::Redirect(place.into_owned()));
    }
    if head.status != StatusCode::OK {
        return Err(Failure::Status(head.status));
    }
    Ok(())
}

/// The body of which `ahead` has been read already.
async fn read(
    mut stream: Box<dyn Stream>,
    mut ahead: BytesMut,
    mut decoder: Decoder,
) -> Result<Bytes, Failure> {
    let mut document = BytesMut::new();
    loop {
        match decoder.decode(&mut ahead).map_err(Failure::Http)? {
            Piece::Data(data) if document.len() + data.len() > MAX_BYTES => {
                return Err(Failure::TooLong);
            }
            Piece::Data(data) => document.extend_from_slice(&data),
            Piece::Trailers(_) | Piece::End => return Ok(document.freeze()),
            Piece::Starved => {
                ahead.reserve(READ_BYTES);
                if stream.read_buf(&mut ahead).await.map_err(Failure::Connection)? == 0 {
                    decoder.finish().map_err(Failure::Http)?;
                }
            }
        }
    }
}

struct Target {
    uri: Uri,
    host: String,
    port: u16,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "always false, see `parse`"))]
    tls: bool,
}

impl Target {
    fn parse(url: &str) -> Result<Self, Failure> {
        let uri: Uri = url.parse().map_err(|_| Failure::Url)?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(Failure::Url),
        };
        if tls && cfg!(not(feature = "tls")) {
            return Err(Failure::NoTls);
        }
        let host = uri.host().unwrap_or_default();
        // RFC 3986 section 3.2.2 puts IPv6 addresses in brackets, the name look-up knows them without.
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err(Failure::Url);
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { uri, host, port, tls })
    }

    /// A stream on the first of the host's addresses that answers.
    async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        let addresses = tokio::net::lookup_host((self.host.as_str(), self.port)).await;
        let mut failure = io::Error::other("the host has no address");
        for address in addresses.map_err(Failure::Connect)? {
            match tokio::time::timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    #[cfg(feature = "tls")]
                    if self.tls {
                        let secured = super::tls::connect(&self.host, stream).await;
                        return Ok(Box::new(secured.map_err(Failure::Tls)?));
                    }
                    return Ok(Box::new(stream));
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(Failure::Connect(failure))
    }

    fn request(&self) -> Result<Vec<u8>, Failure> {
        // The host was found in it, so there is an authority.
        let authority = self.uri.authority().ok_or(Failure::Url)?;
        // What comes before an @ is not part of the Host header (RFC 9110 section 7.2).
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let target = self.uri.path_and_query().map_or("/", |path| path.as_str());
        // A query may stand right behind an authority.
        let root = if target.starts_with('/') { "" } else { "/" };
        let mut head = RequestHead::new(&Method::GET, root, target);
        head.field(&HOST, host.as_bytes());
        head.field(&USER_AGENT, AGENT.as_bytes());
        head.field(&ACCEPT, b"application/json");
        head.field(&CONNECTION, b"close");
        Ok(head.finish())
    }
}

/// A connection with or without TLS: boxed, so that what reads it is compiled once.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
