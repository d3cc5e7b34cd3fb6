//! What a coordinator does that leads: it proposes, counts, shows that it lives, and sees
//! to it that there is a primary.

use std::time::Duration;

use shared::bounds::{OPEN_SLOTS, TooFar};
use shared::ids::{Ballot, Slot};
use shared::message::{
    Accept, AcceptReply, Accepted, EncodedValue, Heartbeat, Marks, Phase, Proposal, ProposalReply,
    SlotValue, Succession, Value, View,
};

use super::switch_over::Leaving;
use super::{Coordinator, Leader, State};
use crate::config::Config;
use crate::effect::{AcceptorIndex, Effect, Reason, RequestId, Timer};
use crate::election::Standby;
use crate::liveness::Liveness;
use crate::membership::foreign::ForeignAcceptor;
use crate::phase1::Promised;
use crate::phase2::{Join, Phase2, Resolved};
use crate::replicas::trimming::{Fill, trim_below};
use crate::replicas::view_change::{ProposedView, next_view};

impl Leader {
    /// How full the acceptors are.
    pub(super) fn fill(&self, config: &Config, now: Duration) -> Fill {
        self.liveness.fill(now, config.full_memory)
    }

    /// That so many acceptors have no room that nothing new is proposed, in words.
    pub(super) fn no_room(&self, config: &Config, now: Duration) -> Option<String> {
        let memory = config.full_memory;
        self.liveness
            .has_no_room(now, memory)
            .then(|| format!("{} acceptors have no room", self.liveness.full_count(now, memory)))
    }
}

impl Coordinator {
    pub(super) fn start_phase2(&mut self, promised: Promised) {
        let Some(roster) = self.membership.roster() else { return };
        let acceptors = roster.acceptors().to_vec();
        let phase2 = Phase2::begin(&self.config, self.now, roster.clone(), promised);
        let liveness =
            Liveness::new(acceptors, phase2.quorum(), self.config.max_heartbeats_unanswered);
        let ballot = phase2.ballot();
        self.chosen_below = self.chosen_below.max(phase2.chosen_below());
        let leaving = Leaving::of(phase2.values());
        self.state = State::Phase2(Box::new(Leader {
            phase2,
            liveness,
            view: None,
            asked_view: None,
            leaving,
            ahead: None,
            draining: None,
        }));
        self.change_phase(Phase::Phase1, Phase::Phase2, ballot, Reason::Promised);
        // A page that was not part of the quorum may have told of more than Phase 1 began
        // with.
        self.learn_marks(Marks { chosen_below: self.chosen_below, ..Marks::default() });
        if let State::Phase2(leader) = &self.state {
            self.broadcast(&leader.phase2.accept_all(&self.config));
        }
        self.arm(Timer::Lead, self.config.heartbeat_interval, Duration::ZERO);
        self.settle_generation();
        self.look_for_lost_votes();
        self.consider_view();
    }

    pub(super) fn lead(&mut self) {
        self.replicas.settle_view(&self.config, self.now, self.chosen_below);
        self.settle_asked_view();
        let State::Phase2(leader) = &mut self.state else { return };
        leader.liveness.heartbeat();
        if leader.liveness.is_cut_off() {
            return self.stand_by(Reason::QuorumSilent);
        }
        // Something is chosen, so there is, or was, a replica that had it proposed.
        if self.chosen_below > Slot(0)
            && leader.liveness.hears_no_replica(self.config.max_heartbeats_without_replicas)
        {
            return self.stand_by(Reason::ReplicasSilent);
        }
        let fill = leader.fill(&self.config, self.now);
        let leaving = leader.leaving.at(self.replicas.epoch());
        if self.replicas.tell_of_view_at(leader.phase2.began_at())
            && let Some(durable) =
                trim_below(&self.config, self.now, &mut self.replicas, (fill, &leaving))
        {
            leader.phase2.allow_trimming(durable);
        }
        // What is in flight may be a second value for a slot whose first was forgotten.
        let overdue = match leader.ahead {
            Some(_) => Vec::new(),
            None => leader.phase2.overdue(&self.config, self.now),
        };
        for to in self.membership.indices() {
            let missing = leader.phase2.missing_at(self.membership.member_at(to), &overdue);
            self.effects.push(Effect::Accept { to, message: leader.phase2.accept(missing) });
        }
        self.arm(Timer::Lead, self.config.heartbeat_interval, Duration::ZERO);
        self.look_for_lost_votes();
        self.ask_about_lost_votes();
        self.consider_stop();
        self.count_draining();
        self.carry_on();
        self.consider_view();
    }

