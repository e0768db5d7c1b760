//! TLS for issuers with a public address.

mod provider;

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Performs the handshake with `host`, which must show a certificate that the system's authorities vouch for.
///
/// The authorities are read anew from the system's usual files, or from those that `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name as with OpenSSL: it happens once in minutes, takes some milliseconds, follows updates, and keeps hundreds of
/// kilobytes out of memory in between.
pub(super) async fn connect(host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let config = tokio::task::spawn_blocking(configuration).await??;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn configuration() -> io::Result<ClientConfig> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let cause = found.errors.first().map_or(String::new(), |error| format!(": {error}"));
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("no certificate authorities on this system{cause}"),
        ));
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(provider::provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
