//! Gateway, model host and catalog together, and the configuration a companion needs for them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::ClientConfig;
use tokio::sync::Mutex;

use crate::catalog::{Artifact, ArtifactKind, Catalog, CatalogFlaws};
use crate::certs::{self, DevelopmentCa};
use crate::gateway::{BoundGateway, Gateway, GatewaySwitches};
use crate::model_host::{BoundModelHost, ModelHost};
use crate::{GATEWAY_NAME, MODEL_ID, RUNTIME_ID};

/// Version of the development runtime, as llama.cpp counts its builds.
const RUNTIME_VERSION: &str = "b11434";

/// Tokens of context that the development model was trained for.
const MODEL_CONTEXT_LENGTH: u32 = 8192;

/// What to bring up.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Existing directory for the catalog, the certificate and the configuration.
    pub dir: PathBuf,
    /// The `llama-server` program; `None`: not in the catalog.
    pub llama_server: Option<PathBuf>,
    /// The model file; `None`: not in the catalog.
    pub model: Option<PathBuf>,
    /// More artifacts; an empty `urls` means "at the model host".
    pub more: Vec<Artifact>,
    /// What is wrong with the first published catalog.
    pub flaws: CatalogFlaws,
    /// Whether the catalog names the gateway's own host as the place of the bytes.
    pub files_on_gateway_host: bool,
    /// How the gateway behaves at first.
    pub gateway: GatewaySwitches,
    /// Keys of the configuration to set beside those of the stack: section, key, value.
    pub config: Vec<(String, String, toml::Value)>,
}

impl StackOptions {
    /// An honest stack in `dir` with nothing in its catalog.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            llama_server: None,
            model: None,
            more: Vec::new(),
            flaws: CatalogFlaws::default(),
            files_on_gateway_host: false,
            gateway: GatewaySwitches::default(),
            config: Vec::new(),
        }
    }

    /// Sets one key of the configuration file.
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: impl Into<toml::Value>) -> Self {
        self.config.push((section.to_owned(), key.to_owned(), value.into()));
        self
    }
}

/// A running stack. Dropping it ends both servers; the directory stays.
#[derive(Debug)]
pub struct Stack {
    /// The gateway.
    pub gateway: Gateway,
    /// The model host.
    pub model_host: ModelHost,
    /// What the catalog lists.
    pub artifacts: Vec<Artifact>,
    ca: DevelopmentCa,
    catalog: Mutex<Catalog>,
    trust_root: PathBuf,
    ca_file: PathBuf,
    config: PathBuf,
    extra_config: Vec<(String, String, toml::Value)>,
}

impl Stack {
    /// Brings everything up. Returns when it serves. Call inside a tokio runtime.
    ///
    /// # Errors
    /// When a file cannot be read, a port cannot be had, or the directory cannot be written.
    pub async fn start(options: StackOptions) -> Result<Self> {
        let ca = DevelopmentCa::generate()?;
        let ca_file = options.dir.join("ca.pem");
        write_private(&ca_file, ca.pem())?;

        let (gateway, model_host) = (BoundGateway::bind()?, BoundModelHost::bind()?);
        let artifacts = listed(&options, &model_host, &gateway);
        let mut catalog = Catalog::create(&options.dir.join("catalog")).await?;
        catalog.publish(&artifacts, &options.flaws).await?;

        let files: BTreeMap<_, _> =
            artifacts.iter().map(|a| (a.target.clone(), a.file.clone())).collect();
        let gateway = gateway.serve(&ca, catalog.metadata_dir(), options.gateway)?;
        let stack = Self {
            gateway,
            model_host: model_host.serve(&ca, files)?,
            artifacts,
            ca,
            trust_root: catalog.trust_root(),
            catalog: Mutex::new(catalog),
            ca_file,
            config: options.dir.join("config.toml"),
            extra_config: options.config,
        };
        stack.write_config(&stack.config, &[])?;
        Ok(stack)
    }

    /// A ready configuration file of the companion.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The pinned first root of the catalog.
    #[must_use]
    pub fn trust_root(&self) -> &Path {
        &self.trust_root
    }

    /// The certificate of the development authority.
    #[must_use]
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// A certificate for one more server on the gateway's host, as PEM with its key.
    ///
    /// # Errors
    /// Never with the authority of this stack.
    pub fn leaf_pem(&self) -> Result<String> {
        self.ca.leaf_pem(&[GATEWAY_NAME])
    }

