//! Why the broker cannot go on.

use std::error::Error;

/// A fault that ends the process; each is one constant sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The charter is not one.
    #[error("the charter cannot be read")]
    Charter,
    /// `[gateway] ca_file` is configured and cannot be used.
    #[error("the configured gateway.ca_file cannot be read as certificates")]
    CaFile,
    /// The process could not be confined.
    #[error("the process cannot be confined")]
    Confinement(#[from] confine::ConfineError),
    /// The asynchronous runtime did not start.
    #[error("the runtime did not start")]
    Runtime,
    /// The inherited descriptors are not usable.
    #[error("an inherited socket cannot be used")]
    Sockets,
    /// The gRPC server ended by itself.
    #[error("the server ended")]
    Server,
}

impl Failure {
    /// The sentence and those of its sources.
    pub(crate) fn chain(&self) -> String {
        let sources = std::iter::successors(self.source(), |&error| error.source());
        sources.fold(self.to_string(), |said, source| format!("{said}: {source}"))
    }
}
