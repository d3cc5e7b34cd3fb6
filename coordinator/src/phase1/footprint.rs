//! See [`Footprint`].

use super::{Collected, Phase1, Report};
use crate::footprint::Footprint;

impl Phase1 {
    pub(crate) fn footprint(&self, footprint: &mut Footprint) {
        let Self { ballot, from, quorum, collected, progress_at: _, timeout: _ } = self;
        footprint.note(("phase 1", ballot, from, quorum));
        for Collected { acceptor, report: Report { votes, marks }, next } in collected.values() {
            footprint.note_of(
                *acceptor,
                ("promised", next, marks.voted_below, marks.chosen_below, marks.trimmed_below),
            );
            for vote in votes {
                footprint.note_of(*acceptor, (vote.slot, vote.ballot, &vote.value));
            }
        }
    }
}
