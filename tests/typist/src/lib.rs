//! Types what a document says, as a person would who has it in hand, and compares what is shown
//! with what stands there.

#![forbid(unsafe_code)]

mod desk;
mod essence;
mod page;
mod terminal;

pub use desk::{Desk, Done};
pub use essence::same_in_essence;
pub use page::{Block, Step, blocks, section};
pub use terminal::{Terminal, Typed};
