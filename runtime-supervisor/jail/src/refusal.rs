//! Why the jail did not become the runtime. Each line is constant: nothing of the plan is in it.

use confine::ConfineError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the plan cannot be read")]
    PlanUnreadable,
    #[error("the plan is malformed")]
    PlanMalformed,
    #[error("the plan has an argument that no program can be given")]
    ArgumentMalformed,
    #[error("{0}")]
    Confinement(#[from] ConfineError),
    #[error("no process group of its own")]
    NoGroup,
    #[error("the private directories cannot be made")]
    NoDirectories,
    #[error("the descriptors of binary and model are not there")]
    DescriptorsMissing,
    #[error("the runtime cannot be executed")]
    NotExecuted,
}
