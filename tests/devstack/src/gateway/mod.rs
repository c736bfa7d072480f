//! The development gateway: an OAuth 2.1 authorization server and the catalog, on one host.
//!
//! It speaks RFC 8414 (metadata, at both places clients look), RFC 7591 (registration), RFC 6749
//! and 7636 (code flow with PKCE S256 only), RFC 9207 (`iss`), RFC 7009 (revocation), rotates
//! refresh tokens and revokes a whole family when a spent one comes back (RFC 9700 section
//! 4.14). It **approves whoever asks** as the one development user: never for production.

mod answers;
mod authorize;
mod counts;
mod fields;
mod introspection;
mod jwt;
mod ledger;
mod metadata;
mod registration;
mod switches;
mod token;
mod tuf;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::routing::{any, get, post};
use tokio::sync::watch;

use crate::certs::DevelopmentCa;
use crate::listen::{self, Server};
use crate::{GATEWAY_NAME, random};

pub use counts::GatewayCounts;
pub use introspection::Introspection;
pub use switches::{
    AuthorizeFault, GatewaySwitches, IssParameter, MetadataFault, StateParameter, TokenFault,
};

use jwt::SessionKey;
use ledger::Ledger;

/// Path of the issuer on its host.
pub const ISSUER_PATH: &str = "/api/v1/auth/native";

/// Path of the catalog on the gateway's host.
pub const CATALOG_PATH: &str = "/companion/catalog/";

/// A gateway that is bound but does not serve yet, so that its names are known to the catalog.
#[derive(Debug)]
pub struct BoundGateway {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// A running development gateway. Dropping it closes every connection.
#[derive(Debug)]
pub struct Gateway {
    shared: Arc<Shared>,
    server: Server,
}

/// What the handlers share.
#[derive(Debug)]
struct Shared {
    issuer: String,
    catalog_dir: PathBuf,
    session_key: SessionKey,
    switches: Mutex<GatewaySwitches>,
    ledger: Mutex<Ledger>,
    /// Where tokens of another server are asked about; `None`: the gateway's own count.
    introspection: Mutex<Option<Introspection>>,
    counts: watch::Sender<GatewayCounts>,
}

impl BoundGateway {
    /// Binds a port of the kernel's choice on 127.0.0.1.
    ///
    /// # Errors
    /// When the kernel has no port to give.
    pub fn bind() -> Result<Self> {
        let (listener, address) = listen::bind_loopback()?;
        Ok(Self { listener, address })
    }

    /// `https://gateway.localhost:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{GATEWAY_NAME}:{}", self.address.port())
    }

    /// The issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> String {
        format!("{}{ISSUER_PATH}", self.origin())
    }

    /// Serves the authorization server, and the catalog whose metadata files lie in
    /// `catalog_dir`. Call inside a tokio runtime.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub fn serve(
        self,
        ca: &DevelopmentCa,
        catalog_dir: PathBuf,
        switches: GatewaySwitches,
    ) -> Result<Gateway> {
        let shared = Arc::new(Shared {
            issuer: self.issuer(),
            catalog_dir,
            session_key: SessionKey::generate(),
            switches: Mutex::new(switches),
            ledger: Mutex::default(),
            introspection: Mutex::default(),
            counts: watch::Sender::new(GatewayCounts::default()),
        });
        let tls = ca.server_config(&[GATEWAY_NAME, "127.0.0.1"])?;
        let server = listen::serve_tls(self.listener, tls, routes(Arc::clone(&shared)))?;
        Ok(Gateway { shared, server })
    }
}

impl Gateway {
    /// The issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// `https://gateway.localhost:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("https://{GATEWAY_NAME}:{}", self.server.address().port())
    }

    /// Base URL of the catalog; its metadata lies under `metadata/`.
    #[must_use]
    pub fn catalog_url(&self) -> String {
        format!("{}{CATALOG_PATH}", self.origin())
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Changes how it behaves, from the next request on.
    pub fn switch(&self, change: impl FnOnce(&mut GatewaySwitches)) {
        change(&mut lock(&self.shared.switches));
    }

    /// Goes off the network for good; resolves when nobody listens there any more.
    pub async fn vanish(&self) {
        self.server.end().await;
    }

    /// Lets the catalog be read by bearers of another server's access tokens, and of its own no
    /// longer: the gateway is a resource server then.
    pub fn accept_tokens_of(&self, server: Introspection) {
        *lock(&self.shared.introspection) = Some(server);
    }

    /// What it has seen until now.
    #[must_use]
    pub fn counts(&self) -> GatewayCounts {
        self.shared.counts.borrow().clone()
    }

    /// Waits until what it has seen satisfies a condition; put a time limit around it.
    ///
    /// # Errors
    /// Never while the gateway lives.
    pub async fn until(&self, condition: impl FnMut(&GatewayCounts) -> bool) -> Result<()> {
        let mut counts = self.shared.counts.subscribe();
        counts.wait_for(condition).await.context("the gateway has ended")?;
        Ok(())
    }

    /// Spends a refresh token the way a thief would: the holder's next use of it is a reuse.
    ///
    /// # Errors
    /// When the token is not a live one.
    pub fn spend_refresh_token(&self, refresh_token: &str) -> Result<()> {
        let mut ledger = lock(&self.shared.ledger);
        let spent = ledger.refresh(refresh_token, None).map_err(|error| error.as_str());
        anyhow::ensure!(spent.is_ok(), "not a live refresh token");
        Ok(())
    }

    /// Revokes every session, as an operator would: the next refresh is `invalid_grant`.
    pub fn revoke_everything(&self) {
        lock(&self.shared.ledger).revoke_everything();
    }

    /// Every secret that has passed through: tokens, codes, verifiers and `state` values, for
    /// tests that look for them where they must not be.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        lock(&self.shared.ledger).secrets().to_vec()
    }
}

impl Shared {
    fn switches(&self) -> GatewaySwitches {
        lock(&self.switches).clone()
    }

    fn count(&self, change: impl FnOnce(&mut GatewayCounts)) {
        self.counts.send_modify(|counts| {
            counts.requests += 1;
            change(counts);
        });
    }
}

/// A lock whose poison is ignored: the values behind it are whole after each statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn routes(shared: Arc<Shared>) -> Router {
    let at = |path: &str| format!("{ISSUER_PATH}{path}");
    Router::new()
        .route(
            &format!("/.well-known/oauth-authorization-server{ISSUER_PATH}"),
            get(metadata::at_rfc8414_location),
        )
        .route(&at("/.well-known/oauth-authorization-server"), get(metadata::below_the_issuer))
        .route(&at("/register"), post(registration::register))
        .route(&at("/authorize"), get(authorize::authorize))
        .route(&at("/token"), post(token::token))
        .route(&at("/revoke"), post(token::revoke))
        .route(&at("/elsewhere"), any(token::elsewhere))
        .route(&format!("{CATALOG_PATH}metadata/{{file}}"), get(tuf::metadata_file))
        .fallback(answers::not_found)
        .with_state(shared)
}

/// A new name for a client, a code or a token.
fn fresh() -> String {
    random::token()
}
