//! See [`Footprint`].

use super::{Membership, Place};
use crate::footprint::Footprint;

impl Membership {
    pub(crate) fn footprint(&self, footprint: &mut Footprint) {
        let Self {
            urls: _,
            places,
            present: _,
            roster,
            succession: _,
            candidate: _,
            next_poll: _,
            polls: _,
        } = self;
        footprint.note(roster.as_ref().map(|roster| (roster.generation(), roster.acceptors())));
        for place in places {
            let Place { answer: _, member, heard_at: _, foreign: _, promised, refused: _ } = place;
            if let Some(member) = member {
                footprint.note_of(*member, promised);
            }
        }
    }
}
