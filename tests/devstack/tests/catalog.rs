//! The catalog is a TUF repository that a client of the specification accepts, and its flaws are
//! ones that such a client refuses.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use devstack::catalog::{Artifact, ArtifactKind, Catalog, CatalogFlaws, SignedBy, measure};
use tempfile::TempDir;
use tough::{FilesystemTransport, Repository, RepositoryLoader, TargetName};
use url::Url;

struct Published {
    dir: TempDir,
    catalog: Catalog,
    artifacts: Vec<Artifact>,
}

impl Published {
    async fn with(flaws: &CatalogFlaws) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("file");
        std::fs::write(&file, b"the bytes of a model")?;
        let artifacts = vec![
            artifact(
                "a-model",
                &file,
                ArtifactKind::Model {
                    context_length: 8192,
                    architecture: "llama".to_owned(),
                    quantization: "Q4_1".to_owned(),
                },
            ),
            artifact(
                "a-runtime",
                &file,
                ArtifactKind::Runtime {
                    os: "linux".to_owned(),
                    arch: "x86_64".to_owned(),
                    version: "b1".to_owned(),
                },
            ),
        ];
        let mut catalog = Catalog::create(dir.path()).await?;
        catalog.publish(&artifacts, flaws).await?;
        Ok(Self { dir, catalog, artifacts })
    }

    async fn publish(&mut self, flaws: &CatalogFlaws) -> Result<()> {
        self.catalog.publish(&self.artifacts, flaws).await
    }

    async fn load(&self) -> Result<Repository, tough::error::Error> {
        self.load_trusting(&self.catalog.trust_root()).await
    }

    async fn load_trusting(&self, root: &Path) -> Result<Repository, tough::error::Error> {
        let store = self.dir.path().join("datastore");
        std::fs::create_dir_all(&store).expect("a datastore");
        let root = std::fs::read(root).expect("a root");
        let metadata = Url::from_directory_path(self.catalog.metadata_dir()).expect("a path");
        let targets = metadata.join("targets/").expect("a path");
        RepositoryLoader::new(&root, metadata, targets)
            .transport(FilesystemTransport)
            .datastore(store)
            .load()
            .await
    }
}

fn artifact(id: &str, file: &Path, kind: ArtifactKind) -> Artifact {
    Artifact {
        id: id.to_owned(),
        file: file.to_owned(),
        target: format!("{id}.bin"),
        urls: vec![format!("https://models.localhost:1/files/{id}.bin")],
        license: "MIT".to_owned(),
        kind,
    }
}

fn signed_by(signed_by: SignedBy) -> CatalogFlaws {
    CatalogFlaws { signed_by, ..CatalogFlaws::default() }
}

#[tokio::test]
async fn an_honest_catalog_verifies_and_lists_the_real_length_and_digest() -> Result<()> {
    let published = Published::with(&CatalogFlaws::default()).await?;
    let repository = published.load().await?;
    let targets = &repository.targets().signed.targets;
    assert_eq!(targets.len(), 2);
    let model = &targets[&TargetName::new("a-model.bin")?];
    let (length, sha256) = measure(&published.artifacts[0].file)?;
    assert_eq!((model.length, model.hashes.sha256.as_ref()), (length, &sha256[..]));
    for (name, value) in [("kind", "model"), ("id", "a-model"), ("architecture", "llama")] {
        assert_eq!(model.custom[name], value);
    }
    assert_eq!(model.custom["context_length"], 8192);
    assert_eq!(model.custom["urls"][0], published.artifacts[0].urls[0].as_str());
    let runtime = &targets[&TargetName::new("a-runtime.bin")?];
    for (name, value) in [("kind", "runtime"), ("os", "linux"), ("version", "b1")] {
        assert_eq!(runtime.custom[name], value);
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_key_an_expired_timestamp_and_a_rollback_are_refused() -> Result<()> {
    let foreign = Published::with(&signed_by(SignedBy::Foreign)).await?;
    assert!(foreign.load().await.is_err());
    let expired = CatalogFlaws { expired: true, ..CatalogFlaws::default() };
    let error = Published::with(&expired).await?.load().await.expect_err("expired");
    assert!(matches!(error, tough::error::Error::ExpiredMetadata { .. }), "{error}");

    let mut published = Published::with(&CatalogFlaws::default()).await?;
    published.publish(&CatalogFlaws::default()).await?;
    assert_eq!(published.catalog.version(), 2);
    published.load().await?;
    published.catalog.publish_as(1, &published.artifacts, &CatalogFlaws::default()).await?;
    assert!(published.load().await.is_err(), "a rollback");
    Ok(())
}

#[tokio::test]
async fn wrong_sizes_and_digests_are_signed_as_told() -> Result<()> {
    let flaws = CatalogFlaws {
        wrong_size: HashMap::from([("a-model".to_owned(), 1)]),
        wrong_digest: vec!["a-runtime".to_owned()],
        ..CatalogFlaws::default()
    };
    let published = Published::with(&flaws).await?;
    let repository = published.load().await?;
    let targets = &repository.targets().signed.targets;
    let (length, sha256) = measure(&published.artifacts[0].file)?;
    let model = &targets[&TargetName::new("a-model.bin")?];
    assert_eq!((model.length, model.hashes.sha256.as_ref()), (length + 1, &sha256[..]));
    let runtime = &targets[&TargetName::new("a-runtime.bin")?];
    assert_eq!(runtime.length, length);
    assert_ne!(runtime.hashes.sha256.as_ref(), &sha256[..]);
    Ok(())
}

#[tokio::test]
async fn rotated_keys_are_followed_from_the_pinned_root_and_the_old_ones_are_dead() -> Result<()> {
    let mut published = Published::with(&CatalogFlaws::default()).await?;
    published.catalog.rotate_keys().await?;
    published.publish(&CatalogFlaws::default()).await?;
    let repository = published.load().await?;
    assert_eq!(repository.root().signed.version.get(), 2);

    published.publish(&signed_by(SignedBy::Revoked)).await?;
    assert!(published.load().await.is_err(), "the client sees the root that revoked the key");
    // Whoever trusts the newest root refuses even when it is hidden.
    let newest = published.dir.path().join("newest.json");
    let served = published.catalog.metadata_dir().join("2.root.json");
    std::fs::rename(&served, &newest)?;
    assert!(published.load_trusting(&newest).await.is_err());
    Ok(())
}
