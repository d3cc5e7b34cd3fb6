//! Several coordinators at once, on a network with nothing but a round-trip time: one
//! leads soon, stays, and is soon replaced.
//!
//! "To guarantee progress, a distinguished proposer must be selected as the only one to
//! try issuing proposals" (Lamport, *Paxos Made Simple*, section 2.4). The acceptors here
//! only keep a promise; the simulation has the real ones.

use std::collections::BTreeMap;
use std::time::Duration;

use coordinator::config::Config;
use coordinator::coordinator::Coordinator;
use coordinator::effect::{Effect, Input, Timer};
use shared::ids::{AcceptorId, Ballot, CoordinatorId, Draw};
use shared::message::{
    Accept, AcceptReply, Accepted, Marks, Nack, Phase, Prepare, PrepareReply, Promise, VoteRoom,
    Watermarks,
};

use crate::support::{at, id, roster};

struct Voter {
    id: AcceptorId,
    promised: Option<Ballot>,
    heard_at: Duration,
}

impl Voter {
    fn hear(&mut self, now: Duration, ballot: Ballot) -> Result<(), Nack> {
        if let Some(promised) = self.promised.filter(|promised| *promised > ballot) {
            return Err(Nack { acceptor: self.id, promised });
        }
        self.promised = Some(ballot);
        self.heard_at = now;
        Ok(())
    }

    fn prepare(&mut self, now: Duration, message: &Prepare) -> PrepareReply {
        match self.hear(now, message.ballot) {
            Err(nack) => PrepareReply::Nack(nack),
            Ok(()) => PrepareReply::Promise(Promise {
                acceptor: self.id,
                ballot: message.ballot,
                from: message.from,
                votes: Vec::new(),
                next: None,
                marks: Marks::default(),
            }),
        }
    }

    fn accept(&mut self, now: Duration, message: &Accept) -> AcceptReply {
        match self.hear(now, message.ballot) {
            Err(nack) => AcceptReply::Nack(nack),
            Ok(()) => AcceptReply::Accepted(Accepted {
                acceptor: self.id,
                ballot: message.ballot,
                slots: Vec::new(),
                marks: Marks::default(),
                room: VoteRoom::default(),
            }),
        }
    }

    fn watermarks(&self, now: Duration) -> Watermarks {
        Watermarks {
            acceptor: self.id,
            roster: Some(roster()),
            draw: Draw(1),
            promised: self.promised,
            marks: Marks::default(),
            leader_silent_ms: u64::try_from((now - self.heard_at).as_millis()).unwrap(),
        }
    }
}

enum Event {
    Input(usize, Input),
    Fired(usize, Timer, u64),
    Request(usize, Effect),
}

struct Network {
    seed: u64,
    one_way: Duration,
    now: Duration,
    events: BTreeMap<(Duration, u64), Event>,
    sequence: u64,
    coordinators: Vec<Option<Coordinator>>,
    timers: BTreeMap<(usize, Timer), u64>,
    voters: Vec<Voter>,
    changes: Vec<(Duration, usize, Phase)>,
}

impl Network {
    fn new(seed: u64, coordinators: u64, round_trip_ms: u64) -> Self {
        let voter = |index| Voter { id: id(index), promised: None, heard_at: Duration::ZERO };
        let start = |nonce| Some(Coordinator::new(Config::new(3), CoordinatorId(nonce + 1)));
        let mut network = Self {
            seed,
            one_way: Duration::from_micros(round_trip_ms * 500),
            now: Duration::ZERO,
            events: BTreeMap::new(),
            sequence: 0,
            coordinators: (0..coordinators).map(start).collect(),
            timers: BTreeMap::new(),
            voters: (0..3).map(voter).collect(),
            changes: Vec::new(),
        };
        for who in 0..network.coordinators.len() {
            network.schedule(Duration::ZERO, Event::Input(who, Input::Started));
        }
        network
    }

