//! Authorization servers that others wrote, each a program of its own, to sign in at in place of
//! the development gateway: what works there works with more than our reading of the RFCs.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use http::Method;
use http::header::CONTENT_TYPE;
use rustls::ClientConfig;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use url::{Url, form_urlencoded};

use crate::browser::{self, Page};
use crate::gateway::Introspection;
use crate::stack::{Stack, write_private};
use crate::{GATEWAY_NAME, ending, random};

/// Client id that the server knows without registration.
pub const KNOWN_CLIENT_ID: &str = "companion";

/// Scopes of the resource that the server protects.
pub const SCOPES: [&str; 2] = ["vault:read", "vault:write"];

/// Who asks the server about tokens.
const RESOURCE_SERVER: &str = "development-gateway";

/// Longest a server may take to be there.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Whose server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Software {
    /// npm `oidc-provider`, a certified OpenID provider.
    OidcProvider,
    /// PyPI `Authlib`, under Flask.
    Authlib,
}

/// Where the server's metadata lies, and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataPlace {
    /// The well-known part before the issuer's path (RFC 8414 section 3.1).
    Inserted,
    /// The well-known part after the issuer's path, as OpenID Connect has it.
    Appended,
}

/// How a server is set up.
#[derive(Debug, Clone, Copy)]
pub struct ServerOptions {
    /// Path of the issuer, without a slash at its end.
    pub path: &'static str,
    /// Where its metadata lies.
    pub metadata: MetadataPlace,
    /// Seconds an access token lives.
    pub access_token_s: u64,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let metadata = MetadataPlace::Inserted;
        Self { path: "/oauth/tenant", metadata, access_token_s: 3600 }
    }
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct AuthorizationServer {
    program: Child,
    /// The program ends with its input.
    _input: ChildStdin,
    places: Places,
    introspection: Introspection,
    tls: Arc<ClientConfig>,
}

/// What a server says once it serves.
#[derive(Debug, Deserialize)]
struct Places {
    issuer: String,
    token_endpoint: Url,
    introspection_endpoint: Url,
}

impl AuthorizationServer {
    /// Starts a server on the gateway's host name, at a port of its own, with a certificate of
    /// the stack's authority. `dir` takes its files.
    ///
    /// # Errors
    /// When the environment does not name its software, or it does not come up in time.
    pub async fn start(
        software: Software,
        stack: &Stack,
        dir: &Path,
        options: ServerOptions,
    ) -> Result<Self> {
        let pem = dir.join("authorization-server.pem");
        write_private(&pem, &stack.leaf_pem()?)?;
        let client_secret = random::token();
        let mut told = json!({
            "pem": pem,
            "host": GATEWAY_NAME,
            "path": options.path,
            "inserted": options.metadata == MetadataPlace::Inserted,
            "access_token_s": options.access_token_s,
            "resource_server": { "client_id": RESOURCE_SERVER, "client_secret": client_secret },
            "known_client_id": KNOWN_CLIENT_ID,
            "scopes": SCOPES,
        });
        let mut command = match software {
            Software::OidcProvider => {
                told["modules"] = required("COMPANION_TEST_NODE_MODULES")?.to_str().into();
                interpreted(&required("COMPANION_TEST_NODE")?, "oidc-provider.mjs")
            }
            Software::Authlib => {
                interpreted(&required("COMPANION_TEST_PYTHON")?, "authlib_server.py")
            }
        };
        let log = std::fs::File::create(dir.join("authorization-server.log"))?;
        let mut program = command.stderr(log).spawn().context("the authorization server")?;
        let mut input = program.stdin.take().context("no standard input")?;
        input.write_all(format!("{told}\n").as_bytes()).await?;
        let places = said(&mut program).await.with_context(|| {
            format!("{software:?} does not serve: see its log in {}", dir.display())
        })?;
        let tls = stack.client_config()?;
        let endpoint = places.introspection_endpoint.clone();
        let introspection =
            Introspection::new(endpoint, RESOURCE_SERVER, &client_secret, Arc::clone(&tls));
        Ok(Self { program, _input: input, places, introspection, tls })
    }

    /// Its issuer identifier.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.places.issuer
    }

    /// What it says of its tokens.
    #[must_use]
    pub fn introspection(&self) -> &Introspection {
        &self.introspection
    }

    /// Uses a refresh token as whoever holds it can: a public client has no other proof. The
    /// answer is the server's.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn refresh(&self, client_id: &str, refresh_token: &str) -> Result<Page> {
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("refresh_token", refresh_token),
        ];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = [(CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded")];
        let endpoint = &self.places.token_endpoint;
        browser::request(Method::POST, endpoint, &self.tls, &headers, Bytes::from(body)).await
    }
}

impl Drop for AuthorizationServer {
    fn drop(&mut self) {
        ending::end(&mut self.program);
    }
}

/// A server's program on one of the scripts in `tests/interop`.
fn interpreted(interpreter: &OsString, script: &str) -> Command {
    let scripts = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../interop");
    let mut command = Command::new(interpreter);
    command
        .arg(scripts.join(script))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn said(program: &mut Child) -> Result<Places> {
    let stdout = program.stdout.take().context("no standard output")?;
    let (mut stdout, mut line) = (BufReader::new(stdout), String::new());
    let read = stdout.read_line(&mut line);
    match tokio::time::timeout(START_LIMIT, read).await {
        Ok(Ok(length)) if length > 0 => Ok(serde_json::from_str(&line)?),
        Ok(_) => bail!("it ended"),
        Err(_) => bail!("not in time"),
    }
}

fn required(variable: &str) -> Result<OsString> {
    env::var_os(variable).with_context(|| format!("{variable} is not set: run `cargo xtask test`"))
}
