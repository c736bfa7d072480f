//! What the launcher and its three children say to each other: the charter a child is born
//! with, and the requests it makes over its SOCK_SEQPACKET pair. Types and bounds only.

mod charter;
mod message;

pub use charter::{BrokerCharter, CharterError, FrontdoorCharter, SupervisorCharter, descriptor};
pub use message::{
    Ask, Destination, MAX_DESCRIPTORS, MAX_MESSAGE_BYTES, MessageError, MonitorRefusal, Reply,
    Request, Role,
};
