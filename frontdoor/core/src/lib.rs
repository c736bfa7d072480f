//! What the front door decides, as values: who may pass, when, and what is true of the runtime.
//!
//! Nothing here reads a clock, a socket or a file. Times are milliseconds of one monotonic
//! clock, given by the caller.
#![forbid(unsafe_code)]

pub mod admission;
pub mod availability;
pub mod client;
pub mod credential;
mod fair_queue;
pub mod framing;
pub mod gate;
pub mod guard;
pub mod lane;
pub mod limits;
pub mod rate;
pub mod reasons;
pub mod resources;
pub mod routes;

pub use reasons::Reason;
