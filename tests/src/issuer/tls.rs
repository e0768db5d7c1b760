//! Certificates, good and bad ones, and connections over TLS that show them.

use std::{io, net::TcpStream, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::Acceptor,
    version::{TLS12, TLS13},
};

use super::{HOST, keys::pem};

/// Vouches for host names towards those who trust it. Its key is made anew, so nobody does who was
/// not told to.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// An authority of this name. Two of one name have different keys.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = params(&[]);
        params.distinguished_name = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its own certificate as PEM: what a file of trusted authorities holds (`SSL_CERT_FILE`).
    #[must_use]
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", self.0.der())
    }

    /// A good identity for a host.
    #[must_use]
    pub fn vouch_for(&self, host: &str) -> Identity {
        self.issue(&params(&[host]))
    }

    /// An identity for a host that was good until 2001.
    #[must_use]
    pub fn vouch_in_the_past_for(&self, host: &str) -> Identity {
        let mut params = params(&[host]);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.issue(&params)
    }

    /// An identity that has the host only for its common name, where nobody may look for it any more
    /// (RFC 9525 section 2).
    #[must_use]
    pub fn vouch_by_common_name_for(&self, host: &str) -> Identity {
        let mut params = params(&[]);
        params.distinguished_name = named(host);
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity {
            certificate: certificate.der().clone(),
            key: key.serialize_der().into(),
            is_old: false,
        }
    }
}

fn params(hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name = named("Somebody");
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// A certificate with its key: who a server says it is.
#[derive(Debug)]
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    is_old: bool,
}

impl Identity {
    /// The same, shown by a server that speaks TLS 1.2 and nothing newer.
    #[must_use]
    pub fn over_tls12(self) -> Self {
        Self { is_old: true, ..self }
    }

    /// The settings of a server that shows this.
    pub(super) fn into_config(self) -> Arc<ServerConfig> {
        let versions = if self.is_old { &[&TLS12][..] } else { &[&TLS13] };
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(versions)
            .expect("versions of the provider")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate], PrivateKeyDer::Pkcs8(self.key));
        Arc::new(config.expect("the certificate's own key"))
    }
}

/// The server's side of a connection to [`HOST`]. `config` is asked for when the client has said that
/// it wants one: whoever found the port by chance is nobody to identify to.
pub(super) fn accept(
    mut stream: TcpStream,
    config: impl FnOnce() -> Arc<ServerConfig>,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let mut acceptor = Acceptor::default();
    let hello = loop {
        if acceptor.read_tls(&mut stream)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(hello) = acceptor.accept().map_err(|(error, _)| io::Error::other(error))? {
            break hello;
        }
    };
    if hello.client_hello().server_name() != Some(HOST) {
        return Err(io::Error::other("a client of somebody else"));
    }
    let connection = hello.into_connection(config());
    let connection = connection.map_err(|(error, mut alert)| {
        // The refusal matters, not whether it arrives.
        let _ = alert.write_all(&mut stream);
        io::Error::other(error)
    })?;
    Ok(StreamOwned::new(connection, stream))
}
