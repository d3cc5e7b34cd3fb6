//! The coordinator's core: one state machine, `Inactive → Phase1 → Phase2 → Inactive`.
//!
//! ```text
//!             a quorum of acceptors is silent about        all pages from a quorum
//!             a leader, twice, a random time apart         are here
//!  Inactive ──────────────────────────────────▶ Phase1 ───────────────────────────▶ Phase2
//!     ▲                                           │                                  │
//!     └───── a higher ballot was promised, ◀──────┴──────────────────────────────────┘
//!            or no quorum answers
//! ```
//!
//! It is the distinguished proposer of Lamport, *Paxos Made Simple*, sections 2.4 and 3,
//! and the leader of van Renesse and Altinbuken, *Paxos Made Moderately Complex*: scout
//! ([`phase1`](crate::phase1)) and commanders (`phase2`). It keeps nothing over a restart
//! and needs to keep nothing: its identity is drawn fresh at each start, so its ballots
//! are new.
//!
//! What it does *not* do: look into values (it builds views and no-ops, it never reads
//! any), order clients, or hold a lease. Safety rests on ballots alone: a coordinator
//! that was paused for an hour wakes up as a leader of an old ballot, and the first
//! answer that it gets tells it so.

use std::time::Duration;

use shared::bounds::TooFar;
use shared::ids::{AcceptorId, Ballot, CoordinatorId, Instance, Slot};
use shared::message::{AcceptorsReply, Marks, Phase, PrimaryReply, ProposalReply};

use crate::config::Config;
use crate::effect::{
    AcceptorIndex, Effect, Input, PhaseChange, PollNumber, Reason, RequestId, Timer,
};
use crate::election::{Ended, Failures, Standby};
use crate::liveness::Liveness;
use crate::membership::Membership;
use crate::membership::foreign::ForeignAcceptor;
use crate::membership::formation::FormationError;
use crate::phase1::Phase1;
use crate::phase2::Phase2;
use crate::replicas::Replicas;
use crate::replicas::view_change::ProposedView;
use crate::succession::Handover;

mod candidate;
mod footprint;
mod invariants;
mod leader;
mod lost;
mod status;
mod succession;
mod switch_over;
mod wanted;

pub use lost::Trouble;
pub use status::{AcceptorSeen, ChosenLookup, Status, Waiting};

/// What a leader knows.
#[derive(Clone, Debug)]
struct Leader {
    phase2: Phase2,
    liveness: Liveness,
    view: Option<ProposedView>,
    /// Where that one was asked for, who waits for it.
    asked_view: Option<switch_over::AskedView>,
    leaving: switch_over::Leaving,
    ahead: Option<lost::Ahead>,
    /// Other acceptors are asked for: no batches are taken.
    draining: Option<succession::Draining>,
}

/// Whether what an acceptor says can be so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Believed {
    Yes,
    No,
}

#[derive(Clone, Debug)]
enum State {
    Inactive(Standby),
    Phase1(Phase1),
    Phase2(Box<Leader>),
}

/// The coordinator. All it does follows from the inputs of [`Coordinator::step`].
#[derive(Clone, Debug)]
pub struct Coordinator {
    config: Config,
    id: CoordinatorId,
    now: Duration,
    state: State,
    membership: Membership,
    /// The change of the acceptors that is under way.
    handover: Option<Handover>,
    /// Who asked for it.
    awaited_generation: Option<succession::AwaitedGeneration>,
    formation_error: Option<FormationError>,
    /// The highest ballot seen anywhere in the cluster, this coordinator's own ones
    /// included.
    highest_ballot: Option<Ballot>,
    /// The highest round in which this one has stood: never again at or below it, whatever
    /// others say by then, for a late answer to a ballot counts for whoever has that ballot.
    stood_at: u64,
    /// Facts: every slot below is chosen; every slot below is gone from some acceptor.
    chosen_below: Slot,
    trimmed_below: Slot,
    replicas: Replicas,
    failures: Failures,
    ended: Ended,
    /// In an election, answers to this poll and later ones count.
    answers_since: PollNumber,
    effects: Vec<Effect>,
}

impl Coordinator {
    /// A coordinator that stands by. The identity must never have been used before, by
    /// any process.
    #[must_use]
    pub fn new(config: Config, id: CoordinatorId) -> Self {
        let membership = Membership::new(config.acceptors.clone());
        Self {
            config,
            id,
            now: Duration::ZERO,
            state: State::Inactive(Standby::Watching),
            membership,
            handover: None,
            awaited_generation: None,
            formation_error: None,
            highest_ballot: None,
            stood_at: 0,
            chosen_below: Slot(0),
            trimmed_below: Slot(0),
            replicas: Replicas::default(),
            failures: Failures::default(),
            ended: Ended::default(),
            answers_since: PollNumber(0),
            effects: Vec::new(),
        }
    }