    /// SplitMix64.
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below.max(1)
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + after, self.sequence), event);
    }

    fn run_until(&mut self, end: Duration) {
        while let Some(next) = self.events.first_entry().filter(|next| next.key().0 <= end) {
            let ((when, _), event) = next.remove_entry();
            self.now = when;
            match event {
                Event::Input(who, input) => self.step(who, input),
                Event::Fired(who, timer, armed)
                    if self.timers.get(&(who, timer)) == Some(&armed) =>
                {
                    self.step(who, Input::Fired(timer));
                }
                Event::Fired(..) => {}
                Event::Request(who, effect) => self.answer(who, effect),
            }
        }
        self.now = end;
    }

    fn step(&mut self, who: usize, input: Input) {
        let Some(coordinator) = &mut self.coordinators[who] else { return };
        for effect in coordinator.step(self.now, input) {
            match effect {
                Effect::Arm { timer, after, jitter } => {
                    let extra = Duration::from_micros(self.random(jitter.as_micros() as u64 + 1));
                    self.sequence += 1;
                    self.timers.insert((who, timer), self.sequence);
                    let armed = self.sequence;
                    self.schedule(after + extra, Event::Fired(who, timer, armed));
                }
                Effect::PhaseChanged(change) => self.changes.push((self.now, who, change.to)),
                Effect::PollWatermarks { .. } | Effect::Prepare { .. } | Effect::Accept { .. } => {
                    // A little disorder, so that ties fall differently from seed to seed.
                    let disorder = Duration::from_micros(
                        self.random(self.one_way.as_micros() as u64 / 10 + 200),
                    );
                    self.schedule(self.one_way + disorder, Event::Request(who, effect));
                }
                Effect::RosterKnown(_) => {}
                Effect::ProposalReply { .. }
                | Effect::PrimaryReply { .. }
                | Effect::Survey { .. }
                | Effect::Succession { .. }
                | Effect::NewAcceptor { .. }
                | Effect::AcceptorsReply { .. }
                | Effect::SuccessionKnown(_)
                | Effect::Succeeded(_)
                | Effect::Chosen(_)
                | Effect::ViewProposed { .. }
                | Effect::VotesLost(_)
                | Effect::WrongCluster(_)
                | Effect::ClaimRefused { .. }
                | Effect::NotACluster(_)
                | Effect::ForeignAcceptor { .. } => unreachable!("{effect:?}"),
            }
        }
    }

    fn answer(&mut self, who: usize, request: Effect) {
        let now = self.now;
        let input = match request {
            Effect::PollWatermarks { to, poll } => {
                Input::Watermarks { from: to, poll, reply: self.voters[to.0].watermarks(now) }
            }
            Effect::Prepare { to, message } => {
                let reply = self.voters[to.0].prepare(now, &message);
                Input::PrepareReply { from: at(to.0), ballot: message.ballot, reply }
            }
            Effect::Accept { to, message } => {
                let reply = self.voters[to.0].accept(now, &message);
                Input::AcceptReply { from: at(to.0), ballot: message.ballot, reply }
            }
            Effect::Arm { .. }
            | Effect::ProposalReply { .. }
            | Effect::PrimaryReply { .. }
            | Effect::Survey { .. }
            | Effect::Succession { .. }
            | Effect::NewAcceptor { .. }
            | Effect::AcceptorsReply { .. }
            | Effect::SuccessionKnown(_)
            | Effect::Succeeded(_)
            | Effect::Chosen(_)
            | Effect::PhaseChanged(_)
            | Effect::ViewProposed { .. }
            | Effect::VotesLost(_)
            | Effect::WrongCluster(_)
            | Effect::ClaimRefused { .. }
            | Effect::RosterKnown(_)
            | Effect::NotACluster(_)
            | Effect::ForeignAcceptor { .. } => unreachable!("no request"),
        };
        self.schedule(self.one_way, Event::Input(who, input));
    }

    fn leaders(&self) -> Vec<usize> {
        let leads = |who: &usize| {
            self.coordinators[*who].as_ref().is_some_and(|it| it.phase() == Phase::Phase2)
        };
        (0..self.coordinators.len()).filter(leads).collect()
    }
}

#[test]
fn however_many_start_at_once_one_leads_soon_and_nobody_disturbs_it() {
    for coordinators in [1, 2, 3] {
        for seed in 0..50 {
            let mut network = Network::new(seed, coordinators, 1);
            network.run_until(Duration::from_secs(2));
            let leaders = network.leaders();
            assert_eq!(
                leaders.len(),
                1,
                "seed {seed}, {coordinators} coordinators: {:?}",
                network.changes
            );
            let changes = network.changes.len();
            network.run_until(Duration::from_secs(30));
            assert_eq!(
                (network.leaders(), network.changes.len()),
                (leaders, changes),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn they_do_not_duel_for_ever_even_where_a_round_trip_outlasts_the_timeouts() {
    for round_trip_ms in [20, 100, 300, 500, 700, 900] {
        for seed in 0..6 {
            let mut network = Network::new(seed, 3, round_trip_ms);
            network.run_until(Duration::from_secs(30));
            let (leaders, changes) = (network.leaders(), network.changes.len());
            network.run_until(Duration::from_secs(60));
            let settled = (network.leaders(), network.changes.len()) == (leaders.clone(), changes)
                && leaders.len() == 1;
            assert!(settled, "round trip {round_trip_ms} ms, seed {seed}: {:?}", network.changes);
        }
    }
}

#[test]
fn a_killed_leader_is_replaced_within_a_second() {
    let mut slowest = Duration::ZERO;
    for seed in 0..200 {
        let mut network = Network::new(seed, 2, 2);
        network.run_until(Duration::from_millis(3_000 + 7 * seed));
        let [leader] = network.leaders()[..] else { panic!("seed {seed}: {:?}", network.changes) };
        let killed_at = network.now;
        network.coordinators[leader] = None;
        network.run_until(killed_at + Duration::from_secs(2));
        let (when, _, phase) = *network.changes.last().unwrap();
        assert_eq!((network.leaders(), phase), (vec![1 - leader], Phase::Phase2), "seed {seed}");
        slowest = slowest.max(when - killed_at);
    }
    assert!(slowest < Duration::from_millis(900), "{slowest:?}");
}
