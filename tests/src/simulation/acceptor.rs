//! The simulated shell of an acceptor: one writer that drains its queue, writes, syncs once, and answers all.

use std::collections::BTreeMap;
use std::time::Duration;

use acceptor::acceptor::{Acceptor, Decision, Persisted, Plan as Planned};
use acceptor::limits::Limits;
use shared::ids::{AcceptorId, Ballot, Name};
use shared::message::{
    Accept, AcceptReply, Accepted, Directory, DirectoryEntry, Full, Marks, Member, Prepare, PrepareReply, Roster, VotesPage,
    Watermarks,
};

use super::disk::AcceptorDisk;
use super::environment::Environment;
use super::event::Local;
use super::faults::Power;
use super::message::{Delivery, Message};
use super::node::{CrashPoint, Life, NodeId, Presence, Process};
use super::reach::Reached;

/// An acceptor and its disk.
#[derive(Debug)]
pub struct AcceptorNode {
    /// What all processes have.
    pub process: Process,
    /// Its disk, which outlives it.
    pub disk: AcceptorDisk,
    limits: Limits,
    core: Acceptor,
    /// What it had on disk when it last synced: watermarks tell of nothing else.
    synced: Synced,
    /// Requests that wait for the writer.
    waiting: Vec<Delivery>,
    /// Requests whose records are being synced.
    syncing: Vec<Pending>,
    is_syncing: bool,
    /// When it last heard from a leader, by its own clock; its start where it has not.
    heard_leader_at: Duration,
    members: BTreeMap<Name, (Member, Duration)>,
    /// How long a sync takes, while its disk is slow.
    pub slow_sync: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct Synced {
    roster: Option<Roster>,
    promised: Option<Ballot>,
    marks: Marks,
}

#[derive(Debug)]
struct Pending {
    to: NodeId,
    to_life: Life,
    reply: PendingReply,
}

#[derive(Debug)]
enum PendingReply {
    Prepare(Ballot, Decision<PrepareReply>),
    Accept(u64, Ballot, Decision<AcceptReply>),
}

/// For how long a member is kept in the directory.
const MEMBER_EXPIRY: Duration = Duration::from_secs(10);

/// Whether the process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It does.
    Alive,
    /// It was killed at the step where it was to be.
    Crashed,
}

impl AcceptorNode {
    /// An acceptor with a new disk, not started yet.
    #[must_use]
    pub fn new(process: Process, id: AcceptorId, limits: Limits) -> Self {
        let core = Acceptor::new(id, limits);
        Self {
            process,
            disk: AcceptorDisk::new(id),
            limits,
            core,
            synced: Synced::default(),
            waiting: Vec::new(),
            syncing: Vec::new(),
            is_syncing: false,
            heard_leader_at: Duration::ZERO,
            members: BTreeMap::new(),
            slow_sync: None,
        }
    }

    /// Starts it from its disk.
    pub fn start(&mut self, env: &mut Environment) {
        self.process.start(env.queue.now());
        self.core = self.disk.recover(self.limits);
        self.core.check_invariants();
        (self.waiting, self.syncing, self.is_syncing) = (Vec::new(), Vec::new(), false);
        self.heard_leader_at = self.now(env);
        self.members.clear();
        self.remember_synced();
        env.observer.acceptor_started(&self.core);
    }

    /// Kills it.
    pub fn crash(&mut self, env: &mut Environment, presence: Presence, power: Power) {
        if !self.disk.unsynced().is_empty() {
            let written = self.disk.unsynced().len();
            let kept = match power {
                Power::Stays => self.disk.keep_all(),
                Power::Fails => self.disk.lose_power(&mut self.process.random),
            };
            env.reach.hit(Reached::CrashedWritten);
            if kept.len() < written && !kept.is_empty() {
                env.reach.hit(Reached::Torn);
            }
            env.observer.persisted(self.disk.id, &kept, &mut env.reach);
        }
        self.process.stop(presence);
    }

