//! The configuration of the companion: one TOML file, its environment, its directories.
//!
//! The launcher and `companionctl` load it; each of the three processes is handed its own
//! section only, inside its charter.

mod addresses;
mod check;
mod dirs;
mod load;
mod sections;

pub use addresses::{is_dialable, is_localhost};
pub use check::{is_https, split_host};
pub use dirs::{Dirs, Overrides};
pub use load::{SettingsError, default_path, load};
pub use sections::{Frontdoor, Gateway, Keychain, KeychainBackend, Models, Runtime, Settings};
