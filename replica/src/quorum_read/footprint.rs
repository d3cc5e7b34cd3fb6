//! See [`Replica::footprint`](crate::replica::Replica::footprint).

use std::hash::{DefaultHasher, Hash};

use super::{Probe, QuorumReads, Readers, State, Waiting};
use crate::replica::Footprint;

impl QuorumReads {
    pub(crate) fn footprint(&self, footprint: &mut Footprint) {
        let Self {
            acceptors: _,
            timeout: _,
            backoff: _,
            interval: _,
            state,
            queued,
            waiting,
            probes_sent,
            current_as_of: _,
            quorum_answers,
        } = self;
        let hasher = &mut footprint.shared;
        match state {
            State::Idle => 0.hash(hasher),
            State::BackingOff => 1.hash(hasher),
            State::InFlight(Probe { id, sent_at: _, readers, answers, unanswered }) => {
                (2, id.0, unanswered).hash(hasher);
                footprint_of(readers, hasher);
                for (acceptor, answer) in answers {
                    let (marks, roster) = (answer.marks, answer.roster.as_ref().map(|roster| roster.acceptors()));
                    let of_acceptor = footprint.acceptors.entry(*acceptor).or_default();
                    (roster, marks.voted_below, marks.chosen_below, marks.trimmed_below).hash(of_acceptor);
                }
            }
        }
        footprint_of(queued, hasher);
        for (slot, Waiting { since: _, probed_at: _, readers }) in waiting {
            (slot, readers.len()).hash(hasher);
            readers.iter().for_each(|reader| reader.0.hash(hasher));
        }
        (probes_sent, quorum_answers).hash(hasher);
    }
}

fn footprint_of(readers: &Readers, hasher: &mut DefaultHasher) {
    readers.len().hash(hasher);
    readers.iter().for_each(|(reader, probes_before)| (reader.0, probes_before).hash(hasher));
}
