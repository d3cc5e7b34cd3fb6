//! A coordinator under nonsense: whatever comes, in whatever order, its invariants hold
//! (they are asserted in every step).

use coordinator::effect::{Effect, Input, RequestId, Timer};
use proptest::prelude::*;
use shared::chain::ChainHash;
use shared::ids::{Instance, LogFormat, Slot};
use shared::message::{
    AcceptReply, Accepted, Full, Heartbeat, Marks, Nack, Phase, PrepareReply, PrimaryRequest,
    Promise, ProposalReply, Storage, VoteRoom, WantedPrimary, Watermarks,
};

use crate::support::*;

#[derive(Clone, Debug)]
enum Event {
    Wait(u64),
    Fire(Timer),
    Watermarks { from: usize, silent: u64, round: u64, chosen: u64 },
    Promise { from: usize, chosen: u64, voted: u64 },
    Accepted { from: usize, slots: Vec<u64>, chosen: u64, old: u64 },
    Nack { from: usize, round: u64 },
    Full { from: usize },
    Propose { number: u64 },
    Heartbeat { replica: u64, instance: u64, executed: u64, nudge: Option<u64> },
    AskPrimary { replica: u64, instance: u64 },
}

fn event() -> impl Strategy<Value = Event> {
    let timer = prop_oneof![
        Just(Timer::Poll),
        Just(Timer::Election),
        Just(Timer::Prepare),
        Just(Timer::Lead)
    ];
    let watermarks =
        (0..3_usize, prop_oneof![Just(0_u64), Just(9_999)], 0..3_u64, 0..4_u64).prop_map(
            |(from, silent, round, chosen)| Event::Watermarks { from, silent, round, chosen },
        );
    let accepted = (0..3_usize, proptest::collection::vec(0..20_u64, 0..4), 0..6_u64, 0..4_u64)
        .prop_map(|(from, slots, chosen, old)| Event::Accepted { from, slots, chosen, old });
    let heartbeat = (0..4_u64, 0..2_u64, 0..9_u64, proptest::option::of(0..9_u64)).prop_map(
        |(replica, instance, executed, nudge)| Event::Heartbeat {
            replica,
            instance,
            executed,
            nudge,
        },
    );
    prop_oneof![
        3 => (0..700_u64).prop_map(Event::Wait),
        4 => timer.prop_map(Event::Fire),
        8 => watermarks,
        6 => (0..3_usize, 0..6_u64, 0..9_u64).prop_map(|(from, chosen, voted)| Event::Promise { from, chosen, voted }),
        8 => accepted,
        1 => (0..3_usize, 0..9_u64).prop_map(|(from, round)| Event::Nack { from, round }),
        1 => (0..3_usize).prop_map(|from| Event::Full { from }),
        4 => (0..4_u64).prop_map(|number| Event::Propose { number }),
        2 => heartbeat,
        1 => (0..4_u64, 0..2_u64)
            .prop_map(|(replica, instance)| Event::AskPrimary { replica, instance }),
    ]
}

fn marks(chosen: u64, voted: u64) -> Marks {
    Marks {
        voted_below: Slot(chosen.max(voted)),
        chosen_below: Slot(chosen),
        trimmed_below: Slot(chosen / 2),
    }
}

struct Chaos {
    bench: Bench,
    poll: u64,
    requests: u64,
    unanswered: std::collections::BTreeSet<RequestId>,
    chosen: std::collections::BTreeMap<Slot, bytes::Bytes>,
}

