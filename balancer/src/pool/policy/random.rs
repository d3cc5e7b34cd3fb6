//! By chance, each in proportion to its weight.

use super::{Candidate, whole};

/// Picks a candidate by a number that is equally likely to be any.
pub fn random(candidates: &[Candidate], dice: u64) -> Option<usize> {
    let point = (u128::from(dice) * u128::from(whole(candidates))) >> 64;
    let mut below = 0_u128;
    candidates.iter().position(|candidate| {
        below += u128::from(candidate.weight);
        point < below
    })
}
