//! A coordinator on a bench: time stands still unless a test moves it, and acceptors say
//! what the test has them say.

use std::time::Duration;

use bytes::Bytes;
use coordinator::config::Config;
use coordinator::coordinator::Coordinator;
use coordinator::effect::{
    AcceptorIndex, Effect, Input, PhaseChange, PollNumber, Reason, RequestId, Timer,
};
use shared::chain::ChainHash;
use shared::ids::{
    AcceptorId, Ballot, BatchNumber, CoordinatorId, Draw, Epoch, Instance, LogFormat, Name, Slot,
};
use shared::message::{
    Accept, AcceptReply, Accepted, Heartbeat, Marks, Nack, Phase, Prepare, PrepareReply, Promise,
    Proposal, Roster, SlotValue, Storage, Value, View, Vote, VoteRoom, Watermarks,
};

pub(crate) const ME: CoordinatorId = CoordinatorId(0xc0);
pub(crate) const OTHER: CoordinatorId = CoordinatorId(0xc1);
/// Silence of a leader that is long enough.
pub(crate) const SILENT_MS: u64 = 500;

pub(crate) fn at(index: usize) -> AcceptorIndex {
    AcceptorIndex(index)
}

/// The acceptor behind the URL at this place: 0 is acceptor 1.
pub(crate) fn id(index: usize) -> AcceptorId {
    AcceptorId(index as u64 + 1)
}

pub(crate) fn roster() -> Roster {
    formed([id(0), id(1), id(2)])
}

/// What acceptors make up that each drew the number of its identity.
pub(crate) fn formed(acceptors: [AcceptorId; 3]) -> Roster {
    Roster::form(acceptors.map(|acceptor| (acceptor, Draw(acceptor.0))).to_vec()).unwrap()
}

pub(crate) fn ballot(round: u64, coordinator: CoordinatorId) -> Ballot {
    Ballot { round, coordinator }
}

