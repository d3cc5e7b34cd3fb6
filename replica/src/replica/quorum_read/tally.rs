//! The verdict of a quorum, by what acceptors answered to one probe.

use std::collections::BTreeMap;

use shared::ids::{AcceptorId, ClusterId, Slot};
use shared::message::{Roster, Watermarks};

use crate::replica::WrongHistory;

/// What a quorum said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The cluster of the quorum.
    pub(crate) cluster: ClusterId,
    /// The highest vote: whatever was chosen before the probe was sent is below.
    pub(crate) voted_below: Slot,
    /// The highest slot below which everything is chosen, as one of them has heard.
    pub(crate) chosen_below: Slot,
    /// Each acceptor of a quorum has trimmed every slot below.
    pub(crate) trimmed_below: Slot,
}

impl Verdict {
    /// Whether votes are lost for what was executed before the quorum was asked.
    pub(crate) fn lost_votes(&self, executed_below: Slot) -> Option<WrongHistory> {
        let voted_below = self.voted_below;
        (voted_below < executed_below)
            .then_some(WrongHistory::VotesLost { executed_below, voted_below })
    }
}

/// The verdict of a quorum: a majority of one roster that itself reports that roster.
/// What others report counts for nothing. Of several quorums it is the one that has voted
/// for least: each of them has what was chosen.
pub(crate) fn tally(answers: &BTreeMap<AcceptorId, Watermarks>) -> Option<Verdict> {
    let rosters: Vec<&Roster> =
        answers.values().filter_map(|answer| answer.roster.as_ref()).collect();
    rosters.into_iter().find_map(|roster| {
        let counted = || {
            answers.values().filter(|answer| {
                roster.contains(answer.acceptor) && answer.roster.as_ref() == Some(roster)
            })
        };
        let mut voted: Vec<Slot> = counted().map(|answer| answer.marks.voted_below).collect();
        voted.sort_unstable();
        let voted_below = *voted.get(roster.quorum() - 1)?;
        // What is chosen was voted for by one of every quorum.
        let chosen_below = counted().map(|answer| answer.marks.chosen_below).max()?;
        let chosen_below = chosen_below.min(voted_below);
        let mut trimmed: Vec<Slot> = counted().map(|answer| answer.marks.trimmed_below).collect();
        trimmed.sort_unstable();
        let trimmed_below = *trimmed.get(trimmed.len().checked_sub(roster.quorum())?)?;
        Some(Verdict { cluster: roster.cluster(), voted_below, chosen_below, trimmed_below })
    })
}
