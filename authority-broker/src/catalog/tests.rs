use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use authority_core::Reason;
use authority_core::custody::Account;
use authority_core::rpc::Rpc;
use authority_core::session::SessionMeta;
use companion_settings::Gateway as Configured;
use http::{Request, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Catalogs;
use super::repository::{FUTURE, Files, Key, PAST, Repository};
use crate::clock;
use crate::https::Https;
use crate::keychain::memory::MemoryStore;
use crate::session::Sessions;
use crate::testing::{Gateway, TestConnections, json as json_answer, not_found};

pub(super) fn model(id: &str) -> Value {
    json!({"kind": "model", "id": id, "urls": ["https://models.localhost:1/m.gguf"],
           "license": "MIT", "context_length": 1, "architecture": "a", "quantization": "q"})
}

/// An installation, its gateway, and what the gateway is made to do.
pub(super) struct Stand {
    gateway: Gateway,
    /// 401: for every token but the renewed one; above: for everything; 0: the files as they are.
    status: Arc<AtomicU16>,
    headers: Arc<Mutex<Vec<Option<String>>>>,
    pinned: Vec<u8>,
    state: TempDir,
    store: MemoryStore,
}

impl Stand {
    pub(super) fn new(repository: &Repository) -> Self {
        Self::giving(repository.files.clone(), repository.pinned())
    }

    pub(super) fn giving(files: Files, pinned: Vec<u8>) -> Self {
        let status = Arc::new(AtomicU16::new(0));
        let headers: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
        let (forced, seen) = (Arc::clone(&status), Arc::clone(&headers));
        let gateway = Gateway::start(move |request: Request<Vec<u8>>| {
            if request.uri().path() == "/token" {
                return json_answer(
                    200,
                    &json!({"token_type": "Bearer", "access_token": "a2",
                                                "expires_in": 3600}),
                );
            }
            let bearer = request.headers().get("authorization");
            let bearer = bearer.map(|value| value.to_str().unwrap().to_owned());
            seen.lock().unwrap().push(bearer.clone());
            let forced = forced.load(Ordering::SeqCst);
            if forced == 401 && bearer.as_deref() != Some("Bearer a2") || forced > 401 {
                return Response::builder().status(forced).body(Vec::new()).unwrap();
            }
            let name = request.uri().path().strip_prefix("/catalog/metadata/").unwrap();
            match files.lock().unwrap().get(name) {
                Some(bytes) => Response::new(bytes.clone()),
                None => not_found(),
            }
        });
        let (state, store) = (tempfile::tempdir().unwrap(), MemoryStore::default());
        Self { gateway, status, headers, pinned, state, store }
    }

    /// The catalog of a broker that has just started.
    pub(super) fn started(&self) -> Arc<Catalogs> {
        self.started_with(false, &["models.localhost:1".to_owned()])
    }

    fn started_with(&self, catalog_needs_session: bool, models: &[String]) -> Arc<Catalogs> {
        let configured = Configured {
            catalog_url: self.gateway.url("/catalog").into(),
            issuer: self.gateway.issuer(),
            catalog_needs_session,
            ..Configured::default()
        };
        let https = self.gateway.https();
        let sessions = Sessions::new(&configured.issuer, self.store.keychain(), https.clone());
        let (pinned, state) = (Some(self.pinned.clone()), self.state.path());
        Catalogs::new(&configured, pinned, models, state, https, sessions)
    }

    fn sign_in(&self) {
        let meta = SessionMeta {
            issuer: self.gateway.issuer(),
            client_id: "c".to_owned(),
            token_endpoint: self.gateway.url("/token").into(),
            revocation_endpoint: None,
            scopes: Vec::new(),
            expires_at: clock::now() + 3600,
        };
        self.store.put(Account::AccessToken, "a1");
        self.store.put(Account::RefreshToken, "r1");
        self.store.put(Account::SessionMeta, &serde_json::to_string(&meta).unwrap());
    }

    /// The gateway fails with 500 from now on.
    pub(super) fn fail(&self) {
        self.status.store(500, Ordering::SeqCst);
    }

    pub(super) fn datastore(&self) -> PathBuf {
        let mut dirs = std::fs::read_dir(self.state.path().join("tuf")).unwrap();
        dirs.next().unwrap().unwrap().path()
    }
}

pub(super) async fn ids(catalogs: &Catalogs) -> Result<Vec<String>, Reason> {
    let catalog = catalogs.for_rpc(Rpc::ListCatalog).await?;
    Ok(catalog.entries().map(|entry| entry.id.clone()).collect())
}

/// What may be started, of this catalog or of the last one that was verified.
pub(super) async fn startable(catalogs: &Catalogs) -> Result<Vec<String>, Reason> {
    let catalog = catalogs.for_rpc(Rpc::Start).await?;
    Ok(catalog.entries().map(|entry| entry.id.clone()).collect())
}

pub(super) fn only(id: &str) -> Result<Vec<String>, Reason> {
    Ok(vec![id.to_owned()])
}

fn spoil(dir: &Path, name: &str) {
    std::fs::write(dir.join(name), b"{\"signed\":").unwrap();
}

#[tokio::test]
async fn a_signed_catalog_is_listed_and_not_fetched_again_within_a_minute() {
    let repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m"), json!({"kind": "later"})]).await;
    let stand = Stand::new(&repository);
    let catalogs = stand.started();
    assert_eq!(ids(&catalogs).await, only("m"));
    let asked = stand.gateway.requests();
    assert_eq!(ids(&catalogs).await, only("m"));
    assert_eq!(stand.gateway.requests(), asked);
    assert!(stand.headers.lock().unwrap().iter().all(Option::is_none));
}

#[tokio::test]
async fn what_is_expired_or_signed_by_another_key_is_untrusted() {
    let repository = Repository::new().await;
    repository.publish(1, PAST, &[model("m")]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
    repository.publish_as(&Key::new(), 2, &[model("m")]).await;
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
    repository.publish(3, FUTURE, &[model("m")]).await;
    assert_eq!(ids(&stand.started()).await, only("m"));
}

#[tokio::test]
async fn one_flipped_byte_in_any_file_is_untrusted() {
    let repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    let stand = Stand::new(&repository);
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let whole = repository.files.lock().unwrap()[name].clone();
        let at = whole.windows(9).position(|window| window == b"\"version\"").unwrap() + 11;
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        repository.files.lock().unwrap().insert(name.to_owned(), flipped);
        assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted), "{name}");
        repository.files.lock().unwrap().insert(name.to_owned(), whole);
    }
    assert_eq!(ids(&stand.started()).await, only("m"));
}

