//! One target of the repository, and what it must say.

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::HostName;
use crate::Reason;
use crate::limits::{MAX_ENTRY_URLS, MAX_FIELD_CHARS, MAX_URL_CHARS};

/// A target as the verified metadata has it: signed, but not yet judged.
#[derive(Debug, Clone)]
pub struct UntrustedTarget<'a> {
    /// Name of the target.
    pub name: &'a str,
    /// Bytes of the file.
    pub length: u64,
    /// SHA-256 of the file.
    pub sha256: &'a [u8],
    /// The object `custom`.
    pub custom: Value,
}

/// A model or a runtime that may be provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// Letters, digits, `.`, `_` and `-`, at most 128.
    pub id: String,
    /// Where the bytes lie; never on the catalog's host. Empty when they lie beside a catalog of
    /// this disk.
    pub urls: Vec<String>,
    /// The file beneath `targets/` of a catalog of this disk; empty when there are `urls`.
    pub import: String,
    /// 64 lowercase hexadecimal characters.
    pub sha256: String,
    /// Bytes; at least 1.
    pub size_bytes: u64,
    /// SPDX expression or name.
    pub license: String,
    /// What it is.
    pub details: Details,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Details {
    /// A model.
    Model {
        /// Tokens.
        context_length: u64,
        /// Family, as the runtime names it.
        architecture: String,
        /// Quantization of its weights.
        quantization: String,
    },
    /// A runtime.
    Runtime {
        /// As `std::env::consts::OS`.
        os: String,
        /// As `std::env::consts::ARCH`.
        arch: String,
        /// Version, compared piece by piece.
        version: String,
        /// The file is an archive (`tar.gz`) that holds the program; else it is the program.
        is_archive: bool,
    },
}

impl CatalogEntry {
    /// Whether it is a model.
    #[must_use]
    pub const fn is_model(&self) -> bool {
        matches!(self.details, Details::Model { .. })
    }

    /// Whether it is a runtime for such a machine.
    #[must_use]
    pub fn suits(&self, for_os: &str, for_arch: &str) -> bool {
        match &self.details {
            Details::Runtime { os, arch, .. } => os == for_os && arch == for_arch,
            Details::Model { .. } => false,
        }
    }

    /// The version of a runtime; empty for a model.
    #[must_use]
    pub fn version(&self) -> &str {
        match &self.details {
            Details::Runtime { version, .. } => version,
            Details::Model { .. } => "",
        }
    }
}

#[derive(Deserialize)]
struct Common {
    id: String,
    #[serde(default)]
    urls: Vec<String>,
    license: String,
}

#[derive(Deserialize)]
struct Model {
    context_length: u64,
    architecture: String,
    quantization: String,
}

#[derive(Deserialize)]
struct Runtime {
    os: String,
    arch: String,
    version: String,
    #[serde(default)]
    format: Option<String>,
}

/// The one format of an archive.
const TAR_GZ: &str = "tar.gz";

/// `None`: of a kind or in a format that this version does not know.
pub(super) fn judge(
    target: &UntrustedTarget<'_>,
    catalog: Option<&HostName>,
) -> Result<Option<CatalogEntry>, Reason> {
    let details = match target.custom.get("kind").and_then(Value::as_str) {
        Some("model") => model(typed(&target.custom)?)?,
        Some("runtime") => match runtime(typed(&target.custom)?)? {
            Some(runtime) => runtime,
            None => return Ok(None),
        },
        Some(_) | None => return Ok(None),
    };
    let common: Common = typed(&target.custom)?;
    if !is_id(&common.id) || target.length == 0 || target.sha256.len() != 32 {
        return Err(Reason::ManifestUntrusted);
    }
    if common.urls.len() > MAX_ENTRY_URLS {
        return Err(Reason::ManifestUntrusted);
    }
    for url in &common.urls {
        lies_elsewhere(url, catalog)?;
    }
    let sha256 = hex::encode(target.sha256);
    let import = match (common.urls.is_empty(), catalog) {
        (false, _) => String::new(),
        (true, None) => import_name(&sha256, target.name)?,
        (true, Some(_)) => return Err(Reason::ManifestUntrusted),
    };
    Ok(Some(CatalogEntry {
        id: common.id,
        urls: common.urls,
        import,
        sha256,
        size_bytes: target.length,
        license: field(common.license)?,
        details,
    }))
}

fn typed<T: for<'de> Deserialize<'de>>(custom: &Value) -> Result<T, Reason> {
    T::deserialize(custom).map_err(|_| Reason::ManifestUntrusted)
}

fn model(model: Model) -> Result<Details, Reason> {
    Ok(Details::Model {
        context_length: model.context_length,
        architecture: field(model.architecture)?,
        quantization: field(model.quantization)?,
    })
}

/// `None`: in a format of a later version.
fn runtime(runtime: Runtime) -> Result<Option<Details>, Reason> {
    let is_archive = match runtime.format.as_deref() {
        None => false,
        Some(TAR_GZ) => true,
        Some(_) => return Ok(None),
    };
    Ok(Some(Details::Runtime {
        os: field(runtime.os)?,
        arch: field(runtime.arch)?,
        version: field(runtime.version)?,
        is_archive,
    }))
}

/// Text that people are shown: printable ASCII, so that it cannot steer a terminal.
fn field(text: String) -> Result<String, Reason> {
    let printable = text.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    if (1..=MAX_FIELD_CHARS).contains(&text.len()) && printable {
        Ok(text)
    } else {
        Err(Reason::ManifestUntrusted)
    }
}

/// The name of a target's file where snapshots are consistent (TUF 1.0, section 6.2).
fn import_name(sha256: &str, target: &str) -> Result<String, Reason> {
    if is_id(target) { Ok(format!("{sha256}.{target}")) } else { Err(Reason::ManifestUntrusted) }
}

fn is_id(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=MAX_FIELD_CHARS).contains(&text.len())
        && text.bytes().all(inner)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// Whether `https` and the allowed sources hold is for the supervisor to judge, whose work the
/// bytes are; that they do not lie beside their own digests is for this side.
fn lies_elsewhere(url: &str, catalog: Option<&HostName>) -> Result<(), Reason> {
    let refused = Reason::ManifestUntrusted;
    if url.len() > MAX_URL_CHARS {
        return Err(refused);
    }
    let url = Url::parse(url).map_err(|_| refused)?;
    let host = HostName::of_url(&url).ok_or(refused)?;
    if catalog == Some(&host) { Err(refused) } else { Ok(()) }
}
