//! Types what a document says, as a person would who has it in hand, and compares what is shown
//! with what stands there.

#![forbid(unsafe_code)]

mod essence;
mod page;
mod terminal;

pub use essence::same_in_essence;
pub use page::{Block, Step, blocks};
pub use terminal::{Terminal, Typed};
