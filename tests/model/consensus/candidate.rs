//! A coordinator in its place.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coordinator::coordinator::Coordinator;
use coordinator::effect::{
    AcceptorIndex, Effect, FoundAcceptor, Input, PollNumber, Reason, RequestId, Survey, Timer,
};
use coordinator::footprint::Footprint;
use shared::chain::ChainHash;
use shared::ids::{
    AcceptorId, BatchNumber, CoordinatorId, Draw, Epoch, Instance, LogFormat, Name, Slot,
};
use shared::message::{
    AcceptorsRequest, Heartbeat, Marks, Phase, Proposal, ProposalReply, Storage, SuccessionReply,
    View, WantedAcceptors, Watermarks,
};

use super::message::{Reply, Request};
use super::scope::Scope;
use super::symmetry::Candidacy;
use crate::check::panic_text;
use crate::cluster::{ACCEPTORS, acceptor_id, roster};

/// A coordinator's place.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) core: Coordinator,
    /// Batches that it was asked for in this leadership.
    asked: usize,
    requests: BTreeMap<RequestId, Bytes>,
    /// Since it stood for election, until it leads.
    candidacy: Option<Candidacy>,
    /// Digests of its state: of what concerns no acceptor, of what concerns each, and of
    /// all.
    pub(crate) shared_digest: u64,
    pub(crate) acceptor_digests: [u64; ACCEPTORS],
    pub(crate) digest: u64,
}

/// What a primary asks for in a leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Batches {
    /// All that the scope has for this coordinator.
    All,
    /// Nothing.
    None,
}

/// What it does and says in a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// What it sends to whom.
    pub(crate) sent: Vec<(usize, u64, Arc<Request>)>,
    /// What it takes for chosen.
    pub(crate) claims: Vec<(Slot, Bytes)>,
    /// What it was when a higher ballot ended that.
    pub(crate) outbid: Option<Phase>,
}

/// A candidate's next state, and what it says on the way.
pub(crate) type Stepped = Result<(Arc<Candidate>, Arc<Said>), String>;

/// What each acceptor answers to a poll, or nothing.
pub(crate) type Answers = [Option<Watermarks>; ACCEPTORS];

impl Candidate {
    /// A coordinator that has been started and knows the cluster.
    pub(crate) fn new(scope: &Scope, id: CoordinatorId) -> Self {
        let core = Coordinator::new(scope.config(), id);
        let (shared_digest, acceptor_digests, digest) = Default::default();
        let (requests, candidacy) = Default::default();
        let mut candidate =
            Self { core, asked: 0, requests, candidacy, shared_digest, acceptor_digests, digest };
        let first = std::array::from_fn(|place| Some(initial_watermarks(acceptor_id(place))));
        candidate.ask(Input::Started, &first, &mut Said::default()).expect("a coordinator starts");
        assert_eq!(candidate.core.roster(), Some(&roster()), "all acceptors answered twice");
        candidate.refresh();
        candidate
    }

    /// Takes a reply.
    pub(crate) fn receive(&self, place: usize, reply: &Reply) -> Stepped {
        self.change(|candidate, said| {
            candidate.hand(place, reply, said)?;
            let Some(candidacy) = &mut candidate.candidacy else { return Ok(()) };
            candidacy.hear(place, reply);
            match candidate.core.phase() {
                Phase::Phase1 => Ok(()),
                Phase::Inactive => {
                    candidate.candidacy = None;
                    Ok(())
                }
                Phase::Phase2 => {
                    let candidacy = candidate.candidacy.take();
                    candidate.refresh();
                    candidacy.map_or(Ok(()), |candidacy| candidacy.check(candidate))
                }
            }
        })
    }

    /// Hands the core a reply.
    pub(crate) fn hand(
        &mut self,
        place: usize,
        reply: &Reply,
        said: &mut Said,
    ) -> Result<(), String> {
        let from = AcceptorIndex(place);
        let input = match reply.clone() {
            Reply::Prepare(ballot, reply) => Input::PrepareReply { from, ballot, reply },
            Reply::Accept(ballot, reply) => Input::AcceptReply { from, ballot, reply },
        };
        self.step(input, said).map(drop)
    }

    /// Gives up what it is at, lets its timers run out, and has its polls answered, until
    /// it has begun Phase 1.
    pub(crate) fn stand(&self, answers: &Answers, batches: Batches) -> Stepped {
        let before = self.core.ballot();
        self.change(|candidate, said| {
            for timer in
                [Timer::Prepare, Timer::Lead, Timer::Election, Timer::Poll, Timer::Election]
            {
                candidate.ask(Input::Fired(timer), answers, said)?;
            }
            let stands =
                candidate.core.phase() == Phase::Phase1 && candidate.core.ballot() > before;
            candidate.asked = match batches {
                Batches::All => 0,
                Batches::None => usize::MAX,
            };
            candidate.requests.clear();
            candidate.candidacy = None;
            candidate.candidacy = Some(Candidacy::new(candidate.clone()));
            if stands {
                Ok(())
            } else {
                Err("a coordinator that is to stand for election doesn't".to_owned())
            }
        })
    }