impl Chaos {
    fn input(&mut self, event: Event) -> Option<Input> {
        let mine = self.bench.core.ballot().unwrap_or(ballot(1, ME));
        Some(match event {
            Event::Wait(ms) => {
                self.bench.wait_ms(ms);
                return None;
            }
            Event::Fire(timer) => Input::Fired(timer),
            Event::Watermarks { from, silent: leader_silent_ms, round, chosen } => {
                let promised = Some(ballot(round, OTHER));
                let reply = Watermarks {
                    promised,
                    leader_silent_ms,
                    ..silent(from, marks(chosen, chosen))
                };
                Input::Watermarks {
                    from: at(from),
                    poll: coordinator::effect::PollNumber(self.poll),
                    reply,
                }
            }
            Event::Promise { from, chosen, voted } => {
                let votes = (0..voted)
                    .filter(|slot| slot % 2 == 0)
                    .map(|slot| vote(slot, 1, &format!("v{slot}")))
                    .collect();
                let from_slot = self.bench.core.chosen_below().0;
                let votes =
                    Vec::from_iter(Vec::into_iter(votes).filter(|vote| vote.slot.0 >= from_slot));
                let promise = Promise {
                    from: Slot(from_slot),
                    ..promise(from, mine, 0, votes, marks(chosen, voted))
                };
                Input::PrepareReply {
                    from: at(from),
                    ballot: mine,
                    reply: PrepareReply::Promise(promise),
                }
            }
            Event::Accepted { from, slots, chosen, old } => {
                let ballot = if old == 0 { ballot(1, ME) } else { mine };
                let slots = slots
                    .into_iter()
                    .map(|slot| Slot(slot + self.bench.core.chosen_below().0))
                    .collect();
                let chosen = if old == 1 { marks(chosen, 0) } else { Marks::default() };
                let reply = AcceptReply::Accepted(Accepted {
                    acceptor: id(from),
                    ballot,
                    slots,
                    marks: chosen,
                    room: VoteRoom::default(),
                });
                Input::AcceptReply { from: at(from), ballot, reply }
            }
            Event::Nack { from, round } => {
                let reply =
                    AcceptReply::Nack(Nack { acceptor: id(from), promised: ballot(round, OTHER) });
                Input::AcceptReply { from: at(from), ballot: mine, reply }
            }
            Event::Full { from } => {
                let reply = AcceptReply::Full(Full { acceptor: id(from), limit: String::new() });
                Input::AcceptReply { from: at(from), ballot: mine, reply }
            }
            Event::Propose { number } => {
                self.requests += 1;
                self.unanswered.insert(RequestId(self.requests));
                Input::Proposal {
                    id: RequestId(self.requests),
                    proposal: proposal(number, &format!("batch {number}")),
                }
            }
            Event::AskPrimary { replica, instance } => {
                self.requests += 1;
                let (id, than) = (RequestId(self.requests), format!("r{replica}").parse().unwrap());
                self.unanswered.insert(id);
                let wanted = match instance {
                    0 => WantedPrimary::Replica(than),
                    _ => WantedPrimary::Another { than, instance: Instance(instance) },
                };
                let request = PrimaryRequest { cluster: roster().cluster(), wanted };
                Input::PrimaryRequest { id, request }
            }
            Event::Heartbeat { replica, instance, executed, nudge } => {
                Input::Heartbeat(Heartbeat {
                    cluster: roster().cluster(),
                    replica: format!("r{replica}").parse().unwrap(),
                    instance: Instance(instance),
                    url: String::new(),
                    view: None,
                    executed_below: Slot(executed),
                    hash: ChainHash::default(),
                    durable_below: Slot(executed),
                    highest_format: LogFormat::FIRST,
                    storage: Storage::Writable,
                    nudge_below: nudge.map(Slot),
                })
            }
        })
    }

    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::PollWatermarks { poll, .. } => self.poll = poll.0,
                Effect::ProposalReply { id, .. } | Effect::PrimaryReply { id, .. } => {
                    assert!(self.unanswered.remove(id), "{id:?} is answered once")
                }
                Effect::Chosen(entry) => {
                    let before = self.chosen.insert(entry.slot, entry.value.clone());
                    assert!(before.is_none() || self.bench.core.phase() == Phase::Phase2);
                }
                Effect::Accept { message, .. } => {
                    assert_eq!(Some(message.ballot), self.bench.core.ballot());
                    assert!(message.trim_below <= message.chosen_below);
                }
                Effect::Prepare { .. }
                | Effect::Survey { .. }
                | Effect::Succession { .. }
                | Effect::NewAcceptor { .. }
                | Effect::AcceptorsReply { .. }
                | Effect::SuccessionKnown(_)
                | Effect::Succeeded(_)
                | Effect::Arm { .. }
                | Effect::PhaseChanged(_)
                | Effect::ViewProposed { .. }
                | Effect::VotesLost(_)
                | Effect::WrongCluster(_)
                | Effect::ClaimRefused { .. }
                | Effect::RosterKnown(_)
                | Effect::NotACluster(_)
                | Effect::ForeignAcceptor { .. } => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn its_invariants_hold_whatever_comes(events in proptest::collection::vec(event(), 1..200)) {
        let mut chaos =
            Chaos { bench: Bench::new(), poll: 0, requests: 0, unanswered: Default::default(), chosen: Default::default() };
        let effects = chaos.bench.step(Input::Started);
        chaos.note(&effects);
        for event in events {
            if let Some(input) = chaos.input(event) {
                let effects = chaos.bench.step(input);
                chaos.note(&effects);
            }
        }
        if chaos.bench.core.phase() != Phase::Phase2 {
            assert_eq!(chaos.unanswered, Default::default(), "nobody waits for a coordinator that \
                does not lead");
        }
    }
}

#[test]
fn every_waiter_is_answered_when_leadership_ends() {
    let (mut bench, mine) = Bench::leading();
    for request in 0..5 {
        bench.propose(request, request / 2, "same");
    }
    let answers = bench.nack(0, mine, ballot(9, OTHER));
    let unresolved = answers.iter().filter_map(|effect| {
        if let Effect::ProposalReply { id, reply: ProposalReply::Unresolved } = effect {
            Some(id.0)
        } else {
            None
        }
    });
    assert_eq!(unresolved.collect::<Vec<u64>>(), [0, 1, 2, 3, 4]);
}
