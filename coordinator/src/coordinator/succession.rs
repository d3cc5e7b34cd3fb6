//! Other acceptors: what a leader does who is asked for them, and what every coordinator
//! does once the stop of a generation is chosen.
//!
//! A leader that is asked takes no more batches and waits until all that it gave away is
//! chosen, and durable at the replicas as far as trimming demands. Then nothing is left
//! that only the leaving acceptors have, and what the next ones lack counts as trimmed.
//! It proposes the stop in its next slot, and nothing after it. Once that is chosen it is
//! carried to its end by whoever knows of it ([`Handover`]).
//!
//! Where a leader ends before the stop is chosen, the next one finds a vote for it in
//! Phase 1 and proposes it again, or finds none, and then it was not chosen.

use shared::bounds::{SLOTS_AHEAD, TooFar, within};
use shared::message::{
    AcceptorsRefused, AcceptorsReply, AcceptorsRequest, Phase, PrimaryReply, ProposalReply, Seated,
    Succession, SuccessionReply, SuccessionRequest,
};

use super::wanted::Resolved;
use super::{Coordinator, State};
use crate::effect::{AcceptorIndex, Effect, Reason, RequestId, Survey};
use crate::election::Standby;
use crate::membership::Novelty;
use crate::membership::foreign::ForeignAcceptor;
use crate::replicas::trimming::not_durable_at;
use crate::succession::{Handover, Stage};

/// What a leader was asked for, until it proposes the stop.
#[derive(Clone, Debug)]
pub(super) struct Draining {
    request: AcceptorsRequest,
    pub(super) next: Seated,
    /// Under whose number the looks are.
    looks_as: RequestId,
    pub(super) waiters: Vec<RequestId>,
    /// All is looked at once more, and what comes of that is awaited.
    pub(super) is_looking: bool,
    /// Of its heartbeats: then it gives up, and nothing has changed.
    pub(super) patience: u64,
}

/// Who waits for a generation to begin, and of which acceptors.
#[derive(Clone, Debug)]
pub(super) struct AwaitedGeneration {
    request: AcceptorsRequest,
    next: Seated,
    waiters: Vec<RequestId>,
}

impl Coordinator {
    pub(super) fn on_acceptors_request(
        &mut self,
        id: RequestId,
        request: AcceptorsRequest,
        survey: &Survey,
    ) {
        let ours =
            self.membership.roster().is_some_and(|roster| roster.cluster() == request.cluster);
        if !ours || self.phase() != Phase::Phase2 {
            return self.answer_acceptors(id, AcceptorsReply::NotLeading);
        }
        if self.joins_change(id, &request) {
            return;
        }
        let State::Phase2(leader) = &self.state else { return };
        let is_under_way =
            leader.draining.is_some() || leader.phase2.stop().is_some() || self.handover.is_some();
        let resolved = if is_under_way {
            Err(AcceptorsRefused::ChangeUnderWay)
        } else if let Some(ahead) = &leader.ahead {
            Err(AcceptorsRefused::NotDurable(Self::refuses_for(ahead)))
        } else {
            self.judge_wanted(&request, survey)
        };
        match resolved {
            Err(why) => self.answer_acceptors(id, AcceptorsReply::Refused(why)),
            Ok(Resolved::Done) => self.answer_done(id),
            Ok(Resolved::To(next)) => {
                let patience = self.config.max_heartbeats_draining;
                if let State::Phase2(leader) = &mut self.state {
                    leader.draining = Some(Draining {
                        request,
                        next,
                        looks_as: id,
                        waiters: vec![id],
                        is_looking: false,
                        patience,
                    });
                }
                self.consider_stop();
            }
        }
    }

    /// Whoever asks again for what is under way waits with the others.
    fn joins_change(&mut self, id: RequestId, request: &AcceptorsRequest) -> bool {
        let State::Phase2(leader) = &mut self.state else { return false };
        let draining = leader.draining.as_mut().map(|draining| {
            let Draining { request, waiters, .. } = draining;
            (&*request, waiters)
        });
        let awaited = self.awaited_generation.as_mut().map(|awaited| {
            let AwaitedGeneration { request, waiters, .. } = awaited;
            (&*request, waiters)
        });
        let Some((_, waiters)) = draining.or(awaited).filter(|(asked, _)| *asked == request) else {
            return false;
        };
        let has_room = waiters.len() < self.config.max_waiters_per_slot;
        if has_room {
            waiters.push(id);
        }
        has_room
    }

    fn answer_done(&mut self, id: RequestId) {
        let seated = self.membership.seated().expect("a leader knows its roster");
        let not_heard = Vec::new();
        self.answer_acceptors(id, AcceptorsReply::Changed { seated, not_heard });
    }

    /// Whether nothing is left that only the leaving acceptors have. Enough replicas are those
    /// of the view that was made by the last of it: one may have been taken out there.
    fn may_stop(&self) -> bool {
        let State::Phase2(leader) = &self.state else { return false };
        let next_slot = leader.phase2.next_slot();
        leader.ahead.is_none()
            && leader.phase2.is_drained()
            && self.replicas.tell_of_view_at(next_slot)
    }

