//! The loopback endpoint, as its owner's program uses it: where it is, the key to it, and an
//! OpenAI-shaped conversation over it.

mod access;
mod completion;
mod http;
mod sse;

pub(crate) use access::{Access, Endpoint, variables};
pub(crate) use completion::{Delta, Message, Request, Role, Usage, stream, text_until};
pub(crate) use http::{Http, status_without_key};
