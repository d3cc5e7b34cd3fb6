//! What is asked of the coordinators and acceptors, and what their answers change.

use std::time::Duration;

use shared::ids::{BatchNumber, Epoch, Name, Slot};
use shared::message::{
    ChosenEntry, Heartbeat, HeartbeatReply, Member, Proposal, ProposalReply, Service, Watermarks,
};

use super::{Armed, Replica};
use crate::replica::batching::Made;
use crate::replica::event::{Attempt, Effect, NoAnswer, ProbeId, Timer};
use crate::replica::fetching::Leader;
use crate::replica::history::{History, OthersInView};
use crate::replica::learner::Claimant;
use crate::replica::quorum_read::Late;

impl Replica {
    pub(super) fn own_member(&self) -> Member {
        let identity = self.identity.clone();
        Member {
            name: identity.name,
            service: Service::Replica,
            url: identity.url,
            instance: identity.instance,
        }
    }

    /// Makes batches of what waits, and proposes what is to be proposed.
    pub(super) fn propose_due(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.carry_time(now, effects);
        if self.batching.queued() == 0 && !self.batching.is_flying() {
            return;
        }
        let (epoch, leader) = (self.meta.epoch(), self.members.leader(now));
        // What is in a batch may be chosen yet once somebody leads, so nothing goes into
        // one while nobody does: what is given up until then did not happen.
        if leader.is_none() {
            self.search_leader(effects);
        } else {
            while let Some(made) = self.batching.next_batch(now) {
                match made {
                    Made::Untraced => {}
                    Made::Traced { number, requests } => {
                        effects.push(Effect::StartBatch { epoch, number, requests })
                    }
                }
            }
        }
        if !self.batching.is_flying() {
            return;
        }
        if let (Some(cluster), Some(leader)) = (self.cluster, leader) {
            for due in self.batching.due(now, &leader) {
                let proposal = Proposal { cluster, epoch, number: due.number, value: due.value };
                effects.push(Effect::Propose {
                    to: leader.member.clone(),
                    attempt: due.attempt,
                    proposal,
                });
            }
        }
        if self.propose_timer == Armed::No {
            self.propose_timer = Armed::Yes;
            let backoff = self.config.proposal_backoff;
            effects.push(Effect::Arm { timer: Timer::Propose, after: backoff, jitter: backoff });
        }
    }

    /// Mutations wait for somebody to lead.
    fn search_leader(&mut self, effects: &mut Vec<Effect>) {
        if self.search_timer == Armed::No {
            self.search_timer = Armed::Yes;
            let after = self.config.leader_search;
            effects.push(Effect::Arm { timer: Timer::Search, after, jitter: Duration::ZERO });
        }
    }

    pub(super) fn proposal_reply(
        &mut self,
        epoch: Epoch,
        number: BatchNumber,
        attempt: Attempt,
        reply: Result<ProposalReply, NoAnswer>,
        (now, effects): (Duration, &mut Vec<Effect>),
    ) {
        match reply {
            Ok(ProposalReply::Chosen { slot, .. }) if self.refuses_slot(slot, effects) => {
                self.batching.refused(epoch, number, attempt, None);
            }
            Ok(ProposalReply::Chosen { slot, ballot, chosen_below }) => {
                if let Some(value) =
                    self.batching.chosen(epoch, number, slot, self.meta.executed_below)
                {
                    self.learner.learn(ChosenEntry { slot, ballot, value });
                }
                self.note_chosen(now, Claimant::Leader, chosen_below, effects);
            }
            Ok(ProposalReply::NotLeading) | Err(NoAnswer) => {
                if let Some(coordinator) = self.batching.refused(epoch, number, attempt, None) {
                    self.members.does_not_lead(&coordinator);
                }
            }
            Ok(ProposalReply::Overloaded { limit }) => {
                self.batching.refused(epoch, number, attempt, Some(&limit));
            }
            Ok(ProposalReply::Unresolved) => {
                self.batching.refused(epoch, number, attempt, None);
            }
        }
    }

    /// Takes somebody's word for what is chosen, if it can be so.
    pub(super) fn note_chosen(
        &mut self,
        now: Duration,
        from: Claimant,
        below: Slot,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(why) = self.learner.note_chosen(now, from.clone(), below) {
            effects.push(Effect::ClaimRefused { from, why });
        }
    }

    /// Whether a batch cannot be chosen where a coordinator says.
    fn refuses_slot(&self, slot: Slot, effects: &mut Vec<Effect>) -> bool {
        let refused = self.learner.check_slot("slot", slot).err();
        effects.extend(refused.map(|why| Effect::ClaimRefused { from: Claimant::Leader, why }));
        refused.is_some()
    }

    /// Goes on without having compared histories, where nobody is left to compare with.
    pub(super) fn settle_history(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let others = OthersInView::of(self.meta.view.as_ref(), &self.identity);
        let known_for = now.saturating_sub(self.cluster_since);
        if self.cluster.is_some()
            && self.history.is_settled_by(known_for, self.config.history_patience, others)
        {
            self.confirm_history(effects);
        }
    }

    pub(super) fn confirm_history(&mut self, effects: &mut Vec<Effect>) {
        if self.history != History::Confirmed {
            self.history = History::Confirmed;
            self.learner.overrule();
            self.release(effects);
        }
    }