    /// Has all looked at once more, where only the stop is left to propose.
    pub(super) fn consider_stop(&mut self) {
        if !self.may_stop() {
            return;
        }
        let mut urls = self.membership.seated().expect("a leader knows its roster").urls;
        let State::Phase2(leader) = &mut self.state else { return };
        let Some(draining) = leader.draining.as_mut().filter(|draining| !draining.is_looking)
        else {
            return;
        };
        draining.is_looking = true;
        let comes = |url: &&String| !urls.contains(url);
        let next: Vec<String> = draining.next.urls.iter().filter(comes).cloned().collect();
        urls.extend(next);
        self.effects.push(Effect::Survey { id: draining.looks_as, urls });
    }

    /// All was looked at: proposes the stop if the change may still be, and there is still
    /// nothing else to propose first.
    pub(super) fn on_surveyed(&mut self, id: RequestId, survey: &Survey) {
        let may_stop = self.may_stop();
        let State::Phase2(leader) = &mut self.state else { return };
        let Some(draining) = leader.draining.as_mut().filter(|draining| draining.looks_as == id)
        else {
            return;
        };
        draining.is_looking = false;
        if !may_stop {
            return;
        }
        let request = draining.request.clone();
        let resolved = self.judge_wanted(&request, survey);
        let State::Phase2(leader) = &mut self.state else { return };
        let draining = leader.draining.take();
        let waiters = draining.map_or_else(Vec::new, |draining| draining.waiters);
        match resolved {
            Err(why) => self.answer_all(waiters, &AcceptorsReply::Refused(why)),
            Ok(Resolved::Done) => waiters.into_iter().for_each(|id| self.answer_done(id)),
            Ok(Resolved::To(next)) => {
                self.propose_stop(AwaitedGeneration { request, next, waiters })
            }
        }
    }

    fn propose_stop(&mut self, awaited: AwaitedGeneration) {
        let State::Phase2(leader) = &mut self.state else { return };
        let begin = leader.phase2.next_slot();
        let present = self.membership.seated().expect("a leader knows its roster");
        let succession =
            Succession::new(present, awaited.next.clone(), begin).expect("it was checked");
        let value = leader.phase2.propose_stop(self.now, succession);
        self.awaited_generation = Some(awaited);
        self.send_values(vec![value]);
    }

    /// A heartbeat of a leader has passed: it does not wait for ever.
    pub(super) fn count_draining(&mut self) {
        let State::Phase2(leader) = &mut self.state else { return };
        let next_slot = leader.phase2.next_slot();
        let Some(draining) = &mut leader.draining else { return };
        draining.patience = draining.patience.saturating_sub(1);
        if draining.patience > 0 {
            return;
        }
        let waiters = std::mem::take(&mut draining.waiters);
        leader.draining = None;
        let why = not_durable_at(&self.config, self.now, &self.replicas, next_slot);
        let words = why.map_or_else(|| "it takes too long".to_owned(), |why| why.words);
        let refused = AcceptorsRefused::NotDurable(words);
        self.answer_all(waiters, &AcceptorsReply::Refused(refused));
    }

    /// Looks whether the stop that this leader proposed is chosen.
    pub(super) fn look_for_stop(&mut self) {
        let State::Phase2(leader) = &self.state else { return };
        if let Some(succession) = leader.phase2.chosen_stop().cloned() {
            self.learn_succession(&succession).expect("it begins at a slot of this leader's");
        }
    }

    /// An acceptor says of which generation it is.
    pub(super) fn on_succession_reply(&mut self, from: AcceptorIndex, reply: &SuccessionReply) {
        if let Some(Err(why)) = reply.latest().map(|latest| self.learn_succession(latest)) {
            return self.refuse(from, why);
        }
        let Some(handover) = &mut self.handover else { return };
        if handover.take(from, reply) {
            self.carry_on();
        }
    }

    /// A generation has ended: that is chosen. One that begins where nobody can be is not
    /// believed.
    pub(super) fn learn_succession(&mut self, succession: &Succession) -> Result<(), TooFar> {
        let is_ours = match self.membership.roster() {
            Some(_) => self.membership.is_beyond(&succession.next().roster),
            None => self.membership.is_named_by_most(succession.cluster()),
        };
        let is_known = self
            .handover
            .as_ref()
            .is_some_and(|handover| handover.succession().generation() >= succession.generation());
        if !is_ours || is_known {
            return Ok(());
        }
        within("begin", succession.begin().0, self.chosen_below.0, SLOTS_AHEAD)?;
        let previous = self.places_of(succession.previous());
        let next = self.places_of(succession.next());
        self.effects.push(Effect::SuccessionKnown(succession.clone()));
        self.handover = Some(Handover::new(succession.clone(), previous, next));
        self.carry_on();
        Ok(())
    }