/// The first hole of tough: it never reads its stored root back.
#[tokio::test]
async fn a_server_that_hides_a_rotation_is_not_believed_with_the_revoked_key() {
    let mut repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    let stand = Stand::new(&repository);
    let revoked = repository.rotate().await;
    repository.publish(2, FUTURE, &[model("m")]).await;
    assert_eq!(ids(&stand.started()).await, only("m"));

    repository.files.lock().unwrap().remove("2.root.json");
    repository.publish_as(&revoked, 3, &[model("evil")]).await;
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
    // Nor when the stored root or the record of its version is damaged: the other is there.
    for name in ["versions.json", "root.json"] {
        let sound = std::fs::read(stand.datastore().join(name)).unwrap();
        spoil(&stand.datastore(), name);
        assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted), "{name}");
        std::fs::write(stand.datastore().join(name), sound).unwrap();
    }
    std::fs::remove_file(stand.datastore().join("root.json")).unwrap();
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
}

/// A rotated root is trusted from the moment it is verified, whatever fails after it.
#[tokio::test]
async fn a_rotation_is_kept_even_when_the_rest_of_that_update_fails() {
    let mut repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, only("m"));
    let revoked = repository.rotate().await;
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
    repository.files.lock().unwrap().remove("2.root.json");
    repository.publish_as(&revoked, 3, &[model("evil")]).await;
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
}

#[tokio::test]
async fn a_root_that_cannot_be_fetched_is_not_taken_for_none() {
    let mut repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    repository.rotate().await;
    let stand = Stand::new(&repository);
    for status in [403, 500, 503] {
        stand.status.store(status, Ordering::SeqCst);
        assert_eq!(ids(&stand.started()).await, Err(Reason::CatalogUnreachable), "{status}");
        assert_eq!(stand.headers.lock().unwrap().drain(..).count(), 1, "went on after {status}");
    }
}

