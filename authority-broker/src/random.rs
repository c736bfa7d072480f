//! Random bytes of the kernel.

use authority_core::Reason;

/// `N` random bytes.
///
/// # Errors
/// `internal` when the kernel has none to give: nothing weaker is used.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], Reason> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Reason::Internal)?;
    Ok(bytes)
}
