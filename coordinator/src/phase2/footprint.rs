//! See [`Footprint`].

use super::{InFlight, Phase2};
use crate::footprint::Footprint;

impl Phase2 {
    pub(crate) fn footprint(&self, footprint: &mut Footprint) {
        let Self {
            ballot,
            roster: _,
            began_at,
            first_new,
            next_slot,
            chosen_below,
            trim_below,
            in_flight,
            in_flight_bytes: _,
            window,
            stop,
        } = self;
        footprint.note(("phase 2", ballot, began_at, first_new, next_slot));
        footprint.note((chosen_below, trim_below));
        for (slot, InFlight { value, key, waiters, accepted, chosen, sent_at: _ }) in in_flight {
            footprint.note((slot, value, key, waiters, chosen));
            for acceptor in accepted {
                footprint.note_of(*acceptor, ("accepted", slot));
            }
        }
        window.footprint(footprint);
        footprint.note(stop.as_ref().map(|stop| (stop.generation(), stop.begin())));
    }
}