    /// Gives it an empty disk, under another identity.
    pub fn wipe(&mut self, env: &mut Environment, id: AcceptorId) {
        env.observer.wiped(self.disk.id);
        self.disk = AcceptorDisk::new(id);
    }

    /// A request arrived.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other messages are never sent here, which is a panic")]
    pub fn on_message(&mut self, env: &mut Environment, delivery: Delivery) -> Fate {
        let Delivery { from, from_life, message, .. } = delivery;
        let answer = match message {
            Message::Poll(poll) => Message::Polled(poll, self.watermarks(env)),
            Message::Probe(probe) => Message::Probed(probe, self.watermarks(env)),
            Message::Announce(member) => Message::Directory(self.announce(env, member)),
            Message::ReadVotes(fetch, slot) => {
                let (votes, next) = self.core.votes(slot);
                let (roster, marks) = (self.core.roster().cloned(), self.core.marks());
                Message::Votes(fetch, VotesPage { acceptor: self.core.id(), roster, votes, next, marks })
            }
            message @ (Message::Prepare(_) | Message::Accept(..)) => {
                self.waiting.push(Delivery { from, from_life, to: self.process.id, to_life: None, message });
                return if self.is_syncing { Fate::Alive } else { self.write_group(env) };
            }
            other => unreachable!("nobody sends an acceptor {}", other.name()),
        };
        env.send(self.process.id, self.process.life, from, Some(from_life), answer);
        Fate::Alive
    }

    /// The sync returned: what was decided may be told.
    pub fn on_synced(&mut self, env: &mut Environment) -> Fate {
        env.observer.persisted(self.disk.id, self.disk.unsynced(), &mut env.reach);
        self.disk.sync(&self.core);
        if self.process.crashes_at(CrashPoint::Synced) {
            env.reach.hit(Reached::CrashedSynced);
            return Fate::Crashed;
        }
        self.remember_synced();
        self.is_syncing = false;
        for Pending { to, to_life, reply } in std::mem::take(&mut self.syncing) {
            let message = self.reply(env, reply);
            env.send(self.process.id, self.process.life, to, Some(to_life), message);
        }
        if self.waiting.is_empty() { Fate::Alive } else { self.write_group(env) }
    }

    /// The state, for those who watch.
    #[must_use]
    pub fn core(&self) -> &Acceptor {
        &self.core
    }

    fn reply(&mut self, env: &mut Environment, reply: PendingReply) -> Message {
        let proof = Persisted::assert_synced();
        let now = self.now(env);
        match reply {
            PendingReply::Prepare(ballot, decision) => {
                let reply = decision.persisted(proof);
                match &reply {
                    PrepareReply::Promise(promise) => {
                        self.heard_leader_at = now;
                        if promise.next.is_some() {
                            env.reach.hit(Reached::Paged);
                        }
                    }
                    PrepareReply::Nack(_) => env.reach.hit(Reached::Nacked),
                    PrepareReply::Stranger(_) => {}
                }
                Message::Prepared(ballot, reply)
            }
            PendingReply::Accept(number, ballot, decision) => {
                let reply = decision.persisted(proof);
                match &reply {
                    AcceptReply::Accepted(Accepted { ballot, .. }) if self.core.promised() == Some(*ballot) => {
                        self.heard_leader_at = now;
                    }
                    AcceptReply::Nack(_) => env.reach.hit(Reached::Nacked),
                    AcceptReply::Full(_) => {
                        self.heard_leader_at = now;
                        env.reach.hit(Reached::Full);
                    }
                    AcceptReply::Accepted(_) | AcceptReply::Stranger(_) => {}
                }
                Message::Accepted(number, ballot, reply)
            }
        }
    }

