//! One request, one reply, each one datagram of JSON with at most two descriptors beside it.

use serde::{Deserialize, Serialize};

/// Longest datagram either side accepts, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 4096;
/// Most descriptors that a reply carries; a request carries none.
pub const MAX_DESCRIPTORS: usize = 2;

/// Which process asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// `authority-broker`.
    Broker,
    /// `runtime-supervisor`.
    Supervisor,
    /// `frontdoor`.
    Frontdoor,
}

/// What a child may ask to be connected to; the launcher's table decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Destination {
    /// A TCP connection to a host of the `[gateway]` section.
    Gateway {
        /// DNS name or address literal, as in the URL.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A TCP connection to a host in `[models] hosts`.
    ModelHost {
        /// DNS name or address literal, as in the URL.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// A file beneath `metadata/` of a `file://` catalog, opened for reading.
    CatalogFile {
        /// One path segment.
        name: String,
    },
    /// A file beneath `targets/` of a `file://` catalog, opened for reading.
    ImportedFile {
        /// One path segment.
        name: String,
    },
    /// The D-Bus session bus, a Unix stream socket.
    SessionBus,
    /// `supervisor-control.sock`.
    SupervisorControl,
    /// `supervisor-status.sock`.
    SupervisorStatus,
    /// `frontdoor-control.sock`.
    FrontdoorControl,
    /// The Unix stream socket of the running runtime.
    RuntimeSocket,
    /// `/proc/<pid>/stat` and `/proc/<pid>/statm` of the runtime, opened for reading: two
    /// descriptors, in this order.
    RuntimeFigures {
        /// The runtime, a child of the supervisor.
        pid: u32,
    },
    /// A fresh listening TCP socket on 127.0.0.1, port chosen by the kernel, for one sign-in.
    RedirectListener,
    /// A TCP connection to the front door's own listener.
    OwnListener,
    /// What the launcher itself may and may not do, tried just then: a sealed memory file of
    /// JSON (`confine::Trial`, a list).
    LauncherTrials,
}

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// An open descriptor.
    Open(Destination),
    /// The supervisor spawned this child: keep its record for reclaim, raise its
    /// out-of-memory score.
    RuntimeStarted {
        /// The spawned child.
        pid: u32,
    },
    /// The supervisor reaped it: forget the record.
    RuntimeEnded {
        /// The reaped child.
        pid: u32,
    },
    /// This process serves its sockets.
    Ready,
}

/// A datagram from a child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Chosen by the child, echoed by the reply.
    pub id: u64,
    /// What it wants.
    pub ask: Ask,
}

/// A datagram from the launcher; on success of `Open` the descriptors travel beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The request it answers.
    pub id: u64,
    /// Done, or why not.
    pub outcome: Result<(), MonitorRefusal>,
}

/// Why the launcher did not hand out a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum MonitorRefusal {
    /// The table does not give this role that destination.
    #[error("destination_not_allowed")]
    NotAllowed,
    /// The name did not resolve in time, or to nothing.
    #[error("name_not_resolved")]
    NotResolved,
    /// It resolved to a loopback or private address and the configuration does not allow that.
    #[error("address_not_allowed")]
    AddressNotAllowed,
    /// Nobody answered at that address, or not in time.
    #[error("connect_failed")]
    ConnectFailed,
    /// There is no such thing now (no runtime, no session bus).
    #[error("not_there")]
    NotThere,
    /// Who answered is not who the table names.
    #[error("wrong_peer")]
    WrongPeer,
    /// Too many requests under way.
    #[error("monitor_busy")]
    Busy,
    /// The request could not be read.
    #[error("malformed_request")]
    Malformed,
}

/// A datagram that is not a message.
#[derive(Debug, thiserror::Error)]
#[error("monitor message malformed")]
pub struct MessageError;

impl Request {
    /// The datagram of this request.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        encode(self)
    }

    /// Reads a datagram; anything unknown is refused.
    ///
    /// # Errors
    /// When it is too long or not exactly a request.
    pub fn decode(datagram: &[u8]) -> Result<Self, MessageError> {
        decode(datagram)
    }
}

impl Reply {
    /// The datagram of this reply.
    ///
    /// # Errors
    /// When it is longer than [`MAX_MESSAGE_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, MessageError> {
        encode(self)
    }

    /// Reads a datagram; anything unknown is refused.
    ///
    /// # Errors
    /// When it is too long or not exactly a reply.
    pub fn decode(datagram: &[u8]) -> Result<Self, MessageError> {
        decode(datagram)
    }
}

fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, MessageError> {
    let bytes = serde_json::to_vec(message).map_err(|_| MessageError)?;
    if bytes.len() > MAX_MESSAGE_BYTES { Err(MessageError) } else { Ok(bytes) }
}

fn decode<'a, T: Deserialize<'a>>(datagram: &'a [u8]) -> Result<T, MessageError> {
    if datagram.len() > MAX_MESSAGE_BYTES {
        return Err(MessageError);
    }
    serde_json::from_slice(datagram).map_err(|_| MessageError)
}
