//! Inherited descriptors.

use crate::{ConfineError, kernel};

/// Closes every descriptor but 0, 1, 2 and the named ones.
///
/// To be called before anything in this process owns another descriptor: what it closes is
/// closed under whoever thought to own it.
///
/// # Errors
/// When the kernel refuses `close_range` (Linux 5.9 has it, Landlock came later).
pub fn close_all_but(keep: &[i32]) -> Result<(), ConfineError> {
    for (first, last) in gaps_between(keep) {
        kernel::close_range(first, last).map_err(ConfineError::Descriptors)?;
    }
    Ok(())
}

/// The ranges of descriptor numbers from 3 up that `keep` leaves out, both ends included.
fn gaps_between(keep: &[i32]) -> Vec<(u32, u32)> {
    let mut kept: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    kept.sort_unstable();
    let mut gaps = Vec::new();
    let mut next = 3;
    for fd in kept.into_iter().filter(|fd| *fd >= 3) {
        if fd > next {
            gaps.push((next, fd - 1));
        }
        next = fd + 1;
    }
    gaps.push((next, u32::MAX));
    gaps
}

#[cfg(test)]
mod tests {
    use super::gaps_between;

    #[test]
    fn everything_from_three_up_goes_when_nothing_is_named() {
        assert_eq!(gaps_between(&[]), [(3, u32::MAX)]);
        assert_eq!(gaps_between(&[0, 1, 2, -1]), [(3, u32::MAX)]);
    }

    #[test]
    fn named_descriptors_stay_in_whatever_order_they_are_named() {
        assert_eq!(gaps_between(&[7, 3, 4]), [(5, 6), (8, u32::MAX)]);
        assert_eq!(gaps_between(&[5, 5]), [(3, 4), (6, u32::MAX)]);
    }
}