    /// Takes up an input and says what is to be done. `now` is the time since the process
    /// started; should it go back, it is taken to stand still.
    pub fn step(&mut self, now: Duration, input: Input) -> Vec<Effect> {
        if now.saturating_sub(self.now) > self.config.pause_threshold {
            self.replicas.resume_listening(now);
        }
        self.now = self.now.max(now);
        match input {
            Input::Started => {
                self.poll_and_arm();
            }
            Input::Fired(timer) => self.on_fired(timer),
            Input::Watermarks { from, poll, reply } => self.on_watermarks(from, poll, reply),
            Input::PrepareReply { from, ballot, reply } => {
                self.on_prepare_reply(from, ballot, reply)
            }
            Input::AcceptReply { from, ballot, reply } => self.on_accept_reply(from, ballot, reply),
            Input::Proposal { id, proposal } => self.on_proposal(id, proposal),
            Input::Heartbeat(heartbeat) => self.on_heartbeat(heartbeat),
            Input::PrimaryRequest { id, request } => self.on_primary_request(id, request),
            Input::SuccessionReply { from, reply } => self.on_succession_reply(from, &reply),
            Input::Acceptors { id, request, survey } => {
                self.on_acceptors_request(id, request, &survey)
            }
            Input::Surveyed { id, survey } => self.on_surveyed(id, &survey),
            Input::SuccessionTold(succession) => {
                // Who said so is not known here; what an acceptor says is refused by name.
                let _refused = self.learn_succession(&succession);
            }
            Input::Ended(instance) => self.on_ended(instance),
            Input::LeaderEnds(coordinator) => self.on_leader_ends(coordinator),
        }
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
        std::mem::take(&mut self.effects)
    }

    fn on_fired(&mut self, timer: Timer) {
        match (timer, &mut self.state) {
            (Timer::Poll, State::Inactive(_)) => {
                self.poll_and_arm();
            }
            (Timer::Election, State::Inactive(standby)) => match standby {
                Standby::StandingBack | Standby::AwaitingReplicas => *standby = Standby::Watching,
                Standby::Armed => {
                    *standby = Standby::Rechecking;
                    self.answers_since = self.poll();
                }
                Standby::Watching | Standby::Rechecking => {}
            },
            (Timer::Prepare, State::Phase1(phase1)) => {
                if self.now >= phase1.deadline() {
                    self.stand_by(Reason::Phase1TimedOut);
                } else {
                    self.send_prepares();
                    self.carry_on();
                }
            }
            (Timer::Lead, State::Phase2(_)) => self.lead(),
            // Left over from another state.
            (
                Timer::Poll | Timer::Election | Timer::Prepare | Timer::Lead,
                State::Inactive(_) | State::Phase1(_) | State::Phase2(_),
            ) => {}
        }
    }

    /// A service's process is over: a replica's, or else a coordinator's.
    fn on_ended(&mut self, instance: Instance) {
        if self.replicas.ended(self.now, instance) {
            self.consider_view();
        } else {
            self.on_leader_ends(CoordinatorId(instance.0));
        }
    }

    /// A coordinator leads no more, or will not for long.
    fn on_leader_ends(&mut self, coordinator: CoordinatorId) {
        self.ended.note(coordinator);
        self.consider_election();
    }

    /// A nack counts when it names a ballot above the present one, whichever request it
    /// answers; a late one for an older ballot of this coordinator's does not.
    fn on_nack(&mut self, from: AcceptorIndex, acceptor: AcceptorId, promised: Ballot) {
        if self.admit(from, acceptor) {
            self.learn_ballot(from, Some(promised));
        }
    }

    /// An acceptor has promised this ballot, or so it says.
    fn learn_ballot(&mut self, from: AcceptorIndex, seen: Option<Ballot>) {
        let own = self.ballot();
        if let Some(ballot) = seen {
            self.membership.promised(from, ballot);
            if let Err(why) = self.membership.check_ballot(ballot) {
                return self.refuse(from, why);
            }
        }
        self.highest_ballot = self.highest_ballot.max(seen);
        if let (Some(own), Some(seen)) = (own, seen)
            && seen > own
        {
            self.stand_by(Reason::Outbid(seen));
        }
    }

    /// Whether the watermarks of an acceptor can be believed.
    fn believes(&mut self, from: AcceptorIndex, marks: Marks) -> Believed {
        match Membership::check_marks(self.chosen_below, marks) {
            Ok(()) => Believed::Yes,
            Err(why) => {
                self.refuse(from, why);
                Believed::No
            }
        }
    }