    pub(super) fn on_accept_reply(
        &mut self,
        from: AcceptorIndex,
        ballot: Ballot,
        reply: AcceptReply,
    ) {
        match reply {
            AcceptReply::Accepted(accepted) => self.on_accepted(from, ballot, &accepted),
            AcceptReply::Nack(nack) => self.on_nack(from, nack.acceptor, nack.promised),
            AcceptReply::Stranger(stranger) => {
                self.on_foreign_acceptor(
                    from,
                    ForeignAcceptor { acceptor: stranger.acceptor, roster: stranger.roster },
                );
            }
            AcceptReply::Full(full) => {
                let admitted = self.admit(from, full.acceptor);
                if let State::Phase2(leader) = &mut self.state
                    && admitted
                    && leader.phase2.ballot() == ballot
                {
                    leader.liveness.answered(full.acceptor);
                    leader.liveness.full(full.acceptor, self.now);
                }
            }
        }
    }

    fn on_accepted(&mut self, from: AcceptorIndex, ballot: Ballot, accepted: &Accepted) {
        if !self.admit(from, accepted.acceptor) {
            return;
        }
        if let State::Phase2(leader) = &mut self.state
            && leader.phase2.ballot() == ballot
            && accepted.ballot == ballot
        {
            self.membership.promised(from, ballot);
            leader.liveness.answered(accepted.acceptor);
            leader.liveness.has_room(accepted.acceptor, accepted.room);
            if !accepted.slots.is_empty() {
                leader.liveness.voted(accepted.acceptor);
            }
            let resolved = leader.phase2.count(accepted.acceptor, accepted.ballot, &accepted.slots);
            self.chosen_below = self.chosen_below.max(leader.phase2.chosen_below());
            self.resolve(resolved);
        }
        self.learn_marks_of(from, accepted.marks);
        self.look_for_stop();
    }

    pub(super) fn on_proposal(&mut self, id: RequestId, proposal: Proposal) {
        let ours =
            self.membership.roster().is_some_and(|roster| roster.cluster() == proposal.cluster);
        let State::Phase2(leader) = &mut self.state else {
            return self.answer(id, ProposalReply::NotLeading);
        };
        if !ours {
            return self.answer(id, ProposalReply::NotLeading);
        }
        if let Some(ahead) = &leader.ahead {
            let limit = Self::refuses_for(ahead);
            return self.answer(id, ProposalReply::Overloaded { limit });
        }
        match leader.phase2.join(&self.config, id, &proposal) {
            Join::Joined => return,
            Join::JoinedInsteadOf(longest) => {
                return self.answer(longest, ProposalReply::Unresolved);
            }
            Join::Absent => {}
        }
        // Only a leader ends a generation.
        let is_stop = Succession::of_stop(&proposal.value).is_some();
        let is_closed = leader.draining.is_some() || is_stop;
        let closed = is_closed.then(|| "the acceptors are being changed".to_owned());
        let no_room = closed.or_else(|| leader.no_room(&self.config, self.now));
        match no_room.or_else(|| leader.phase2.refusal(&self.config, proposal.value.len())) {
            Some(limit) => self.answer(id, ProposalReply::Overloaded { limit }),
            None => {
                let value = leader.phase2.propose_batch(self.now, id, proposal);
                self.send_values(vec![value]);
            }
        }
    }

