//! The same key to the same replica, with bounded loads (Mirrokni, Thorup and
//! Zadimoghaddam, "Consistent Hashing with Bounded Loads", SODA 2018): nobody works on more
//! than [`LOAD_PERCENT`] of the average, and a key whose replica is full goes to the next of
//! its own order.
//!
//! That order is by rendezvous (Thaler and Ravishankar, "Using Name-Based Mappings to
//! Increase Hit Rates", IEEE/ACM ToN 6(1), 1998), weighted: each replica draws a number
//! from key and name, and the luckiest is the first. Where one comes or goes, only the keys
//! that it has or had move. All balancers agree, since nothing else is put in.

use super::{Candidate, mix, whole};

/// The load of the fullest, in hundredths of the average by weight.
const LOAD_PERCENT: u128 = 125;

/// The first of the key's order that is not full.
pub fn consistent_hash(candidates: &[Candidate], key: u64) -> Option<usize> {
    // With the request that is to be placed.
    let load = candidates.iter().map(|candidate| u128::from(candidate.in_flight)).sum::<u128>() + 1;
    let whole = u128::from(whole(candidates));
    // At most ceil(1.25 · load · weight / whole) at each: together more than the load.
    let has_room = |candidate: &Candidate| {
        let share = LOAD_PERCENT * load * u128::from(candidate.weight);
        u128::from(candidate.in_flight) < share.div_ceil(100 * whole)
    };
    let luckiest = |full: bool| {
        (0..candidates.len()).filter(|at| full || has_room(&candidates[*at])).max_by(
            |one, other| luck(&candidates[*one], key).total_cmp(&luck(&candidates[*other], key)),
        )
    };
    luckiest(false).or_else(|| luckiest(true))
}

/// The number that a candidate draws for a key: `-weight / ln(u)`, u in (0, 1) by hash. It
/// is the greatest in proportion to its weight.
fn luck(candidate: &Candidate, key: u64) -> f64 {
    const MANTISSA: u64 = 1 << 53;
    let drawn = mix(key ^ mix(candidate.name)) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let unit = (drawn as f64 + 0.5) / MANTISSA as f64;
    -f64::from(candidate.weight) / unit.ln()
}

/// The hash of a key or a name: FNV-1a (Fowler, Noll and Vo, RFC 9923), the same in every
/// process and version.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
