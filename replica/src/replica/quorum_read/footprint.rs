//! See [`Replica::footprint`](crate::replica::Replica::footprint).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash};

use shared::ids::AcceptorId;
use shared::message::Watermarks;

use super::{Concluded, Probe, QuorumReads, Readers, State, Waiting};
use crate::replica::Footprint;
use crate::replica::event::ProbeId;

impl QuorumReads {
    pub(crate) fn footprint(&self, footprint: &mut Footprint) {
        let Self {
            acceptors: _,
            following,
            timeout: _,
            patience: _,
            backoff: _,
            interval: _,
            state,
            queued,
            waiting,
            concluded,
            probes_sent,
            executed_below: _,
            current_as_of: _,
            quorum_answers,
            // For people's eyes alone.
            trimmed_below: _,
        } = self;
        let hasher = &mut footprint.shared;
        following.footprint(hasher);
        match state {
            State::Idle => 0.hash(hasher),
            State::BackingOff => 1.hash(hasher),
            State::InFlight(Probe {
                id,
                sent_at: _,
                executed_below,
                readers,
                asked,
                answers,
                unanswered,
            }) => {
                (2, id.0, executed_below, asked, unanswered).hash(hasher);
                footprint_of(readers, hasher);
                footprint_of_answers(*id, answers, footprint);
            }
        }
        if let Some(Concluded { id, sent_at: _, executed_below, asked, answers, verdict }) =
            concluded
        {
            (3, id.0, executed_below, asked, verdict.voted_below).hash(&mut footprint.shared);
            footprint_of_answers(*id, answers, footprint);
        }
        let hasher = &mut footprint.shared;
        footprint_of(queued, hasher);
        for (slot, Waiting { since: _, probed_at: _, readers }) in waiting {
            (slot, readers.len()).hash(hasher);
            readers.iter().for_each(|reader| reader.0.hash(hasher));
        }
        (probes_sent, quorum_answers).hash(hasher);
    }
}

fn footprint_of_answers(
    probe: ProbeId,
    answers: &BTreeMap<AcceptorId, Watermarks>,
    footprint: &mut Footprint,
) {
    for (acceptor, answer) in answers {
        let (marks, roster) =
            (answer.marks, answer.roster.as_ref().map(|roster| roster.acceptors()));
        let of_acceptor = footprint.acceptors.entry(*acceptor).or_default();
        (probe.0, roster, marks.voted_below, marks.chosen_below, marks.trimmed_below)
            .hash(of_acceptor);
    }
}

fn footprint_of(readers: &Readers, hasher: &mut DefaultHasher) {
    readers.len().hash(hasher);
    readers.iter().for_each(|(reader, probes_before)| (reader.0, probes_before).hash(hasher));
}