    /// Nothing more is answered, nor taken from a coordinator, once a batch says that the log
    /// here is not the one that it continues.
    pub(super) fn look_for_dispute(&mut self, effects: &mut Vec<Effect>) {
        if self.history != History::Disputed
            && let Some(dispute) = self.learner.dispute()
        {
            self.history = History::Disputed;
            effects.push(Effect::HistoryDisputed(dispute));
        }
    }

    pub(super) fn probe_reply(
        &mut self,
        now: Duration,
        probe: ProbeId,
        reply: Result<Watermarks, NoAnswer>,
        effects: &mut Vec<Effect>,
    ) {
        if let Ok(watermarks) = &reply {
            let roster = watermarks.roster.as_ref();
            let of_ours = roster.filter(|roster| self.joined == Some(roster.cluster()));
            if let Some(roster) = of_ours {
                self.reads.hear_of(now, roster.generation(), effects);
            }
            match self.reads.answer_late(now, probe, watermarks) {
                Late::Lowered => return self.release(effects),
                Late::VotesLost(lost) => return effects.push(Effect::WrongHistory(lost)),
                Late::Unchanged => {}
            }
        }
        let Some(verdict) = self.reads.answer(now, probe, reply, effects) else { return };
        let found = verdict.cluster;
        match self.joined {
            Some(expected) if expected != found => {
                effects.push(Effect::WrongCluster { expected, found });
                self.reads.back_off(now, effects);
                return;
            }
            Some(_) if verdict.voted_below == self.joined_at || self.knows_when_it_joined() => {}
            Some(_) | None => {
                (self.joined, self.joined_at) = (Some(found), verdict.voted_below);
                effects.push(Effect::Join { cluster: found, at: self.joined_at });
            }
        }
        if let Some(lost) = verdict.lost_votes(self.reads.executed_at_probe()) {
            effects.push(Effect::WrongHistory(lost));
            self.reads.back_off(now, effects);
            return;
        }
        if self.cluster.is_none() {
            self.cluster = Some(found);
            self.cluster_since = now;
            self.settle_history(now, effects);
            self.send_heartbeats(now, effects);
        }
        self.note_chosen(now, Claimant::Acceptors, verdict.chosen_below, effects);
        self.reads.conclude(now, verdict, effects);
        self.release(effects);
    }

    /// A program before removals has not noted it. Where nothing is executed the data may be
    /// younger than any removal, and joins anew: it has nothing that was taken out.
    fn knows_when_it_joined(&self) -> bool {
        let is_empty = self.meta.executed_below == Slot(0) && self.joined_at == Slot(0);
        self.cluster.is_some() || !is_empty
    }

    /// Says to every coordinator that this replica is alive, and what it waits for; once it
    /// is out for good nothing more, for it would join by that.
    pub(super) fn send_heartbeats(&self, now: Duration, effects: &mut Vec<Effect>) {
        let Some(cluster) = self.cluster.filter(|_| self.removal().is_none()) else { return };
        let overdue =
            now.checked_sub(self.config.nudge_after).and_then(|since| self.reads.overdue(since));
        // It joins by the view that it tells of: so it tells of none before it has executed
        // what a removal may stand in that is older than its data.
        let is_past_joining = self.meta.executed_below >= self.joined_at;
        let awaited = overdue.or((!is_past_joining).then_some(self.joined_at));
        let message = Heartbeat {
            cluster,
            replica: self.identity.name.clone(),
            instance: self.identity.instance,
            url: self.identity.url.clone(),
            view: self.meta.view.clone().filter(|_| is_past_joining),
            executed_below: self.stored.executed_below,
            hash: self.stored.hash,
            // What may be of another history is no copy of this one.
            durable_below: match self.history {
                History::Confirmed => self.durable_below,
                History::Unconfirmed | History::Disputed => Slot(0),
            },
            highest_format: self.config.highest_format,
            storage: self.storage,
            nudge_below: awaited.filter(|slot| *slot > self.learner.chosen_below()),
        };
        effects.extend(
            self.members
                .coordinators()
                .map(|to| Effect::Heartbeat { to: to.clone(), message: message.clone() }),
        );
    }

    pub(super) fn heartbeat_reply(
        &mut self,
        now: Duration,
        from: &Name,
        reply: Result<HeartbeatReply, NoAnswer>,
        effects: &mut Vec<Effect>,
    ) {
        let far = |reply: &HeartbeatReply| {
            let round = reply.ballot.map_or(0, |ballot| ballot.round);
            self.fetching.check_round(round).err()
        };
        let refused = reply.as_ref().ok().and_then(far);
        let from_it = || Claimant::Coordinator(from.clone());
        effects.extend(refused.map(|why| Effect::ClaimRefused { from: from_it(), why }));
        match reply.and_then(|reply| if refused.is_none() { Ok(reply) } else { Err(NoAnswer) }) {
            Ok(reply) => {
                self.members.heard(now, from, &reply);
                self.note_chosen(
                    now,
                    Claimant::Coordinator(from.clone()),
                    reply.chosen_below,
                    effects,
                );
                let leader =
                    self.fetching.led(self.members.leader(now).map(|leader| leader.ballot));
                if leader == Leader::New && self.learner.is_behind() {
                    self.fetching.restart();
                }
            }
            Err(NoAnswer) => self.members.does_not_lead(from),
        }
    }
}