    pub(super) fn on_heartbeat(&mut self, heartbeat: Heartbeat) {
        if self.membership.roster().is_none_or(|roster| roster.cluster() != heartbeat.cluster) {
            return;
        }
        if self.check_heartbeat(&heartbeat).is_err() {
            return;
        }
        match &mut self.state {
            State::Phase2(leader) => leader.liveness.replica_heard(),
            State::Inactive(standby) if *standby == Standby::AwaitingReplicas => {
                *standby = Standby::Watching
            }
            State::Inactive(_) | State::Phase1(_) => {}
        }
        let nudge = heartbeat.nudge_below;
        self.replicas.hear(&self.config, self.now, self.chosen_below, heartbeat);
        self.settle_asked_view();
        self.look_for_lost_votes();
        if let Some(below) = nudge {
            self.fill_below(below);
        }
        self.consider_view();
    }

    /// Whether the numbers of a heartbeat can be so; else it counts for nothing.
    ///
    /// # Errors
    /// With the number that cannot.
    pub fn check_heartbeat(&self, heartbeat: &Heartbeat) -> Result<(), TooFar> {
        self.replicas.check(self.chosen_below, heartbeat)
    }

    /// Proposes no-ops up to a slot that somebody has seen a vote above: a vote that no
    /// leader's Phase 1 has met.
    fn fill_below(&mut self, below: Slot) {
        let State::Phase2(leader) = &mut self.state else { return };
        if leader.ahead.is_some() {
            return;
        }
        // A read waits for what acceptors have voted in, which is no farther ahead.
        let below = below.min(Slot(self.chosen_below.0.saturating_add(OPEN_SLOTS)));
        let noop = Value::Noop.encode();
        let mut values = Vec::new();
        while leader.phase2.next_slot() < below
            && leader.phase2.refusal(&self.config, noop.len()).is_none()
        {
            values.push(leader.phase2.propose_own(self.now, noop.clone()));
        }
        if !values.is_empty() {
            self.send_values(values);
        }
    }

    pub(super) fn consider_view(&mut self) {
        let State::Phase2(leader) = &self.state else { return };
        if leader.ahead.is_some() || self.awaits_view() {
            return;
        }
        if let Some(view) = next_view(&self.config, self.now, &self.replicas, self.trimmed_below) {
            let value = Value::View(view.clone()).encode();
            self.propose_view(view, value);
        }
    }

    /// Whether a view was proposed, and the next one must wait for what comes of it.
    pub(super) fn awaits_view(&mut self) -> bool {
        let State::Phase2(leader) = &mut self.state else { return false };
        let Some(proposed) = &mut leader.view else { return false };
        if leader.phase2.is_chosen(proposed.slot) {
            proposed.chosen_at.get_or_insert(self.now);
        }
        proposed.holds_back(&self.config, self.now, &self.replicas)
    }

    /// Proposes a view, as the value that says it, unless that is too much now.
    pub(super) fn propose_view(&mut self, view: View, value: EncodedValue) {
        let State::Phase2(leader) = &mut self.state else { return };
        if leader.phase2.refusal(&self.config, value.len()).is_some() {
            return;
        }
        let proposed = leader.phase2.propose_own(self.now, value);
        let (epoch, primary, slot) = (view.epoch, view.primary.clone(), proposed.slot);
        leader.view = Some(ProposedView { epoch, primary, slot, chosen_at: None });
        self.effects.push(Effect::ViewProposed { slot: proposed.slot, view });
        self.send_values(vec![proposed]);
    }

    pub(super) fn resolve(&mut self, resolved: Resolved) {
        self.effects.extend(resolved.entries.into_iter().map(Effect::Chosen));
        self.effects.extend(
            resolved.replies.into_iter().map(|(id, reply)| Effect::ProposalReply { id, reply }),
        );
    }

    pub(super) fn send_values(&mut self, values: Vec<SlotValue>) {
        let State::Phase2(leader) = &self.state else { return };
        let accepts = leader.phase2.accepts(&self.config, values);
        self.broadcast(&accepts);
    }

    fn broadcast(&mut self, accepts: &[Accept]) {
        for message in accepts {
            self.effects.extend(
                self.membership.indices().map(|to| Effect::Accept { to, message: message.clone() }),
            );
        }
    }
}
