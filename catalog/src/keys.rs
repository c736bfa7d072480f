//! Ed25519 keys in files: PKCS #8, encrypted with a passphrase by scrypt and AES-256 (RFC 5958,
//! RFC 8018, RFC 7914), as `openssl pkey` reads them too.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::Ed25519KeyPair;
use pkcs8::der::pem::LineEnding;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use tough::async_trait;
use tough::key_source::KeySource;
use tough::sign::{Sign, parse_keypair};
use zeroize::Zeroizing;

use crate::refusal::Refusal;

const LABEL: &str = "ENCRYPTED PRIVATE KEY";

/// An unsealed key; overwritten when dropped.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key([redacted])")
    }
}

impl Key {
    /// A new one.
    pub(crate) fn generate() -> Result<Self> {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
        let document = document.map_err(|_| anyhow!("no randomness for a key"))?;
        Ok(Self(Zeroizing::new(document.as_ref().to_vec())))
    }

    /// Writes it sealed, to a file of mode 0600 that was not there.
    pub(crate) fn seal(&self, path: &Path, passphrase: &str) -> Result<()> {
        let malformed = |_| anyhow!("the key cannot be sealed");
        let info = PrivateKeyInfoRef::try_from(&**self.0).map_err(|_| anyhow!("malformed key"))?;
        let pem = info.encrypt(passphrase.as_bytes()).map_err(malformed)?;
        let pem = pem.to_pem(LABEL, LineEnding::LF).map_err(|_| anyhow!("malformed key"))?;
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        file.write_all(pem.as_bytes())?;
        Ok(file.sync_all()?)
    }

    /// Reads a sealed one.
    pub(crate) fn unseal(path: &Path, passphrase: &str) -> Result<Self> {
        let pem = fs::read_to_string(path).with_context(|| {
            let what = format!("The key {} cannot be read", path.display());
            Refusal::new("file_unreadable", what, "Check its owner and mode.")
        })?;
        let wrong = || {
            let what = format!("The passphrase is wrong, or {} is damaged", path.display());
            anyhow!(Refusal::new("passphrase_wrong", what, "Try again."))
        };
        let (label, sealed) = SecretDocument::from_pem(&pem).map_err(|_| wrong())?;
        if label != LABEL {
            return Err(wrong());
        }
        let sealed =
            EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes()).map_err(|_| wrong())?;
        let opened = sealed.decrypt(passphrase.as_bytes()).map_err(|_| wrong())?;
        let key = Self(Zeroizing::new(opened.as_bytes().to_vec()));
        key.sign().map_err(|_| wrong())?;
        Ok(key)
    }

    /// What signs with it.
    pub(crate) fn sign(&self) -> Result<impl Sign + use<>> {
        Ok(parse_keypair(&self.0)?)
    }

    /// The same, as the library's editor takes it.
    pub(crate) fn source(&self) -> Box<dyn KeySource> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl KeySource for Key {
    async fn as_sign(
        &self,
    ) -> Result<Box<dyn Sign>, Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(Box::new(parse_keypair(&self.0)?))
    }

    async fn write(
        &self,
        _value: &str,
        _key_id: &str,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Err("a key is written sealed or not at all".into())
    }
}