    fn refuse(&mut self, at: AcceptorIndex, why: TooFar) {
        if self.membership.refused(at, why) {
            self.effects.push(Effect::ClaimRefused { at, why });
        }
    }

    fn learn_marks_of(&mut self, from: AcceptorIndex, marks: Marks) {
        match self.believes(from, marks) {
            Believed::Yes => self.learn_marks(marks),
            Believed::No => {}
        }
    }

    fn learn_marks(&mut self, marks: Marks) {
        self.trimmed_below = self.trimmed_below.max(marks.trimmed_below);
        self.chosen_below = self.chosen_below.max(marks.chosen_below).max(marks.trimmed_below);
        if let State::Phase2(leader) = &mut self.state {
            let resolved = leader.phase2.learn_chosen_below(self.chosen_below);
            self.chosen_below = leader.phase2.chosen_below();
            self.resolve(resolved);
        }
    }

    /// Takes note of an answer; false when it comes from one without a vote.
    fn admit(&mut self, from: AcceptorIndex, acceptor: AcceptorId) -> bool {
        let member = self.membership.roster().is_some_and(|roster| roster.contains(acceptor));
        if member {
            self.membership.heard(self.now, from, acceptor);
        } else {
            self.on_foreign_acceptor(from, ForeignAcceptor { acceptor, roster: None });
        }
        member
    }

    fn on_foreign_acceptor(&mut self, at: AcceptorIndex, foreign: ForeignAcceptor) {
        if self.is_of_other_generation(at, &foreign) {
            return;
        }
        if self.membership.foreign(at, &foreign) {
            self.effects.push(Effect::ForeignAcceptor { at, foreign });
        }
    }

    /// Ends Phase 1 or leadership.
    fn stand_by(&mut self, reason: Reason) {
        let standby = match reason {
            Reason::Outbid(_) => Standby::Watching,
            Reason::Phase1TimedOut | Reason::QuorumSilent => Standby::StandingBack,
            Reason::ReplicasSilent => Standby::AwaitingReplicas,
            Reason::LeaderSilent
            | Reason::LeaderEnded
            | Reason::NoLeaderYet
            | Reason::Promised
            | Reason::Succeeded => {
                unreachable!("{reason:?} ends no leadership")
            }
        };
        let (from, Some(ballot)) = (self.phase(), self.ballot()) else { return };
        // Whoever led well and had nobody to lead has not failed: else no coordinator
        // would be quick when replicas come back.
        if standby != Standby::AwaitingReplicas {
            self.failures.add(&self.config, self.now);
        }
        let before = std::mem::replace(&mut self.state, State::Inactive(standby));
        self.change_phase(from, Phase::Inactive, ballot, reason);
        self.give_up_generation();
        match before {
            State::Phase2(leader) => {
                // Nothing was proposed for it.
                if let Some(draining) = leader.draining {
                    self.answer_all(draining.waiters, &AcceptorsReply::NotLeading);
                }
                for id in leader.asked_view.into_iter().flat_map(|asked| asked.waiters) {
                    self.answer_primary(id, PrimaryReply::Unresolved);
                }
                let waiters = leader.phase2.into_waiters();
                self.effects.extend(
                    waiters
                        .map(|id| Effect::ProposalReply { id, reply: ProposalReply::Unresolved }),
                );
            }
            State::Inactive(_) | State::Phase1(_) => {}
        }
        let back_off = match standby {
            Standby::StandingBack => Some(self.config.back_off),
            // Acceptors have heard from this leader until now: others must see that it is
            // silent before they stand.
            Standby::AwaitingReplicas => Some(self.config.back_off + self.config.election_timeout),
            Standby::Watching | Standby::Armed | Standby::Rechecking => None,
        };
        if let Some(back_off) = back_off {
            let back_off = self.failures.lengthen(&self.config, self.now, back_off);
            self.arm(Timer::Election, back_off, back_off);
        }
        self.answers_since = self.poll_and_arm();
    }

    fn answer(&mut self, id: RequestId, reply: ProposalReply) {
        self.effects.push(Effect::ProposalReply { id, reply });
    }

    fn arm(&mut self, timer: Timer, after: Duration, jitter: Duration) {
        self.effects.push(Effect::Arm { timer, after, jitter });
    }

    fn change_phase(&mut self, from: Phase, to: Phase, ballot: Ballot, reason: Reason) {
        self.effects.push(Effect::PhaseChanged(PhaseChange { from, to, ballot, reason }));
    }
}
