//! An acceptor told anything, in any order, by anybody: it refuses or decides, and its
//! invariants hold after each message.

use acceptor::acceptor::{Acceptor, Limits};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Draw, Generation, Slot};
use shared::message::{Accept, Prepare, Roster, SlotValue};

use super::short;

#[derive(Serialize, Deserialize)]
enum Message {
    Prepare(Prepare),
    Accept(Accept),
}

/// The input is the postcard of messages, one after the other.
pub(super) fn decode(mut bytes: &[u8]) {
    let limits =
        Limits { vote_bytes: 1_000, recovery_bytes: 500, page_votes: 2, ..Limits::default() };
    let (mut acceptor, mut replayed) = (
        Acceptor::new(AcceptorId(1), Draw(1), limits),
        Acceptor::new(AcceptorId(1), Draw(1), limits),
    );
    while let Ok((message, rest)) = postcard::take_from_bytes(bytes) {
        bytes = rest;
        let (promised, marks) = (acceptor.promised(), acceptor.marks());
        let records = match message {
            Message::Prepare(prepare) => match acceptor.prepare(&prepare) {
                Ok(decision) => decision.records,
                Err(error) => return short(&error),
            },
            Message::Accept(accept) => match acceptor.accept(&accept) {
                Ok(decision) => decision.records,
                Err(error) => return short(&error),
            },
        };
        acceptor.check_invariants();
        acceptor.invariant_nothing_goes_back(promised, marks);
        for record in records {
            // What it records is what it takes back after a restart.
            replayed.check_record(&record).expect("a record of its own");
            replayed.replay(record);
        }
        assert_eq!(
            format!("{acceptor:?}"),
            format!("{replayed:?}"),
            "the state is the sum of the records"
        );
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let roster = || {
        Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1), AcceptorId(2), AcceptorId(3)])
            .expect("three acceptors")
    };
    let ballot = |round| Ballot { round, coordinator: CoordinatorId(7) };
    let prepare = |round, from| {
        Message::Prepare(Prepare { roster: roster(), ballot: ballot(round), from: Slot(from) })
    };
    let accept = |round, slots: std::ops::Range<u64>, chosen_below, trim_below| {
        let proposals = slots.map(|slot| SlotValue {
            slot: Slot(slot),
            value: Bytes::from(format!("{slot} at {round}")),
        });
        let (chosen_below, trim_below) = (Slot(chosen_below), Slot(trim_below));
        Message::Accept(Accept {
            roster: roster(),
            ballot: ballot(round),
            proposals: proposals.collect(),
            chosen_below,
            trim_below,
        })
    };
    let told = [
        vec![
            prepare(1, 0),
            accept(1, 0..3, 0, 0),
            accept(1, 3..5, 3, 0),
            prepare(2, 0),
            accept(2, 3..6, 5, 2),
        ],
        vec![accept(4, 0..9, 0, 0), accept(3, 0..1, 0, 0), prepare(5, 2), accept(5, 0..0, 9, 9)],
    ];
    let encode = |messages: &Vec<Message>| {
        let encoded = messages.iter().map(|message| {
            postcard::to_allocvec(message).expect("encoding into memory does not fail")
        });
        encoded.collect::<Vec<_>>().concat()
    };
    told.iter().map(encode).collect()
}
