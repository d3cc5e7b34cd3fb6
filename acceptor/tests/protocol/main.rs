//! The acceptor's protocol, one sentence each: the whole reply and all records.
//!
//! Sections are those of Lamport, *Paxos Made Simple* (2001); what goes beyond the paper
//! cites nothing.

use std::fmt::Debug;

use acceptor::acceptor::{AcceptError, Acceptor, Decision, Limits, Persisted, Record};
use bytes::Bytes;
use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Draw, Generation, Slot};
use shared::message::{
    Accept, AcceptReply, Accepted, Full, Marks, Nack, Prepare, PrepareReply, Promise, Roster,
    SlotValue, Stranger, Vote, VoteRoom,
};

mod accept;
mod limits;
mod membership;
mod prepare;
mod replay;
mod succession;
mod trim;

const ME: AcceptorId = AcceptorId(2);

fn roster() -> Roster {
    Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1), ME, AcceptorId(3)]).unwrap()
}

fn ballot(round: u64) -> Ballot {
    Ballot { round, coordinator: CoordinatorId(7) }
}

fn value(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn at(slot: u64, text: &str) -> SlotValue {
    SlotValue { slot: Slot(slot), value: value(text) }
}

fn vote(slot: u64, round: u64, text: &str) -> Vote {
    Vote { slot: Slot(slot), ballot: ballot(round), value: value(text) }
}

fn marks(voted_below: u64, chosen_below: u64, trimmed_below: u64) -> Marks {
    Marks {
        voted_below: Slot(voted_below),
        chosen_below: Slot(chosen_below),
        trimmed_below: Slot(trimmed_below),
    }
}

fn prepare(round: u64, from: u64) -> Prepare {
    Prepare { roster: roster(), ballot: ballot(round), from: Slot(from) }
}

fn accept(round: u64, proposals: &[SlotValue]) -> Accept {
    let proposals = proposals.to_vec();
    Accept {
        roster: roster(),
        ballot: ballot(round),
        proposals,
        chosen_below: Slot(0),
        trim_below: Slot(0),
    }
}

fn voted(round: u64, votes: &[SlotValue], chosen_below: u64) -> Record {
    Record::Voted { ballot: ballot(round), votes: votes.to_vec(), chosen_below: Slot(chosen_below) }
}

fn promise(round: u64, from: u64, votes: Vec<Vote>, marks: Marks) -> PrepareReply {
    let (acceptor, ballot, from) = (ME, ballot(round), Slot(from));
    PrepareReply::Promise(Promise { acceptor, ballot, from, votes, next: None, marks })
}

/// The reply of an acceptor that has voted.
fn accepted(acceptor: &Acceptor, round: u64, slots: &[u64], marks: Marks) -> AcceptReply {
    let slots = slots.iter().copied().map(Slot).collect();
    let room = VoteRoom {
        used_bytes: acceptor.vote_bytes() as u64,
        limit_bytes: acceptor.limits().vote_bytes as u64,
    };
    AcceptReply::Accepted(Accepted { acceptor: ME, ballot: ballot(round), slots, marks, room })
}

fn nack(promised: u64) -> Nack {
    Nack { acceptor: ME, promised: ballot(promised) }
}

/// An acceptor that is a member of the cluster and has promised nothing but round 0.
fn member() -> Acceptor {
    let mut acceptor = Acceptor::new(ME, Draw(2), Limits::default());
    acceptor.replay(Record::Joined(roster()));
    acceptor.replay(Record::Promised(ballot(0)));
    acceptor
}

/// A member that is given these accepts, which it must take.
fn member_after(accepts: &[Accept]) -> Acceptor {
    let mut acceptor = member();
    for accept in accepts {
        let _ = acceptor.accept(accept).unwrap();
    }
    acceptor
}

/// Asserts the whole of a decision.
#[track_caller]
fn assert_decision<R: Debug + PartialEq>(decision: Decision<R>, records: &[Record], reply: R) {
    assert_eq!(decision.records, records);
    assert_eq!(decision.persisted(Persisted::assert_synced()), reply);
}
