//! See [`Footprint`].

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
            formation_error: _,
            highest_ballot,
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
            chosen_below,
            trimmed_below,
        ));
        footprint.note(ended);
        membership.footprint(footprint);
        replicas.footprint(footprint);
        match state {
            State::Inactive(standby) => footprint.note(("inactive", standby)),
            State::Phase1(phase1) => phase1.footprint(footprint),
            State::Phase2(leader) => {
                let Leader { phase2, liveness: _, view, asked_view, leaving, ahead } = &**leader;
                phase2.footprint(footprint);
                let view = view.as_ref().map(|ProposedView { epoch, slot, chosen_at }| {
                    (epoch, slot, chosen_at.is_some())
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
