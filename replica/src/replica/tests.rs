//! The protocol, one sentence a test. A [`Rig`] holds one replica and plays its shell,
//! with a complete working set for its database.

mod bounds;
mod compacting;
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

/// Replica 1 and its shell.
struct Rig {
    replica: Replica,
    database: ReplicatedState,
    now: Duration,
}

impl Rig {
    /// Not started yet.
    fn new(config: Config) -> Self {
        let identity =
            Identity { name: replica(1).name, instance: Instance(7), url: replica(1).url };
        Self {
            replica: Replica::new(config, identity, Recovered::default()),
            database: ReplicatedState::complete(),
            now: ms(0),
        }
    }

    /// Started, knows two coordinators and two other replicas, and belongs to the
    /// cluster. No coordinator leads.
    fn joined(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.step(Input::Started);
        let members = [coordinator(1), coordinator(2), replica(1), replica(2), replica(3)];
        rig.directory(&members);
        rig.watermarks(1, 1, 0);
        rig.watermarks(1, 2, 0);
        rig
    }

    /// Joined; coordinator 1 leads at ballot 1, and the views are executed: epoch 1 with
    /// the first primary, and so on.
    fn in_views(config: Config, primaries: &[u64]) -> Self {
        let mut rig = Self::joined(config);
        rig.leads(1, 1, 0);
        for (epoch, primary) in (1..).zip(primaries) {
            rig.chosen(&[view_entry(epoch - 1, epoch, *primary)]);
        }
        rig
    }

    /// Primary in epoch 1, with slot 0 executed.
    fn primary() -> Self {
        Self::in_views(config(), &[1])
    }

    /// Backup of replica 2 in epoch 1, with slot 0 executed. Fetch 2, of replica 2, is
    /// under way.
    fn backup() -> Self {
        Self::in_views(config(), &[2])
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        self.replica.step(self.now, input)
    }

    fn after(&mut self, milliseconds: u64) -> &mut Self {
        self.now += ms(milliseconds);
        self
    }

    fn fire(&mut self, timer: Timer) -> Vec<Effect> {
        self.step(Input::Fired(timer))
    }

    fn directory(&mut self, members: &[Member]) -> Vec<Effect> {
        let members = members
            .iter()
            .map(|member| DirectoryEntry { member: member.clone(), age_ms: 0 })
            .collect();
        self.step(Input::Directory(Directory { members }))
    }

    fn watermarks(&mut self, probe: u64, acceptor: u64, voted_below: u64) -> Vec<Effect> {
        let reply = Ok(watermarks(acceptor, voted_below, Some(roster())));
        self.step(Input::ProbeReply { probe: ProbeId(probe), reply })
    }

    fn leads(&mut self, number: u64, round: u64, chosen_below: u64) -> Vec<Effect> {
        let reply = HeartbeatReply {
            coordinator: CoordinatorId(7),
            phase: Phase::Phase2,
            ballot: Some(ballot(round)),
            chosen_below: Slot(chosen_below),
        };
        let reply = Ok(ours(reply));
        self.step(Input::HeartbeatReply { from: coordinator(number).name, reply })
    }

    /// A source answers. A replica has the same log below the slot asked for.
    fn fetched(&mut self, fetch: u64, reply: Result<ChosenReply, NoAnswer>) -> Vec<Effect> {
        let fetch = FetchId(fetch);
        let is_replica = self
            .replica
            .fetching
            .source(fetch)
            .is_some_and(|source| source.kind == SourceKind::Replica);
        let reply = reply.map(|reply| match reply {
            ChosenReply::Entries { entries, chosen_below, previous: None } if is_replica => {
                let learned_below = self.replica.learner.learned_below();
                let from = entries.first().map_or(learned_below, |entry| entry.slot);
                let previous = self.replica.learner.prefix(from);
                ChosenReply::Entries { entries, chosen_below, previous }
            }
            reply @ (ChosenReply::Entries { .. }
            | ChosenReply::Trimmed { .. }
            | ChosenReply::Unavailable) => reply,
        });
        self.step(Input::Fetched { fetch, reply: reply.map(ours) })
    }

    fn log_from(&self, from: u64, max_entries: usize, max_bytes: usize) -> LogPage {
        self.replica
            .log_from(cluster(), Slot(from), PageLimits { items: max_entries, bytes: max_bytes })
            .unwrap()
    }

    fn mutation(&mut self, id: u64, key: &str) -> Vec<Effect> {
        self.step(Input::Mutation { id: RequestId(id), command: put(key), since: None, wall_ms: 0 })
    }

    fn read(&mut self, id: u64) -> Vec<Effect> {
        self.step(Input::Reads { ids: vec![RequestId(id)] })
    }

    fn cancel(&mut self, id: u64) -> Vec<Effect> {
        self.step(Input::Cancel { id: RequestId(id) })
    }

    fn reply(
        &mut self,
        attempt: u64,
        epoch: u64,
        number: u64,
        reply: Result<ProposalReply, NoAnswer>,
    ) -> Vec<Effect> {
        let (epoch, number) = (Epoch(epoch), BatchNumber(number));
        let (attempt, reply) = (Attempt(attempt), reply.map(ours));
        self.step(Input::ProposalReply { epoch, number, attempt, reply })
    }

    /// Executes what was handed out and stores it, as the shell does, whether or not it is
    /// told to.
    fn run(&mut self, entries: &[ChosenEntry]) -> Vec<Effect> {
        let mut effects = self.execute(entries);
        effects.retain(|effect| *effect != Effect::Store);
        effects.extend(self.store());
        effects
    }

    fn execute(&mut self, entries: &[ChosenEntry]) -> Vec<Effect> {
        let report = Run::new(entries.to_vec()).apply(&mut self.database);
        self.step(Input::Executed(report))
    }

    fn store(&mut self) -> Vec<Effect> {
        self.step(Input::Stored(Stored::of(self.database.meta())))
    }

    /// These entries come from somewhere, and are executed.
    fn chosen(&mut self, chosen: &[ChosenEntry]) -> Vec<Effect> {
        let below = chosen.last().unwrap().slot.0 + 1;
        let effects = self.fetched(0, entries(chosen, below));
        assert!(effects.contains(&execute(chosen)), "{effects:?}");
        self.run(chosen)
    }

    fn heartbeats(
        &self,
        view: Option<View>,
        executed_below: u64,
        nudge_below: Option<u64>,
    ) -> Vec<Effect> {
        self.heartbeats_with(Storage::Writable, view, executed_below, nudge_below)
    }

    fn heartbeats_with(
        &self,
        storage: Storage,
        view: Option<View>,
        executed_below: u64,
        nudge_below: Option<u64>,
    ) -> Vec<Effect> {
        let message = Heartbeat {
            cluster: cluster(),
            replica: replica(1).name,
            instance: Instance(7),
            url: replica(1).url,
            view,
            executed_below: Slot(executed_below),
            hash: self.replica.meta.hash,
            durable_below: Slot(0),
            highest_format: format::HIGHEST,
            storage,
            nudge_below: nudge_below.map(Slot),
        };
        [1, 2]
            .map(|number| Effect::Heartbeat { to: coordinator(number), message: message.clone() })
            .to_vec()
    }
}
