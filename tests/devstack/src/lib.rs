//! A **development server**, and the harness of the whole-system tests. Not for production: it
//! signs in whoever asks, and misbehaves when told to.
//!
//! It brings up, on loopback and with certificates made on the spot, a first-party *gateway*
//! ([`gateway`]: an OAuth 2.1 authorization server and the TUF repository of [`catalog`]), a
//! *model host* on another name ([`model_host`]), and a private session bus with a real Secret
//! Service ([`session_bus`]). [`authorization_server`] runs servers that others wrote, to sign in at
//! instead. [`stack`] puts them together and writes the configuration that a
//! companion needs for them; [`companion`] runs a real companion on it; [`browser`] plays the
//! person's browser. No crate of the product links this one.

pub mod assets;
pub mod authorization_server;
pub mod browser;
pub mod catalog;
pub mod certs;
pub mod companion;
pub mod gateway;
pub mod listen;
pub mod model_host;
pub mod programs;
pub mod session_bus;
pub mod stack;

mod ending;
mod random;

/// Host name of the gateway; loopback by its name (RFC 6761 section 6.3).
pub const GATEWAY_NAME: &str = "gateway.localhost";

/// Host name of the model host; loopback by its name (RFC 6761 section 6.3).
pub const MODEL_HOST_NAME: &str = "models.localhost";

/// Catalog id of the development model.
pub const MODEL_ID: &str = "smollm2-135m-instruct";

/// Catalog id of the development runtime.
pub const RUNTIME_ID: &str = "llama-server";