    /// Decides all that waits, writes what that needs, and starts to sync.
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other messages are never sent here, which is a panic")]
    fn write_group(&mut self, env: &mut Environment) -> Fate {
        for Delivery { from, from_life, message, .. } in std::mem::take(&mut self.waiting) {
            let reply = match message {
                Message::Prepare(prepare) => self.decide_prepare(&prepare),
                Message::Accept(number, accept) => {
                    let reply = self.decide_accept(number, &accept);
                    if reply.is_none() {
                        // Nothing is decided, so nothing has to be on disk before it is said.
                        env.reach.hit(Reached::Full);
                        let refusal = Message::Accepted(number, accept.ballot, full(self.disk.id));
                        env.send(self.process.id, self.process.life, from, Some(from_life), refusal);
                    }
                    reply
                }
                other => unreachable!("only Prepare and Accept wait, not {}", other.name()),
            };
            self.syncing.extend(reply.map(|reply| Pending { to: from, to_life: from_life, reply }));
        }
        if self.process.crashes_at(CrashPoint::Decided) {
            env.reach.hit(Reached::CrashedDecided);
            return Fate::Crashed;
        }
        for Pending { reply, .. } in &mut self.syncing {
            let records = match reply {
                PendingReply::Prepare(_, decision) => &mut decision.records,
                PendingReply::Accept(_, _, decision) => &mut decision.records,
            };
            self.disk.write(std::mem::take(records));
        }
        if self.process.crashes_at(CrashPoint::Written) {
            return Fate::Crashed;
        }
        self.is_syncing = true;
        let (low, high) = env.plan.tuning.sync;
        let mut lasts = self.process.random.magnitude(low, self.slow_sync.unwrap_or(high));
        if self.disk.unsynced().is_empty() {
            lasts = Duration::ZERO;
        }
        env.local(&self.process, lasts, Local::Synced);
        Fate::Alive
    }

    fn decide_prepare(&mut self, prepare: &Prepare) -> Option<PendingReply> {
        self.limits.check_prepare(prepare).expect("a coordinator sends what makes sense");
        let plan = self.core.plan_prepare(prepare);
        // A full disk keeps no promise: the request fails.
        if !self.has_room(&plan) {
            return None;
        }
        Some(PendingReply::Prepare(prepare.ballot, self.core.commit(plan)))
    }

    fn decide_accept(&mut self, number: u64, accept: &Accept) -> Option<PendingReply> {
        let plan = match self.core.plan_accept(accept) {
            Ok(plan) => plan,
            Err(error) => panic!("a coordinator sent what none should: {error}"),
        };
        if !self.has_room(&plan) {
            return None;
        }
        Some(PendingReply::Accept(number, accept.ballot, self.core.commit(plan)))
    }

    fn has_room<R>(&self, plan: &Planned<R>) -> bool {
        !self.disk.is_full || plan.records().is_empty()
    }

    fn watermarks(&self, env: &Environment) -> Watermarks {
        let silent = self.now(env).saturating_sub(self.heard_leader_at);
        let Synced { roster, promised, marks } = self.synced.clone();
        let leader_silent_ms = u64::try_from(silent.as_millis()).expect("a simulation is not that long");
        Watermarks { acceptor: self.disk.id, roster, promised, marks, leader_silent_ms }
    }

    fn announce(&mut self, env: &Environment, member: Member) -> Directory {
        let now = self.now(env);
        self.members.insert(member.name.clone(), (member, now));
        self.members.retain(|_, (_, heard_at)| now.saturating_sub(*heard_at) < MEMBER_EXPIRY);
        let entry = |(member, heard_at): &(Member, Duration)| DirectoryEntry {
            member: member.clone(),
            age_ms: u64::try_from(now.saturating_sub(*heard_at).as_millis()).expect("below the expiry"),
        };
        Directory { members: self.members.values().map(entry).collect() }
    }

    fn remember_synced(&mut self) {
        self.synced = Synced { roster: self.core.roster().cloned(), promised: self.core.promised(), marks: self.core.marks() };
    }

    fn now(&self, env: &Environment) -> Duration {
        self.process.uptime(env.queue.now())
    }
}

/// A refusal for want of room, as the shell makes it.
fn full(acceptor: AcceptorId) -> AcceptReply {
    AcceptReply::Full(Full { acceptor, limit: "disk".to_owned() })
}
