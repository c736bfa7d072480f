//! TLS as a client: the platform's roots, one more CA if configured, nothing weaker.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use crate::failure::Failure;
use crate::limits::FIRST_FILE_BYTES;
use crate::serve::read_bounded;

/// The client configuration with the platform's roots and those of `ca_file`, read now, before
/// the process is confined. `None` when there is no root at all: then no gateway can be reached.
///
/// # Errors
/// When `ca_file` is configured and holds no certificate.
pub(crate) fn client_config(ca_file: &Path) -> Result<Option<Arc<ClientConfig>>, Failure> {
    let extra = if ca_file.as_os_str().is_empty() {
        Vec::new()
    } else {
        let pem = read_bounded(ca_file, FIRST_FILE_BYTES).ok_or(Failure::CaFile)?;
        certificates(&pem).ok_or(Failure::CaFile)?
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = config(provider, extra);
    if config.is_none() {
        tracing::error!("there are no certificate authorities: the gateway cannot be reached");
    }
    Ok(config)
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    (!certificates.is_empty()).then_some(certificates)
}

fn config(
    provider: Arc<CryptoProvider>,
    extra: Vec<CertificateDer<'static>>,
) -> Option<Arc<ClientConfig>> {
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).ok()?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::client_config;
    use crate::failure::Failure;

    #[test]
    fn a_configured_ca_file_that_is_absent_or_empty_ends_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "no certificate").unwrap();
        for path in [Path::new("/nonexistent/ca.pem"), &empty] {
            assert!(matches!(client_config(path), Err(Failure::CaFile)));
        }
    }
}