pub(crate) fn value(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn noop() -> Bytes {
    Value::Noop.encode()
}

pub(crate) fn vote(slot: u64, round: u64, text: &str) -> Vote {
    Vote { slot: Slot(slot), ballot: ballot(round, OTHER), value: value(text) }
}

pub(crate) fn slot_value(slot: u64, value: Bytes) -> SlotValue {
    SlotValue { slot: Slot(slot), value }
}

pub(crate) fn voted(below: u64) -> Marks {
    Marks { voted_below: Slot(below), ..Marks::default() }
}

pub(crate) fn chosen(below: u64) -> Marks {
    Marks { voted_below: Slot(below), chosen_below: Slot(below), ..Marks::default() }
}

pub(crate) fn proposal(number: u64, text: &str) -> Proposal {
    Proposal {
        cluster: roster().cluster(),
        epoch: Epoch(1),
        number: BatchNumber(number),
        value: value(text),
    }
}

pub(crate) fn arm(timer: Timer, after_ms: u64, jitter_ms: u64) -> Effect {
    Effect::Arm {
        timer,
        after: Duration::from_millis(after_ms),
        jitter: Duration::from_millis(jitter_ms),
    }
}

pub(crate) fn polls(poll: u64) -> Vec<Effect> {
    (0..3).map(|index| Effect::PollWatermarks { to: at(index), poll: PollNumber(poll) }).collect()
}

pub(crate) fn prepares(ballot: Ballot, from: u64) -> Vec<Effect> {
    let message = Prepare { roster: roster(), ballot, from: Slot(from) };
    (0..3).map(|index| Effect::Prepare { to: at(index), message: message.clone() }).collect()
}

pub(crate) fn accept(ballot: Ballot, proposals: Vec<SlotValue>, chosen_below: u64) -> Accept {
    Accept {
        roster: roster(),
        ballot,
        proposals,
        chosen_below: Slot(chosen_below),
        trim_below: Slot(0),
    }
}

pub(crate) fn accepts(message: &Accept) -> Vec<Effect> {
    (0..3).map(|index| Effect::Accept { to: at(index), message: message.clone() }).collect()
}

pub(crate) fn phase_changed(from: Phase, to: Phase, ballot: Ballot, reason: Reason) -> Effect {
    Effect::PhaseChanged(PhaseChange { from, to, ballot, reason })
}

pub(crate) fn all(parts: impl IntoIterator<Item = Vec<Effect>>) -> Vec<Effect> {
    parts.into_iter().flatten().collect()
}

pub(crate) struct Bench {
    pub(crate) core: Coordinator,
    pub(crate) now: Duration,
}

impl Bench {
    /// A coordinator that has not been started.
    pub(crate) fn new() -> Self {
        Self::with(Config::new(3))
    }

    pub(crate) fn with(config: Config) -> Self {
        Self { core: Coordinator::new(config, ME), now: Duration::ZERO }
    }

    pub(crate) fn step(&mut self, input: Input) -> Vec<Effect> {
        self.core.step(self.now, input)
    }

    pub(crate) fn fire(&mut self, timer: Timer) -> Vec<Effect> {
        self.step(Input::Fired(timer))
    }

    pub(crate) fn wait_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    pub(crate) fn watermarks(&mut self, from: usize, poll: u64, reply: Watermarks) -> Vec<Effect> {
        self.step(Input::Watermarks { from: at(from), poll: PollNumber(poll), reply })
    }

    pub(crate) fn promise(&mut self, from: usize, promise: Promise) -> Vec<Effect> {
        let ballot = promise.ballot;
        self.step(Input::PrepareReply {
            from: at(from),
            ballot,
            reply: PrepareReply::Promise(promise),
        })
    }

    pub(crate) fn accepted(&mut self, from: usize, ballot: Ballot, slots: &[u64]) -> Vec<Effect> {
        self.accepted_with(from, ballot, slots, Marks::default())
    }

    pub(crate) fn accepted_with(
        &mut self,
        from: usize,
        ballot: Ballot,
        slots: &[u64],
        marks: Marks,
    ) -> Vec<Effect> {
        let slots = slots.iter().copied().map(Slot).collect();
        let reply = AcceptReply::Accepted(Accepted {
            acceptor: id(from),
            ballot,
            slots,
            marks,
            room: VoteRoom::default(),
        });
        self.step(Input::AcceptReply { from: at(from), ballot, reply })
    }

    pub(crate) fn nack(&mut self, from: usize, request: Ballot, promised: Ballot) -> Vec<Effect> {
        let reply = AcceptReply::Nack(Nack { acceptor: id(from), promised });
        self.step(Input::AcceptReply { from: at(from), ballot: request, reply })
    }

    pub(crate) fn propose(&mut self, request: u64, number: u64, text: &str) -> Vec<Effect> {
        self.step(Input::Proposal { id: RequestId(request), proposal: proposal(number, text) })
    }

    /// Starts it in a cluster whose acceptors have heard from no leader, up to its Phase
    /// 1. Gives back the ballot.
    pub(crate) fn stand_for_election(&mut self, marks: Marks) -> Ballot {
        self.step(Input::Started);
        self.win_attention(0, marks)
    }

    /// Answers poll `first` so that it becomes a candidate, and the poll after it so that
    /// it enters Phase 1.
    pub(crate) fn win_attention(&mut self, first: u64, marks: Marks) -> Ballot {
        for index in 0..2 {
            self.watermarks(index, first, silent(index, marks));
        }
        self.fire(Timer::Election);
        for index in 0..2 {
            self.watermarks(index, first + 1, silent(index, marks));
        }
        assert_eq!(self.core.phase(), Phase::Phase1);
        self.core.ballot().unwrap()
    }

    /// A leader of a cluster in which nothing is chosen or voted yet.
    pub(crate) fn leading() -> (Self, Ballot) {
        Self::leading_with(Config::new(3))
    }

    pub(crate) fn leading_with(config: Config) -> (Self, Ballot) {
        let mut bench = Self::with(config);
        let ballot = bench.stand_for_election(Marks::default());
        bench.promise(0, promise(0, ballot, 0, Vec::new(), Marks::default()));
        bench.promise(1, promise(1, ballot, 0, Vec::new(), Marks::default()));
        assert_eq!(bench.core.phase(), Phase::Phase2);
        (bench, ballot)
    }
}

/// An answer of a member that promised something long ago and has not heard from a leader
/// since.
pub(crate) fn silent(index: usize, marks: Marks) -> Watermarks {
    let promised = Some(ballot(1, OTHER));
    Watermarks {
        acceptor: id(index),
        roster: Some(roster()),
        draw: Draw(id(index).0),
        promised,
        marks,
        leader_silent_ms: SILENT_MS,
    }
}

/// An answer of a member that hears a leader.
pub(crate) fn led(index: usize, promised: Ballot) -> Watermarks {
    Watermarks { promised: Some(promised), leader_silent_ms: 20, ..silent(index, Marks::default()) }
}

/// An answer of an acceptor that belongs to no cluster.
pub(crate) fn unformed(acceptor: AcceptorId) -> Watermarks {
    Watermarks {
        acceptor,
        roster: None,
        draw: Draw(acceptor.0),
        promised: None,
        marks: Marks::default(),
        leader_silent_ms: 10,
    }
}

/// A promise that holds all votes in one page.
pub(crate) fn promise(
    index: usize,
    ballot: Ballot,
    from: u64,
    votes: Vec<Vote>,
    marks: Marks,
) -> Promise {
    Promise { acceptor: id(index), ballot, from: Slot(from), votes, next: None, marks }
}

pub(crate) fn name(replica: u64) -> Name {
    format!("replica-{replica}").parse().unwrap()
}

pub(crate) fn heartbeat(replica: u64, view: Option<View>) -> Heartbeat {
    Heartbeat {
        cluster: roster().cluster(),
        replica: name(replica),
        instance: Instance(replica * 10),
        url: format!("http://replica-{replica}"),
        view,
        executed_below: Slot(0),
        hash: ChainHash::default(),
        durable_below: Slot(0),
        highest_format: LogFormat::FIRST,
        storage: Storage::Writable,
        nudge_below: None,
    }
}

/// The view of an epoch.
pub(crate) fn view(epoch: u64, primary: u64, backups: &[u64]) -> View {
    let backups = backups.iter().copied().map(name).collect();
    View {
        epoch: Epoch(epoch),
        primary: name(primary),
        primary_instance: Instance(primary * 10),
        backups,
        format: LogFormat::FIRST,
    }
}

/// Heartbeats of three replicas, each 100 ms for so long; the effects of the last round.
pub(crate) fn beats(
    bench: &mut Bench,
    rounds: usize,
    of: impl Fn(u64) -> Heartbeat,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    for _ in 0..rounds {
        bench.wait_ms(100);
        for replica in 1..=3 {
            effects.extend(bench.step(Input::Heartbeat(of(replica))));
        }
    }
    effects
}

/// The views that were proposed.
pub(crate) fn proposed(effects: &[Effect]) -> Vec<View> {
    let view_of = |effect: &Effect| {
        if let Effect::ViewProposed { view, .. } = effect { Some(view.clone()) } else { None }
    };
    effects.iter().filter_map(view_of).collect()
}
