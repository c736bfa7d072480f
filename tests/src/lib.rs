//! The whole system under test: the real processes, the real runtime, a real Secret Service and
//! the development gateway, each test in a world of its own.

mod abroad;
mod archive;
mod broker;
pub mod browser;
mod canaries;
mod ctl;
mod grpc;
mod http;
mod kernel_keys;
mod keychain;
mod mischief;
mod process;
mod ui;
mod world;

pub use abroad::{Abroad, Asked};
pub use archive::packed;
pub use broker::{Answer, Attempt, Broker};
pub use canaries::Canaries;
pub use ctl::{Events, Ran, Watched};
pub use devstack::authorization_server::{MetadataPlace, ServerOptions, Software};
pub use devstack::session_bus::Keyring;
pub use devstack::{MODEL_ID, RUNTIME_ID};
pub use grpc::answers_grpc_as;
pub use http::{ONE_WORD, RawResponse, get, open_stream, post, raw_request, say_one_word};
pub use kernel_keys::KernelKeys;
pub use mischief::Mischief;
pub use process::{
    freeze, gone, inet_sockets_of, is_alive, kill, memory_of, need_root, sockets_in,
    tcp_listeners_of, threads_of,
};
pub use ui::Ui;
pub use world::World;
