//! The power of two choices (Mitzenmacher, "The Power of Two Choices in Randomized Load
//! Balancing", IEEE TPDS 12(10), 2001): of two drawn by chance, the one that works on less.
//! Several balancers do so without knowing of each other, and none of them floods the one
//! that all think is idle.

use super::random::random;
use super::{Candidate, mix, whole};

/// Picks a candidate by a number that is equally likely to be any.
pub fn least_in_flight(candidates: &[Candidate], dice: u64) -> Option<usize> {
    let first = random(candidates, dice)?;
    let others = whole(candidates) - u64::from(candidates[first].weight);
    let mut point = (u128::from(mix(dice)) * u128::from(others)) >> 64;
    let second = (0..candidates.len()).filter(|at| *at != first).find(|at| {
        let weight = u128::from(candidates[*at].weight);
        let is_here = point < weight;
        point = point.saturating_sub(weight);
        is_here
    });
    let Some(second) = second else { return Some(first) };
    // In flight for each unit of weight, compared without dividing.
    let load =
        |one: &Candidate, other: &Candidate| u128::from(one.in_flight) * u128::from(other.weight);
    let (one, other) = (&candidates[first], &candidates[second]);
    Some(if load(one, other) <= load(other, one) { first } else { second })
}
