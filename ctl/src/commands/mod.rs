//! One file a command, named by its noun.

pub(crate) mod capabilities;
pub(crate) mod catalog;
pub(crate) mod chat;
pub(crate) mod completions;
mod confined;
pub(crate) mod doctor;
pub(crate) mod enrich;
pub(crate) mod env;
pub(crate) mod exec;
mod fit;
pub(crate) mod init;
pub(crate) mod lane;
pub(crate) mod logs;
pub(crate) mod man;
mod meminfo;
pub(crate) mod models;
pub(crate) mod pull;
pub(crate) mod rm;
pub(crate) mod session;
pub(crate) mod sign_in;
pub(crate) mod sign_out;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod top;
pub(crate) mod ui;
