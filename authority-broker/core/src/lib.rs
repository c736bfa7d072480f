//! The decisions of the authority broker: what makes a sign-in, a session, a stored secret and a
//! catalog entry acceptable (contract 6, 7, 8).
//!
//! Facts go in and values come out. There is no input or output here, no clock and no source of
//! randomness: time and random bytes are arguments.

#![forbid(unsafe_code)]
#![warn(clippy::wildcard_enum_match_arm)]

pub mod authorization;
pub mod callback;
pub mod catalog;
pub mod custody;
pub mod discovery;
mod form;
pub mod id_token;
pub mod limits;
pub mod loopback;
pub mod phase;
pub mod pkce;
mod reasons;
pub mod redirect;
pub mod registration;
pub mod rpc;
mod secret;
pub mod session;
pub mod token_response;

pub use reasons::{OauthError, Reason};
pub use secret::{OneTimeValue, Secret};

#[cfg(test)]
mod hostile_bytes_tests;
