//! The confinement, tried from inside: a probe enters a policy and makes every attempt of its
//! list; the tests compare what came of it with the table, and with a probe under no policy.
#![cfg(target_os = "linux")]

mod layers;
mod matrix;
mod mutation;
mod process;
mod stage;