    /// A TLS client that trusts both hosts.
    ///
    /// # Errors
    /// Never with the authority of this stack.
    pub fn client_config(&self) -> Result<Arc<ClientConfig>> {
        certs::client_config(self.ca.pem())
    }

    /// The artifact of this id.
    ///
    /// # Errors
    /// When the catalog does not list it.
    pub fn artifact(&self, id: &str) -> Result<&Artifact> {
        self.artifacts.iter().find(|a| a.id == id).with_context(|| format!("no artifact {id}"))
    }

    /// Publishes the next version of the catalog with these flaws.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub async fn publish(&self, flaws: &CatalogFlaws) -> Result<()> {
        self.catalog.lock().await.publish(&self.artifacts, flaws).await
    }

    /// [`Stack::publish`] at a version of one's own choice: a lower one is a rollback.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub async fn publish_as(&self, version: u64, flaws: &CatalogFlaws) -> Result<()> {
        self.catalog.lock().await.publish_as(version, &self.artifacts, flaws).await
    }

    /// Replaces the keys of the catalog; the pinned root stays what it was.
    ///
    /// # Errors
    /// When the root cannot be written.
    pub async fn rotate_catalog_keys(&self) -> Result<()> {
        self.catalog.lock().await.rotate_keys().await
    }

    /// Writes a configuration for this stack: its own keys, those of the options, then `changes`
    /// (section, key, value), later ones over earlier ones. An empty section is the top level.
    ///
    /// # Errors
    /// When the file cannot be written or a section is no table.
    pub fn write_config(&self, path: &Path, changes: &[(&str, &str, toml::Value)]) -> Result<()> {
        let mut file = self.own_config()?;
        let options = self.extra_config.iter().map(|(s, k, v)| (s.as_str(), k.as_str(), v));
        for (section, key, value) in options.chain(changes.iter().map(|(s, k, v)| (*s, *k, v))) {
            let table = if section.is_empty() {
                &mut file
            } else {
                let empty = || toml::Value::Table(toml::Table::new());
                let entry = file.entry(section).or_insert_with(empty);
                entry.as_table_mut().with_context(|| format!("{section} is no section"))?
            };
            table.insert(key.to_owned(), value.clone());
        }
        write_private(path, &toml::to_string(&file)?)
    }

    fn own_config(&self) -> Result<toml::Table> {
        let path = |path: &Path| path.to_str().map(toml::Value::from).context("no UTF-8 path");
        let gateway = [
            ("issuer", self.gateway.issuer().into()),
            ("catalog_url", self.gateway.catalog_url().into()),
            ("trust_root", path(&self.trust_root)?),
            ("ca_file", path(&self.ca_file)?),
            ("private_hosts", true.into()),
        ];
        let models = [
            ("hosts", vec![self.model_host.authority()].into()),
            ("ca_file", path(&self.ca_file)?),
            ("private_hosts", true.into()),
        ];
        let sections = [("gateway", table(gateway)), ("models", table(models))];
        Ok(sections.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect())
    }
}

fn table<const N: usize>(entries: [(&str, toml::Value); N]) -> toml::Table {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn listed(
    options: &StackOptions,
    model_host: &BoundModelHost,
    gateway: &BoundGateway,
) -> Vec<Artifact> {
    let runtime = options.llama_server.iter().map(|file| Artifact {
        id: RUNTIME_ID.to_owned(),
        file: file.clone(),
        target: format!("llama-server-{RUNTIME_VERSION}"),
        urls: Vec::new(),
        license: "MIT".to_owned(),
        kind: ArtifactKind::Runtime {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            version: RUNTIME_VERSION.to_owned(),
        },
    });
    let model = options.model.iter().map(|file| Artifact {
        id: MODEL_ID.to_owned(),
        file: file.clone(),
        target: crate::assets::MODEL_FILE.to_owned(),
        urls: Vec::new(),
        license: "Apache-2.0".to_owned(),
        kind: ArtifactKind::Model {
            context_length: MODEL_CONTEXT_LENGTH,
            architecture: "llama".to_owned(),
            quantization: "Q4_1".to_owned(),
        },
    });
    let mut artifacts: Vec<_> = runtime.chain(model).chain(options.more.clone()).collect();
    for artifact in artifacts.iter_mut().filter(|artifact| artifact.urls.is_empty()) {
        artifact.urls = vec![if options.files_on_gateway_host {
            format!("{}/files/{}", gateway.origin(), artifact.target)
        } else {
            model_host.url(&artifact.target)
        }];
    }
    artifacts
}

/// A file that its owner alone reads and writes: the companion refuses any other configuration.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let mut file =
        fs::File::options().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}
