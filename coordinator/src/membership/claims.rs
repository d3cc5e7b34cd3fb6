//! How far an acceptor is believed: a ballot or a watermark that it names alone is taken
//! up to a bound beyond what others vouch for.

use shared::bounds::{ROUNDS_AHEAD, SLOTS_AHEAD, TooFar, within};
use shared::ids::{Ballot, Slot};
use shared::message::Marks;

use super::Membership;
use crate::ids::AcceptorIndex;

impl Membership {
    /// Takes note of what the member at this place has promised.
    pub(crate) fn promised(&mut self, at: AcceptorIndex, ballot: Ballot) {
        if let Some(place) = self.places.get_mut(at.0) {
            place.promised = Some(ballot);
        }
    }

    /// The highest round that is not the word of so few that a quorum is without them.
    pub(crate) fn vouched_round(&self) -> u64 {
        let Some(roster) = &self.roster else { return 0 };
        let mut rounds: Vec<u64> = self
            .present()
            .filter(|place| place.member.is_some())
            .map(|place| place.promised.map_or(0, |promised| promised.round))
            .collect();
        rounds.sort_unstable_by(|one, other| other.cmp(one));
        let others = roster.acceptors().len() - roster.quorum();
        rounds.get(others).copied().unwrap_or(0)
    }

    /// Whether a ballot that an acceptor says to have promised is to be gone beyond: one
    /// alone does not raise it by more than a bound.
    pub(crate) fn check_ballot(&self, ballot: Ballot) -> Result<(), TooFar> {
        within("round", ballot.round, self.vouched_round(), ROUNDS_AHEAD)
    }

    /// Whether what an acceptor says to be chosen can be, where all below `known` is.
    pub(crate) fn check_marks(known: Slot, marks: Marks) -> Result<(), TooFar> {
        within("chosen_below", marks.chosen_below.0, known.0, SLOTS_AHEAD)?;
        within("trimmed_below", marks.trimmed_below.0, known.0, SLOTS_AHEAD)
    }

    /// Takes note that what a member said is not believed; true if that is news.
    pub(crate) fn refused(&mut self, at: AcceptorIndex, why: TooFar) -> bool {
        let Some(place) = self.places.get_mut(at.0) else { return false };
        place.refused.replace(why).is_none_or(|before| before.what != why.what)
    }
}
