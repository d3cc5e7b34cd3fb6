//! The protocol, one sentence a test. A [`Rig`] holds one replica and plays its shell.

mod bounds;
mod compacting;
mod following;
mod forks;
mod identity;
mod installing;
mod joining;
mod learning;
mod leases;
mod model;
mod reading;
mod refusing;
mod removals;
mod requests;
mod retaining;
mod rig;
mod storing;
mod taking_over;
mod writing;

use std::time::Duration;

use bytes::Bytes;
use shared::chain::ChainHash;
use shared::ids::{
    AcceptorId, Ballot, BatchNumber, ClusterId, CoordinatorId, Draw, Epoch, Generation, Instance,
    LogFormat, Revision, Slot,
};
use shared::message::{
    Batch, ChosenEntry, ChosenReply, Directory, DirectoryEntry, EncodedValue, Heartbeat,
    HeartbeatReply, LogPrefix, Marks, Member, OfCluster, Phase, Proposal, ProposalReply, Roster,
    Service, Value, View, Watermarks,
};
use shared::page::PageLimits;

use self::rig::Rig;
use super::*;
use crate::machine::command::{AnswerRetention, Command, Commands, Condition, Op};
use crate::machine::execute::{CommandOutcome, Delivery, ExecutionReport, Run};
use crate::machine::format;
use crate::machine::identity::RequestIdentity;
use crate::machine::state::ReplicatedState;
use crate::replica::event::{
    Answer, Attempt, FetchId, NoAnswer, NotApplied, ProbeId, ProbeScope, Role, SnapshotFailure,
    SourceKind,
};

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn ballot(round: u64) -> Ballot {
    Ballot { round, coordinator: CoordinatorId(round) }
}

fn member(name: &str, service: Service) -> Member {
    Member {
        name: name.parse().unwrap(),
        service,
        url: format!("http://{name}"),
        instance: Instance(7),
    }
}

fn coordinator(number: u64) -> Member {
    member(&format!("coordinator-{number}"), Service::Coordinator)
}

fn replica(number: u64) -> Member {
    member(&format!("replica-{number}"), Service::Replica)
}

fn roster() -> Roster {
    Roster::new(ClusterId(1), Generation(0), [1, 2, 3].map(AcceptorId).to_vec()).unwrap()
}

fn cluster() -> ClusterId {
    roster().cluster()
}

/// An answer within the cluster.
fn ours<T>(content: T) -> OfCluster<T> {
    OfCluster::new(cluster(), content)
}

/// Fetches follow each other at once.
fn config() -> Config {
    Config { fetch_pause: Duration::ZERO, ..Config::default() }
}

fn watermarks(acceptor: u64, voted_below: u64, roster: Option<Roster>) -> Watermarks {
    let marks = Marks { voted_below: Slot(voted_below), ..Marks::default() };
    Watermarks {
        acceptor: AcceptorId(acceptor),
        roster,
        draw: Draw(1),
        promised: None,
        marks,
        leader_silent_ms: 0,
    }
}

/// A view of replicas 1 to 3, in which replica `primary` is that.
fn view(epoch: u64, primary: u64) -> View {
    let backups =
        (1..=3).filter(|number| *number != primary).map(|number| replica(number).name).collect();
    View {
        epoch: Epoch(epoch),
        primary: replica(primary).name,
        primary_instance: Instance(7),
        backups,
        format: LogFormat::FIRST,
    }
}

fn entry(slot: u64, value: EncodedValue) -> ChosenEntry {
    ChosenEntry { slot: Slot(slot), ballot: ballot(1), value }
}

fn view_entry(slot: u64, epoch: u64, primary: u64) -> ChosenEntry {
    entry(slot, Value::View(view(epoch, primary)).encode())
}

fn noop(slot: u64) -> ChosenEntry {
    entry(slot, Value::Noop.encode())
}

fn put(key: &str) -> Command {
    let op = Op::Put {
        key: key.to_owned(),
        value: Bytes::new(),
        content_type: None,
        condition: Condition::Always,
    };
    Command { op, trace: None, request: identity(key) }
}

