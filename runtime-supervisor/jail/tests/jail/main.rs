//! The jail, by what it becomes: a stand-in that prints what it finds itself to be, and the real
//! `llama-server` that the environment names (`COMPANION_LLAMA_SERVER`, `COMPANION_MODEL`; `cargo
//! xtask test` does).
//! Contract 9 (launch), architecture section 2 (the jail).
#![cfg(target_os = "linux")]

mod becoming;
mod libraries;
mod real;
mod refusing;
mod stage;
