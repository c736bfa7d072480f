//! TLS to the model hosts: the system's roots and the configured CA, read before confinement.

use std::path::Path;
use std::sync::Arc;

use companion_settings::Models;
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use crate::error::Fatal;

/// Installs the process's one cryptographic provider and builds the client configuration.
///
/// # Errors
/// [`Fatal::TlsRoots`] when the CA file cannot be read or there is no root at all.
pub(crate) fn client_config(models: &Models) -> Result<ClientConfig, Fatal> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    if CryptoProvider::get_default().is_none() {
        let _ = CryptoProvider::clone(&provider).install_default();
    }
    let extra = extra_roots(&models.ca_file)?;
    let roots = |error| Fatal::TlsRoots(Some(error));
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).map_err(roots)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(roots)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn extra_roots(ca_file: &Path) -> Result<Vec<CertificateDer<'static>>, Fatal> {
    if ca_file.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let pem = std::fs::read(ca_file).map_err(|_| Fatal::TlsRoots(None))?;
    let roots: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|_| Fatal::TlsRoots(None))?;
    if roots.is_empty() { Err(Fatal::TlsRoots(None)) } else { Ok(roots) }
}
