//! A world whose people sign in at an authorization server that others wrote. The development
//! gateway serves the catalog as a resource server: it asks that server about each token.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use devstack::assets::Assets;
use devstack::authorization_server::{
    AuthorizationServer, KNOWN_CLIENT_ID, SCOPES, ServerOptions, Software,
};
use devstack::stack::Stack;
use serde_json::Value;

use crate::{Mischief, World};

/// What the companion asks the server for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Access to the resource, as a client that registers itself.
    Access,
    /// The same, as the client that the server knows already.
    AccessAsKnownClient,
    /// An ID token too.
    AccessAndIdToken,
}

/// A world, and the server its people sign in at.
#[derive(Debug)]
pub struct Abroad {
    /// The world.
    pub world: World,
    server: AuthorizationServer,
}

impl Abroad {
    /// Everything up, nobody signed in.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(software: Software, options: ServerOptions, asked: Asked) -> Result<Self> {
        let mut server = None;
        let settle = async |stack: &Stack, dir: &Path| {
            let started = AuthorizationServer::start(software, stack, dir, options).await?;
            stack.gateway.accept_tokens_of(started.introspection().clone());
            let config = dir.join("abroad.toml");
            let mut changes = vec![
                ("gateway", "issuer", started.issuer().into()),
                ("gateway", "scopes", SCOPES.to_vec().into()),
            ];
            match asked {
                Asked::Access => {}
                Asked::AccessAsKnownClient => {
                    changes.push(("gateway", "client_id", KNOWN_CLIENT_ID.into()));
                }
                Asked::AccessAndIdToken => {
                    let scopes = [["openid"].as_slice(), &SCOPES].concat();
                    changes.push(("gateway", "scopes", scopes.into()));
                }
            }
            stack.write_config(&config, &changes)?;
            server = Some(started);
            Ok(Some(config))
        };
        let world = World::build_with(Assets::find()?, Mischief::None, &[], settle).await?;
        Ok(Self { world, server: server.context("no server")? })
    }

    /// [`Abroad::start`] and a sign-in.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn signed_in(software: Software, options: ServerOptions) -> Result<Self> {
        let abroad = Self::start(software, options, Asked::Access).await?;
        abroad.world.sign_in().await?;
        Ok(abroad)
    }

    /// The refresh token as the keychain holds it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn refresh_token(&self) -> Result<String> {
        self.world.secret("companion.refreshToken").await
    }

    /// The access token as the keychain holds it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn access_token(&self) -> Result<String> {
        self.world.secret("companion.accessToken").await
    }

    /// What the server says of a token: at least `active`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn introspect(&self, token: &str) -> Result<Value> {
        self.server.introspection().ask(token).await
    }

    /// Uses a refresh token as a thief would; the server's status and `error`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn refresh_elsewhere(&self, client_id: &str, token: &str) -> Result<(u16, Value)> {
        let page = self.server.refresh(client_id, token).await?;
        let answer: Value = serde_json::from_slice(&page.body).context("not JSON")?;
        ensure!(page.status.is_success() == answer["error"].is_null(), "{answer}");
        Ok((page.status.as_u16(), answer["error"].clone()))
    }
}