/// One for each word.
fn identity(word: &str) -> RequestIdentity {
    let digest = *blake3::hash(word.as_bytes()).as_bytes();
    RequestIdentity::Drawn(*digest.first_chunk().expect("a digest has 32 bytes"))
}

fn batch(epoch: u64, number: u64, keys: &[&str]) -> EncodedValue {
    let commands = Commands {
        time_ms: 0,
        wall_ms: 0,
        trace: None,
        answers: AnswerRetention::default(),
        commands: keys.iter().map(|key| put(key)).collect(),
        executed: None,
    }
    .encode();
    Value::Batch(Batch { epoch: Epoch(epoch), number: BatchNumber(number), commands }).encode()
}

fn arm(timer: Timer, after: u64, jitter: u64) -> Effect {
    Effect::Arm { timer, after: ms(after), jitter: ms(jitter) }
}

fn propose(to: u64, attempt: u64, epoch: u64, number: u64, keys: &[&str]) -> Effect {
    let (epoch_id, number_id) = (Epoch(epoch), BatchNumber(number));
    let proposal = Proposal {
        cluster: cluster(),
        epoch: epoch_id,
        number: number_id,
        value: batch(epoch, number, keys),
    };
    Effect::Propose { to: coordinator(to), attempt: Attempt(attempt), proposal }
}

fn fetch(fetch: u64, source: Member, from: u64) -> Effect {
    let kind = if source.service == Service::Replica {
        SourceKind::Replica
    } else {
        SourceKind::Coordinator
    };
    let (fetch, from, cluster) = (FetchId(fetch), Slot(from), cluster());
    Effect::Fetch { fetch, kind, source, cluster, from, wait_ms: 1_000 }
}

fn execute(entries: &[ChosenEntry]) -> Effect {
    Effect::Execute { entries: entries.to_vec() }
}

fn learned(below: u64) -> Effect {
    Effect::Learned { below: Slot(below) }
}

fn probe(probe: u64, asked: ProbeScope) -> Effect {
    Effect::Probe { probe: ProbeId(probe), asked }
}

/// A probe of a quorum, for reads.
fn asks(number: u64) -> [Effect; 3] {
    [probe(number, ProbeScope::Quorum), arm(Timer::Probe, 1_000, 0), arm(Timer::ProbeRest, 10, 0)]
}

fn release(ids: &[u64], executed_below: u64, revision: u64) -> Effect {
    let ids = ids.iter().copied().map(RequestId).collect();
    Effect::Release { ids, executed_below: Slot(executed_below), revision: Revision(revision) }
}

fn answer(id: u64, answer: Answer) -> Effect {
    Effect::Answer { id: RequestId(id), answer }
}

fn created(id: u64, slot: u64, revision: u64) -> Effect {
    let outcome = CommandOutcome::Created { revision: Revision(revision) };
    let delivery = Delivery::First;
    answer(id, Answer::Executed { slot: Slot(slot), outcome, delivery })
}

/// The same of one who sent the request again.
fn replayed(id: u64, slot: u64, revision: u64) -> Effect {
    let outcome = CommandOutcome::Created { revision: Revision(revision) };
    let delivery = Delivery::Replayed;
    answer(id, Answer::Executed { slot: Slot(slot), outcome, delivery })
}

fn chosen_at(slot: u64) -> ProposalReply {
    ProposalReply::Chosen { slot: Slot(slot), ballot: ballot(1), chosen_below: Slot(slot + 1) }
}

fn entries(entries: &[ChosenEntry], chosen_below: u64) -> Result<ChosenReply, NoAnswer> {
    Ok(ChosenReply::Entries {
        entries: entries.to_vec(),
        chosen_below: Slot(chosen_below),
        previous: None,
    })
}

/// The log that these entries are.
fn prefix(log: &[ChosenEntry]) -> LogPrefix {
    let hash =
        log.iter().fold(ChainHash::default(), |hash, entry| hash.next(entry.slot, &entry.value));
    LogPrefix { below: Slot(log.len() as u64), hash }
}
