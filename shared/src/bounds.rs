//! How far a number from outside may move one of ours.
//!
//! Rounds, slots and epochs only rise, and whoever takes up a number goes on from there.
//! So one message with the highest number that there is would leave none for anybody after
//! it: one `Prepare` of the last round ends a cluster for good. Hence no number from
//! outside moves one of ours by more than a bound. Each bound is far above what a cluster
//! comes to within its life, and far below what numbers hold, so that there is headroom
//! yet when somebody has used one up.
//!
//! What is refused says the number, what was known, and the bound.

/// The highest number that means anything: replicas keep slots and epochs as signed
/// numbers of 64 bits.
pub const MAX_NUMBER: u64 = i64::MAX as u64;

/// The most that a ballot's round may be above the highest that is known to be promised. A
/// round is an election: at ten in a second these are 13 years of them.
pub const ROUNDS_AHEAD: u64 = 1 << 32;

/// The most that a slot may be above all that is known to be chosen. At a million slots in
/// a second these are 12 days: nobody is away, and comes back, for so long.
pub const SLOTS_AHEAD: u64 = 1 << 40;

/// The most that an epoch may be above the latest that is known. An epoch is a change of
/// the view: at ten in a second these are 13 years of them.
pub const EPOCHS_AHEAD: u64 = 1 << 32;

/// The most slots that can be voted in above those that are chosen: a leader has far fewer
/// in flight, and says with each message how far all is chosen. So it is the most that a
/// read can wait for, and the most that a promise can report: one that claims more is
/// damaged, and believing it would cost memory without bound.
pub const OPEN_SLOTS: u64 = 1 << 16;

/// A number from outside is too high to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {got} is more than {ahead} above {known}, which is known here")]
pub struct TooFar {
    /// Which number.
    pub what: &'static str,
    /// What it is said to be.
    pub got: u64,
    /// What is known here.
    pub known: u64,
    /// The bound.
    pub ahead: u64,
}

/// Whether a number may be taken up where `known` is the highest that is known here.
///
/// # Errors
/// When it is more than `ahead` above that, or above [`MAX_NUMBER`].
pub fn within(what: &'static str, got: u64, known: u64, ahead: u64) -> Result<(), TooFar> {
    let highest = known.saturating_add(ahead).min(MAX_NUMBER);
    if got <= highest { Ok(()) } else { Err(TooFar { what, got, known, ahead }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_up_to_the_bound_is_believed_and_the_next_one_is_not() {
        assert_eq!(within("round", 15, 5, 10), Ok(()));
        let refused = within("round", 16, 5, 10).unwrap_err();
        assert_eq!(refused, TooFar { what: "round", got: 16, known: 5, ahead: 10 });
        assert_eq!(refused.to_string(), "round 16 is more than 10 above 5, which is known here");
    }

    #[test]
    fn nothing_above_the_highest_number_is_believed_whatever_is_known() {
        assert_eq!(within("slot", MAX_NUMBER, MAX_NUMBER - 1, SLOTS_AHEAD), Ok(()));
        assert!(within("slot", MAX_NUMBER + 1, MAX_NUMBER, SLOTS_AHEAD).is_err());
    }
}