    /// Its timer fires while it leads.
    pub(crate) fn tick(&self) -> Stepped {
        self.change(|candidate, said| candidate.step(Input::Fired(Timer::Lead), said).map(drop))
    }

    /// A replica says that all that it takes for chosen is durable, and its timer fires
    /// while it leads.
    pub(crate) fn trim(&self) -> Stepped {
        self.change(|candidate, said| {
            for replica in REPLICAS {
                candidate.step(heartbeat(replica, candidate.core.chosen_below(), None), said)?;
            }
            candidate.step(Input::Fired(Timer::Lead), said).map(drop)
        })
    }

    /// All that it takes for chosen is durable, and an operator asks for other acceptors: the
    /// same ones at other addresses, which makes of them another generation.
    pub(crate) fn stop(&self) -> Stepped {
        self.change(|candidate, said| {
            for replica in REPLICAS {
                candidate.step(heartbeat(replica, candidate.core.chosen_below(), None), said)?;
            }
            candidate.step(Input::Fired(Timer::Lead), said)?;
            let (cluster, wanted) = (roster().cluster(), WantedAcceptors::All(new_urls()));
            let request = AcceptorsRequest { cluster, base: None, wanted };
            let (id, survey) = (RequestId(u64::MAX), survey());
            candidate.step(Input::Acceptors { id, request, survey }, said).map(drop)
        })
    }

    /// A replica says that it waits for slots.
    pub(crate) fn nudge(&self, below: Slot) -> Stepped {
        self.change(|candidate, said| {
            candidate.step(heartbeat(REPLICAS[0], Slot(0), Some(below)), said).map(drop)
        })
    }

