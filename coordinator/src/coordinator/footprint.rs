//! See [`Footprint`].

use super::succession::Draining;
use super::{Coordinator, Leader, State};
use crate::footprint::Footprint;
use crate::replicas::view_change::ProposedView;

impl Coordinator {
    /// Adds what its further steps rest on, but for time.
    pub fn footprint(&self, footprint: &mut Footprint) {
        let Self {
            config: _,
            id: _,
            now: _,
            state,
            membership,
            handover,
            awaited_generation,
            formation_error: _,
            highest_ballot,
            stood_at,
            chosen_below,
            trimmed_below,
            replicas,
            failures: _,
            ended,
            answers_since: _,
            effects: _,
        } = self;
        footprint.note((
            membership.roster().map(|roster| roster.acceptors()),
            highest_ballot,
            stood_at,
            chosen_below,
            trimmed_below,
        ));
        footprint.note(ended);
        membership.footprint(footprint);
        replicas.footprint(footprint);
        handover.iter().for_each(|handover| handover.footprint(footprint));
        footprint.note(awaited_generation.is_some());
        match state {
            State::Inactive(standby) => footprint.note(("inactive", standby)),
            State::Phase1(phase1) => phase1.footprint(footprint),
            State::Phase2(leader) => {
                let Leader { phase2, liveness: _, view, asked_view, leaving, ahead, draining } =
                    &**leader;
                phase2.footprint(footprint);
                let drains = |draining: &Draining| {
                    (draining.next.roster.acceptors().to_vec(), draining.is_looking)
                };
                footprint.note(draining.as_ref().map(drains));
                let view = view.as_ref().map(|ProposedView { epoch, primary, slot, chosen_at }| {
                    (epoch, primary, slot, chosen_at.is_some())
                });
                footprint.note(view);
                footprint.note(asked_view.as_ref().map(|asked| {
                    (asked.view.epoch, &asked.view.primary, &asked.removed, &asked.waiters)
                }));
                footprint.note(leaving.all());
                footprint.note(
                    ahead
                        .as_ref()
                        .map(|ahead| (&ahead.replica, ahead.executed_below, ahead.is_certain)),
                );
            }
        }
    }
}
