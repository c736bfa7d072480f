//! The handshake, with the roots and the verifier that the real connections have.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::{CertificateError, ClientConfig, Error};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::found::{Found, LIMIT};

/// The system's roots, and those of `ca_file` where one is configured.
pub(super) fn client_config(ca_file: &Path) -> Result<Arc<ClientConfig>, Found> {
    let extra = if ca_file.as_os_str().is_empty() { Vec::new() } else { roots(ca_file)? };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(|_| Found::NoRoots)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| Found::NoRoots)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn roots(ca_file: &Path) -> Result<Vec<CertificateDer<'static>>, Found> {
    let pem = std::fs::read(ca_file).map_err(|_| Found::NoCaFile)?;
    let roots = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    roots.ok().filter(|roots| !roots.is_empty()).ok_or(Found::NoCaFile)
}

/// Says hello, looks at the certificate, and goes; nothing is sent.
pub(super) async fn shake_hands(
    stream: TcpStream,
    host: &str,
    client: &Arc<ClientConfig>,
) -> Found {
    let Ok(name) = ServerName::try_from(host.to_owned()) else { return Found::NoName };
    match timeout(LIMIT, TlsConnector::from(Arc::clone(client)).connect(name, stream)).await {
        Ok(Ok(_stream)) => Found::Trusted,
        Ok(Err(error)) => fault(&error),
        Err(_elapsed) => Found::Mute,
    }
}

fn fault(error: &io::Error) -> Found {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(error)) => fault_of_certificate(error),
        Some(Error::InvalidMessage(_)) => Found::NotTls,
        Some(_) => Found::NoAgreement,
        None => Found::HungUp,
    }
}

fn fault_of_certificate(error: &CertificateError) -> Found {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Found::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Found::NotYetValid
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Found::WrongName
        }
        _ => Found::Untrusted,
    }
}