    /// The next batch to ask it for, if it leads and there is one.
    pub(crate) fn next_batch(&self, batches: &[&'static str]) -> Option<&'static str> {
        batches.get(self.asked).copied().filter(|_| self.core.phase() == Phase::Phase2)
    }

    /// A primary asks for a batch.
    pub(crate) fn propose(&self, name: &'static str) -> Stepped {
        let (id, value) = (RequestId(self.asked as u64), Bytes::from_static(name.as_bytes()));
        let number = BatchNumber(u64::from(value[0]));
        let proposal =
            Proposal { cluster: roster().cluster(), epoch: Epoch(1), number, value: value.clone() };
        self.change(|candidate, said| {
            candidate.asked += 1;
            candidate.requests.insert(id, value);
            candidate.step(Input::Proposal { id, proposal }, said).map(drop)
        })
    }

    fn change(&self, change: impl FnOnce(&mut Self, &mut Said) -> Result<(), String>) -> Stepped {
        let (mut candidate, mut said) = (self.clone(), Said::default());
        change(&mut candidate, &mut said)?;
        candidate.refresh();
        Ok((Arc::new(candidate), Arc::new(said)))
    }

    /// Hands the core an input, and has its polls answered.
    fn ask(&mut self, input: Input, answers: &Answers, said: &mut Said) -> Result<(), String> {
        let mut polls = self.step(input, said)?;
        while let Some((from, poll)) = polls.pop() {
            if let Some(reply) = answers[from.0].clone() {
                polls.extend(self.step(Input::Watermarks { from, poll, reply }, said)?);
            }
        }
        Ok(())
    }

    /// Hands the core an input, at a time that never passes. Returns whom it polls.
    fn step(
        &mut self,
        input: Input,
        said: &mut Said,
    ) -> Result<Vec<(AcceptorIndex, PollNumber)>, String> {
        let core = &mut self.core;
        let effects = catch_unwind(AssertUnwindSafe(|| core.step(Duration::ZERO, input)))
            .map_err(|panic| panic_text(&*panic))?;
        let (mut polls, mut surveyed) = (Vec::new(), None);
        for effect in effects {
            match effect {
                Effect::Prepare { to, message } => said.send(to, Request::Prepare(message)),
                Effect::Accept { to, message } => said.send(to, Request::Accept(message)),
                Effect::PollWatermarks { to, poll } => polls.push((to, poll)),
                Effect::Chosen(entry) => said.claims.push((entry.slot, entry.value)),
                Effect::ProposalReply { id, reply: ProposalReply::Chosen { slot, .. } } => {
                    said.claims.push((slot, self.requests[&id].clone()));
                }
                Effect::PhaseChanged(change) => match change.reason {
                    Reason::Outbid(_) => said.outbid = Some(change.from),
                    Reason::LeaderSilent
                    | Reason::LeaderEnded
                    | Reason::NoLeaderYet
                    | Reason::Promised
                    | Reason::Phase1TimedOut
                    | Reason::QuorumSilent
                    | Reason::ReplicasSilent
                    | Reason::Succeeded => {}
                },
                Effect::SuccessionKnown(succession) => {
                    said.claims.push((succession.begin(), succession.encode_stop()));
                }
                Effect::Survey { id, urls: _ } => surveyed = Some(id),
                // That acceptors are sealed and opened no coordinator is told here.
                Effect::Succeeded(succession) => {
                    return Err(format!("{succession:?} has begun, and nobody was opened"));
                }
                // No acceptor forgets here.
                Effect::VotesLost(why) => return Err(why),
                Effect::WrongCluster(wrong) => return Err(wrong.to_string()),
                Effect::ProposalReply {
                    reply:
                        ProposalReply::NotLeading
                        | ProposalReply::Overloaded { .. }
                        | ProposalReply::Unresolved,
                    ..
                }
                | Effect::PrimaryReply { .. }
                | Effect::Succession { .. }
                | Effect::NewAcceptor { .. }
                | Effect::AcceptorsReply { .. }
                | Effect::Arm { .. }
                | Effect::ViewProposed { .. }
                | Effect::RosterKnown(_)
                | Effect::NotACluster(_)
                | Effect::ClaimRefused { .. }
                | Effect::ForeignAcceptor { .. } => {}
            }
        }
        if let Some(id) = surveyed {
            polls.extend(self.step(Input::Surveyed { id, survey: survey() }, said)?);
        }
        Ok(polls)
    }

    /// Recomputes the digests.
    pub(crate) fn refresh(&mut self) {
        let mut footprint = Footprint::default();
        self.core.footprint(&mut footprint);
        (self.core.id(), self.asked).hash(&mut footprint.shared);
        self.shared_digest = footprint.shared.finish();
        self.acceptor_digests = std::array::from_fn(|place| {
            footprint.acceptors.get(&acceptor_id(place)).map_or(0, |hasher| hasher.finish())
        });
        let mut hasher = DefaultHasher::new();
        (self.shared_digest, self.acceptor_digests).hash(&mut hasher);
        self.digest = hasher.finish();
    }
}

impl Said {
    fn send(&mut self, to: AcceptorIndex, request: Request) {
        self.sent.push((to.0, request.digest(), Arc::new(request)));
    }
}

/// Where the acceptors of the second generation are.
fn new_urls() -> Vec<String> {
    (0..ACCEPTORS).map(|place| format!("acceptor-{place}")).collect()
}

/// What a look at the acceptors shows: each is of the first generation, and reached at its
/// old address and at its new one.
fn survey() -> Survey {
    let found = |(place, url): (usize, String)| FoundAcceptor {
        url,
        answer: Ok(SuccessionReply {
            acceptor: acceptor_id(place),
            roster: Some(roster()),
            opened: None,
            sealed: None,
            is_unused: false,
            can_write: true,
        }),
    };
    let old = (0..ACCEPTORS).map(|place| (place, place.to_string()));
    let found = old.chain(new_urls().into_iter().enumerate()).map(found).collect();
    Survey { found, left_behind: None }
}

/// What an acceptor answers that nobody has asked for anything.
pub(crate) fn initial_watermarks(acceptor: AcceptorId) -> Watermarks {
    Watermarks {
        acceptor,
        roster: None,
        draw: Draw(acceptor.0),
        promised: None,
        marks: Marks::default(),
        leader_silent_ms: 0,
    }
}

/// The replicas of the first view, its primary first.
const REPLICAS: [&str; 2] = ["replica-1", "replica-2"];

/// What one of them says.
fn heartbeat(replica: &str, durable_below: Slot, nudge_below: Option<Slot>) -> Input {
    let [primary, backup] = REPLICAS.map(|name| name.parse::<Name>().expect("a name"));
    let instance = Instance(1);
    let view = View {
        epoch: Epoch(1),
        primary,
        primary_instance: instance,
        backups: vec![backup],
        format: LogFormat::FIRST,
    };
    Input::Heartbeat(Heartbeat {
        cluster: roster().cluster(),
        replica: replica.parse().expect("a name"),
        instance,
        url: format!("http://{replica}"),
        view: Some(view),
        executed_below: durable_below,
        hash: ChainHash::default(),
        durable_below,
        highest_format: LogFormat::FIRST,
        storage: Storage::Writable,
        nudge_below,
    })
}
