//! A certificate authority made on the spot, its leaves, and clients that trust it.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// Days a certificate is good for, counted from yesterday.
const VALID_DAYS: i64 = 8;

/// A development certificate authority; its key lives in memory only.
#[derive(Debug)]
pub struct DevelopmentCa {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate of the authority, and its key.
struct Leaf {
    certificate: Certificate,
    key: KeyPair,
}

impl DevelopmentCa {
    /// Makes a new authority.
    ///
    /// # Errors
    /// When the key or the certificate cannot be made.
    pub fn generate() -> Result<Self> {
        install_crypto_provider();
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "companion development CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The certificate of the authority as PEM: the content of a `ca_file`.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Makes a leaf for these names (DNS names or IP literals) and the TLS configuration that
    /// serves it with ALPN `http/1.1`.
    ///
    /// # Errors
    /// When a name is neither a DNS name nor an address.
    pub fn server_config(&self, names: &[&str]) -> Result<Arc<ServerConfig>> {
        let Leaf { certificate, key } = self.leaf(names)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone(), self.der.clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Makes a leaf for these names, for a server that is another program: its certificate, the
    /// authority's and the private key as one PEM text.
    ///
    /// # Errors
    /// When a name is neither a DNS name nor an address.
    pub fn leaf_pem(&self, names: &[&str]) -> Result<String> {
        let Leaf { certificate, key } = self.leaf(names)?;
        Ok([certificate.pem(), self.pem.clone(), key.serialize_pem()].concat())
    }

    fn leaf(&self, names: &[&str]) -> Result<Leaf> {
        let mut params = CertificateParams::new(
            names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(),
        )?;
        params
            .distinguished_name
            .push(DnType::CommonName, names.first().copied().unwrap_or("development"));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params);
        let key = KeyPair::generate()?;
        Ok(Leaf { certificate: params.signed_by(&key, &self.issuer)?, key })
    }
}

/// A TLS client that trusts the certificates of this PEM text and no other.
///
/// # Errors
/// When the text holds no certificate.
pub fn client_config(ca_pem: &str) -> Result<Arc<ClientConfig>> {
    install_crypto_provider();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
        roots.add(certificate.context("ca file")?)?;
    }
    anyhow::ensure!(!roots.is_empty(), "the ca file holds no certificate");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// [`client_config`] with the PEM text read from a file.
///
/// # Errors
/// When the file cannot be read or holds no certificate.
pub fn client_config_from(ca_file: &Path) -> Result<Arc<ClientConfig>> {
    let pem = std::fs::read_to_string(ca_file)
        .with_context(|| format!("reading {}", ca_file.display()))?;
    client_config(&pem)
}

/// The one provider of this workspace; a second call changes nothing.
fn install_crypto_provider() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn set_validity(params: &mut CertificateParams) {
    let yesterday = OffsetDateTime::now_utc() - Duration::DAY;
    params.not_before = yesterday;
    params.not_after = yesterday + Duration::days(VALID_DAYS);
}
