//! `companion.capability.v1`: a confined process tries what its role may and may not do, and
//! tells. What the kernel keeps from it is `confine`'s to try; what the launcher hands out is
//! asked for here, and compared with a list of its own rather than with the launcher's table.

mod asking;
mod service;

pub use asking::Places;
pub use capability_api::FILE_DESCRIPTOR_SET;
pub use capability_api::v1::ProcessTrials;
pub use service::{Capabilities, Own, Server, failed, told};