    fn places_of(&mut self, seated: &Seated) -> Vec<AcceptorIndex> {
        let mut places = Vec::new();
        for url in &seated.urls {
            let (at, novelty) = self.membership.place_of(url);
            if novelty == Novelty::New {
                self.effects.push(Effect::NewAcceptor { at, url: url.clone() });
            }
            places.push(at);
        }
        places
    }

    /// Says what is to be said for a change that is under way, or ends it.
    pub(super) fn carry_on(&mut self) {
        let Some(handover) = &self.handover else { return };
        if handover.stage() == Stage::Over {
            return self.begin_generation();
        }
        let requests = handover.requests();
        self.effects
            .extend(requests.into_iter().map(|(to, request)| Effect::Succession { to, request }));
    }

    /// A quorum of the next generation is opened: from now on it is the present one. Whoever
    /// led the one before goes through Phase 1 at once.
    fn begin_generation(&mut self) {
        let Some(handover) = self.handover.take() else { return };
        let (phase, ballot) = (self.phase(), self.ballot());
        let before = std::mem::replace(&mut self.state, State::Inactive(Standby::Watching));
        if let Some(ballot) = ballot {
            self.change_phase(phase, Phase::Inactive, ballot, Reason::Succeeded);
        }
        if let State::Phase2(leader) = before {
            let asked = leader.asked_view.into_iter().flat_map(|asked| asked.waiters);
            asked.for_each(|id| self.answer_primary(id, PrimaryReply::Unresolved));
            let draining = leader.draining.map_or_else(Vec::new, |draining| draining.waiters);
            self.answer_all(draining, &AcceptorsReply::Refused(AcceptorsRefused::ChangeUnderWay));
            let waiters: Vec<RequestId> = leader.phase2.into_waiters().collect();
            waiters.into_iter().for_each(|id| self.answer(id, ProposalReply::Unresolved));
        }
        let succession = handover.succession();
        self.membership.succeed(succession.clone(), handover.next());
        self.chosen_below = self.chosen_below.max(succession.begin());
        self.trimmed_below = self.trimmed_below.max(succession.begin());
        self.formation_error = None;
        self.effects.push(Effect::Succeeded(succession.clone()));
        if phase == Phase::Phase2 {
            self.start_phase1(Reason::Succeeded);
        } else {
            self.answers_since = self.poll_and_arm();
        }
    }

    /// Tells who waits for it that a generation has begun, if a coordinator leads in it: the
    /// one that was asked for, or another that was chosen in its place.
    pub(super) fn settle_generation(&mut self) {
        let Some(seated) = self.membership.seated() else { return };
        let generation = seated.roster.generation();
        let is_here =
            |awaited: &mut AwaitedGeneration| generation >= awaited.next.roster.generation();
        let Some(AwaitedGeneration { next, waiters, .. }) =
            self.awaited_generation.take_if(is_here)
        else {
            return;
        };
        let reply = if seated == next {
            AcceptorsReply::Changed { seated, not_heard: Vec::new() }
        } else if generation == next.roster.generation() {
            AcceptorsReply::Refused(AcceptorsRefused::Overtaken)
        } else {
            // Which one came before it is not known here any more.
            AcceptorsReply::Unresolved
        };
        self.answer_all(waiters, &reply);
    }

    /// Leadership has ended before a change was over: of a stop that was proposed nothing is
    /// known.
    pub(super) fn give_up_generation(&mut self) {
        if let Some(awaited) = self.awaited_generation.take() {
            self.answer_all(awaited.waiters, &AcceptorsReply::Unresolved);
        }
    }

    /// Whether somebody who is not counted here is an acceptor of this cluster, only of
    /// another generation; then one of the two is told of the later one.
    pub(super) fn is_of_other_generation(
        &mut self,
        at: AcceptorIndex,
        foreign: &ForeignAcceptor,
    ) -> bool {
        let ForeignAcceptor { acceptor, roster } = foreign;
        if roster.as_ref().is_some_and(|roster| self.membership.is_beyond(roster)) {
            let request = SuccessionRequest::Tell;
            self.effects.push(Effect::Succession { to: at, request });
            return true;
        }
        let Some(succession) = self.membership.succession() else { return false };
        let is_earlier = roster.as_ref().is_none_or(|roster| {
            roster.cluster() == succession.cluster()
                && roster.generation() <= succession.generation()
        });
        let is_to_open = succession.next().roster.contains(*acceptor) && is_earlier;
        if is_to_open {
            let request = SuccessionRequest::Open(succession.clone());
            self.effects.push(Effect::Succession { to: at, request });
        }
        is_to_open
    }

    pub(super) fn answer_all(&mut self, waiters: Vec<RequestId>, reply: &AcceptorsReply) {
        waiters.into_iter().for_each(|id| self.answer_acceptors(id, reply.clone()));
    }

    pub(super) fn answer_acceptors(&mut self, id: RequestId, reply: AcceptorsReply) {
        self.effects.push(Effect::AcceptorsReply { id, reply });
    }
}
