//! TLS to whoever has the file: the system's roots, and one more CA where that is named.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;

use crate::refusal::Refusal;

/// A client that verifies whom it talks to.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let extra = ca_file.map_or_else(|| Ok(Vec::new()), roots)?;
    let verifier =
        Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).with_context(|| {
            let next = "Install the system's: the package ca-certificates.";
            Refusal::new("no_tls_roots", "There are no certificate authorities to trust", next)
        })?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let unusable = || {
        let what = format!("{} holds no certificate", file.display());
        Refusal::new("file_unreadable", what, "Name a PEM file: --ca-file FILE.")
    };
    let pem = std::fs::read(file).with_context(unusable)?;
    let roots = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match roots.with_context(unusable)? {
        empty if empty.is_empty() => bail!(unusable()),
        roots => Ok(roots),
    }
}