/// The second hole of tough: what it cannot read in its datastore it takes for absent.
#[tokio::test]
async fn an_older_catalog_is_refused_even_when_the_stored_metadata_is_damaged() {
    let repository = Repository::new().await;
    repository.publish(5, FUTURE, &[model("new")]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, only("new"));
    repository.publish(4, FUTURE, &[model("old")]).await;
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
    for name in ["timestamp.json", "snapshot.json", "targets.json", "latest_known_time.json"] {
        spoil(&stand.datastore(), name);
        assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted), "{name}");
    }
    repository.publish(6, FUTURE, &[model("newer")]).await;
    assert_eq!(ids(&stand.started()).await, only("newer"));
    let repaired = std::fs::read(stand.datastore().join("timestamp.json")).unwrap();
    assert!(serde_json::from_slice::<Value>(&repaired).is_ok(), "not rebuilt");
}

#[tokio::test]
async fn a_damaged_record_of_versions_leaves_the_stored_metadata_to_guard() {
    let repository = Repository::new().await;
    repository.publish(5, FUTURE, &[model("new")]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, only("new"));
    spoil(&stand.datastore(), "versions.json");
    repository.publish(4, FUTURE, &[model("old")]).await;
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
    repository.publish(5, FUTURE, &[model("new")]).await;
    assert_eq!(ids(&stand.started()).await, only("new"));
}

/// TUF 5.3.11: new keys for timestamp and snapshot start their versions anew.
#[tokio::test]
async fn a_repository_recovers_from_versions_set_too_high_by_rotating_its_keys() {
    let mut repository = Repository::new().await;
    repository.publish(1_000_000, FUTURE, &[model("m")]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, only("m"));
    repository.rotate().await;
    repository.publish(7, FUTURE, &[model("recovered")]).await;
    assert_eq!(ids(&stand.started()).await, only("recovered"));
}

#[tokio::test]
async fn another_pinned_root_is_another_catalog() {
    let first = Repository::new().await;
    first.publish(9, FUTURE, &[model("first")]).await;
    let mut stand = Stand::new(&first);
    assert_eq!(ids(&stand.started()).await, only("first"));
    let second = Repository::new().await;
    second.publish(1, FUTURE, &[model("second")]).await;
    stand.pinned = second.pinned();
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
    let files = second.files.lock().unwrap().clone();
    *first.files.lock().unwrap() = files;
    assert_eq!(ids(&stand.started()).await, only("second"));
}

#[tokio::test]
async fn without_the_gateway_the_last_catalog_is_listed_until_it_expires() {
    let repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, only("m"));
    stand.fail();
    let restarted = stand.started();
    assert_eq!(ids(&restarted).await, only("m"));
    assert_eq!(restarted.for_rpc(Rpc::Start).await.unwrap().entries().count(), 1);
    spoil(&stand.datastore(), "offline.json");
    assert_eq!(ids(&stand.started()).await, Err(Reason::CatalogUnreachable));
}

#[tokio::test]
async fn the_copy_on_disk_is_verified_like_everything_else() {
    let repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("old")]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, only("old"));
    let old_copy = std::fs::read(stand.datastore().join("offline.json")).unwrap();
    repository.publish(2, FUTURE, &[model("new")]).await;
    assert_eq!(ids(&stand.started()).await, only("new"));
    std::fs::write(stand.datastore().join("offline.json"), old_copy).unwrap();
    stand.fail();
    assert_eq!(ids(&stand.started()).await, Err(Reason::CatalogUnreachable));
}

#[tokio::test]
async fn endless_metadata_is_refused() {
    let repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    let endless = vec![b' '; 1024 * 1024 + 1];
    repository.files.lock().unwrap().insert("timestamp.json".to_owned(), endless);
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
}

#[tokio::test]
async fn bytes_on_the_catalog_s_own_host_are_untrusted() {
    let repository = Repository::new().await;
    let mut beside = model("m");
    beside["urls"] = json!(["https://gateway.localhost:9/m.gguf"]);
    repository.publish(1, FUTURE, &[beside]).await;
    let stand = Stand::new(&repository);
    assert_eq!(ids(&stand.started()).await, Err(Reason::ManifestUntrusted));
    repository.publish(2, FUTURE, &[model("m")]).await;
    let allowed_on_its_host = stand.started_with(false, &["GATEWAY.localhost.:9".to_owned()]);
    assert_eq!(ids(&allowed_on_its_host).await, Err(Reason::ManifestUntrusted));
}

#[tokio::test]
async fn a_catalog_that_needs_a_session_is_fetched_with_its_token_only() {
    let repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    let stand = Stand::new(&repository);
    let models = ["models.localhost:1".to_owned()];
    let catalogs = stand.started_with(true, &models);
    assert_eq!(ids(&catalogs).await, Err(Reason::NotSignedIn));
    assert_eq!(stand.gateway.requests(), 0);
    stand.sign_in();
    assert_eq!(ids(&catalogs).await, only("m"));
    let bearers = stand.headers.lock().unwrap().clone();
    assert!(bearers.iter().all(|bearer| bearer.as_deref() == Some("Bearer a1")), "{bearers:?}");
    for account in Account::OF_SESSION {
        stand.store.keychain().delete(account).await.unwrap();
    }
    assert_eq!(ids(&catalogs).await, Err(Reason::NotSignedIn));
    assert!(
        catalogs.for_rpc(Rpc::Start).await.is_ok(),
        "what was provisioned can still be started"
    );
    stand.store.refuse(Some(Reason::KeychainLocked));
    assert_eq!(ids(&catalogs).await, Err(Reason::KeychainLocked));
}

#[tokio::test]
async fn a_token_that_the_gateway_refuses_is_renewed_once() {
    let repository = Repository::new().await;
    repository.publish(1, FUTURE, &[model("m")]).await;
    let stand = Stand::new(&repository);
    stand.sign_in();
    stand.status.store(401, Ordering::SeqCst);
    let models = ["models.localhost:1".to_owned()];
    assert_eq!(ids(&stand.started_with(true, &models)).await, only("m"));
    assert_eq!(stand.store.text(Account::AccessToken).as_deref(), Some("a2"));
}

#[tokio::test]
async fn without_a_root_or_an_https_url_there_is_no_catalog() {
    let repository = Repository::new().await;
    let stand = Stand::new(&repository);
    let https = stand.gateway.https();
    for (url, pinned) in [
        ("", Some(stand.pinned.clone())),
        ("https://gateway.localhost/", None),
        ("http://gateway.localhost/", Some(stand.pinned.clone())),
        ("file://elsewhere.example/catalog/", Some(stand.pinned.clone())),
    ] {
        let configured = Configured {
            catalog_url: url.to_owned(),
            catalog_needs_session: false,
            ..Configured::default()
        };
        let sessions = Sessions::new("", stand.store.keychain(), https.clone());
        let state = stand.state.path();
        let catalogs = Catalogs::new(&configured, pinned, &[], state, https.clone(), sessions);
        assert_eq!(ids(&catalogs).await, Err(Reason::CatalogNotConfigured), "{url}");
    }
}

/// A catalog of this disk: no host, no session, and what is published is seen at once.
#[tokio::test]
async fn a_catalog_of_this_disk_is_verified_like_any_other_and_read_anew() {
    let beside = |id: &str| {
        json!({"kind": "model", "id": id, "license": "MIT", "context_length": 1,
               "architecture": "a", "quantization": "q"})
    };
    let repository = Repository::new().await;
    let (disk, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = || {
        for (name, bytes) in &*repository.files.lock().unwrap() {
            std::fs::write(disk.path().join(name), bytes).unwrap();
        }
    };
    let connections = TestConnections::with_catalog(disk.path().to_owned());
    let https = Https::new(connections, None);
    let sessions = Sessions::new("", MemoryStore::default().keychain(), https.clone());
    let configured = Configured {
        catalog_url: "file:///home/ana/catalog/".to_owned(),
        catalog_needs_session: false,
        ..Configured::default()
    };
    let (pinned, state) = (Some(repository.pinned()), state.path());
    let catalogs = Catalogs::new(&configured, pinned, &[], state, https, sessions);
    assert_eq!(ids(&catalogs).await, Err(Reason::CatalogUnreachable), "nothing is there");

    repository.publish(1, FUTURE, &[beside("m")]).await;
    write();
    assert_eq!(ids(&catalogs).await, only("m"));
    let entry = catalogs.for_rpc(Rpc::ListCatalog).await.unwrap().get("m").unwrap().clone();
    assert_eq!((entry.import, entry.urls.len()), (format!("{}.target-0", "00".repeat(32)), 0));
    repository.publish(2, FUTURE, &[beside("n")]).await;
    write();
    assert_eq!(ids(&catalogs).await, only("n"), "it was kept for a minute");
    repository.publish_as(&Key::new(), 3, &[beside("evil")]).await;
    write();
    assert_eq!(ids(&catalogs).await, Err(Reason::ManifestUntrusted));
}
