//! The simulated shell of an acceptor: one writer that drains its queue, writes, syncs
//! once, and answers all.

mod writer;

use std::time::Duration;

use acceptor::acceptor::Acceptor;
use acceptor::directory::{AnnounceError, Members};
use acceptor::limits::Limits;
use shared::discovery::Listing;
use shared::ids::{Ballot, Instance};
use shared::message::{Announcement, Marks, Member, Roster, Service, Watermarks};

use writer::{Pending, is_of_leader, told};

use super::disk::AcceptorDisk;
use super::process::{CrashPoint, NodeId, Presence, Process};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Local;
use crate::simulation::environment::message::{Delivery, Message};
use crate::simulation::plan::faults::Power;

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
    /// How many groups have changed what it knows.
    changes: u64,
    /// When it last heard from a leader, by its own clock; its start where it has not.
    heard_leader_at: Duration,
    /// When it heard from one whose votes found no room: told of with what is synced
    /// next.
    hears_leader_at: Option<Duration>,
    members: Members,
    /// How long a sync takes, while its disk is slow.
    pub slow_sync: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct Synced {
    roster: Option<Roster>,
    promised: Option<Ballot>,
    marks: Marks,
}

/// Where an acceptor is reached.
#[must_use]
pub fn url_of(node: NodeId) -> String {
    format!("sim://{node}")
}

/// The acceptor that is reached there.
#[must_use]
pub fn acceptor_at(url: &str) -> NodeId {
    let number = url.strip_prefix("sim://acceptor-").and_then(|number| number.parse::<u8>().ok());
    NodeId::Acceptor(number.expect("an acceptor's address") - 1)
}

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
    pub fn new(process: Process, disk: AcceptorDisk, limits: Limits) -> Self {
        let core = disk.recover(limits);
        Self {
            process,
            disk,
            limits,
            core,
            synced: Synced::default(),
            waiting: Vec::new(),
            syncing: Vec::new(),
            is_syncing: false,
            changes: 0,
            heard_leader_at: Duration::ZERO,
            hears_leader_at: None,
            members: Members::default(),
            slow_sync: None,
        }
    }

    /// Starts it from its disk.
    pub fn start(&mut self, env: &mut Environment) {
        self.process.start(env.queue.now());
        // It relies on nothing that it reads before that is synced.
        let id = self.disk.id;
        env.observer.persisted(id, self.disk.keep_all(), &mut env.coverage);
        self.core = self.disk.recover(self.limits);
        self.core.check_invariants();
        (self.waiting, self.syncing, self.is_syncing) = (Vec::new(), Vec::new(), false);
        (self.heard_leader_at, self.hears_leader_at) = (self.now(env), None);
        self.members = Members::default();
        self.remember_synced();
        env.observer.acceptor_started(&self.core);
    }

    /// Kills it. What it had written is still in its machine's memory, and on disk only
    /// when it is next started.
    pub fn crash(&mut self, env: &mut Environment, presence: Presence, power: Power) {
        self.core.check_invariants();
        if !self.disk.unsynced().is_empty() {
            env.coverage.hit(Reached::CrashedWritten);
        }
        if power == Power::Fails {
            self.lose_power(env);
        }
        self.process.stop(presence);
    }

    /// Its machine loses power, whether it runs or not.
    pub fn lose_power(&mut self, env: &mut Environment) {
        let (id, written) = (self.disk.id, self.disk.unsynced().len());
        let kept = self.disk.lose_power(&mut self.process.random);
        if kept.len() < written {
            env.coverage.hit(if kept.is_empty() { Reached::UnsyncedLost } else { Reached::Torn });
        }
        env.observer.persisted(id, kept, &mut env.coverage);
    }

    /// Gives it an empty disk, under another identity.
    pub fn wipe(&mut self, env: &mut Environment, empty: AcceptorDisk) {
        env.observer.wiped(self.disk.id);
        self.disk = empty;
    }

    /// A request arrived.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all other messages are never sent here, which is a panic"
    )]
    pub fn on_message(&mut self, env: &mut Environment, delivery: Delivery) -> Fate {
        let back = delivery.back();
        let answer = match delivery.message {
            Message::Poll(poll) => Message::Polled(poll, self.watermarks(env)),
            Message::Probe(probe) => Message::Probed(probe, self.watermarks(env)),
            Message::Announce(announcement) => match self.announce(env, announcement.clone()) {
                Ok(listing) => Message::Listed(listing),
                Err(AnnounceError::OtherCluster(_)) => {
                    Message::Refused(Box::new(Message::Announce(announcement)))
                }
                Err(error) => {
                    panic!("what services announce makes sense, and they are few: {error}")
                }
            },
            Message::Prepare(_)
            | Message::Accept(_)
            | Message::Succession(_)
            | Message::ReadVotes(_) => {
                self.waiting.push(delivery);
                return if self.is_syncing { Fate::Alive } else { self.write_group(env) };
            }
            other => unreachable!("nobody sends an acceptor {}", other.name()),
        };
        env.answer(&self.process, back, answer);
        Fate::Alive
    }

    /// What is being synced is done soon.
    pub fn hurry(&self, env: &mut Environment) {
        if self.is_syncing {
            env.local(&self.process, Duration::ZERO, Local::Synced);
        }
    }

    /// The sync returned: what was decided may be told.
    pub fn on_synced(&mut self, env: &mut Environment) -> Fate {
        // One that was hurried returns twice.
        if !self.is_syncing {
            return Fate::Alive;
        }
        env.observer.persisted(self.disk.id, self.disk.unsynced(), &mut env.coverage);
        self.disk.sync(&self.core);
        if self.process.crashes_at(CrashPoint::Synced) {
            env.coverage.hit(Reached::CrashedSynced);
            return Fate::Crashed;
        }
        self.remember_synced();
        self.is_syncing = false;
        for Pending { back, reply, decided_at } in std::mem::take(&mut self.syncing) {
            let answer = told(reply, &mut env.coverage);
            if is_of_leader(&answer) {
                self.heard_leader_at = self.heard_leader_at.max(decided_at);
            }
            env.answer(&self.process, back, answer);
        }
        if self.waiting.is_empty() { Fate::Alive } else { self.write_group(env) }
    }

    /// The state, for those who watch.
    #[must_use]
    pub fn core(&self) -> &Acceptor {
        &self.core
    }

    fn watermarks(&self, env: &Environment) -> Watermarks {
        let silent = self.now(env).saturating_sub(self.heard_leader_at);
        let Synced { roster, promised, marks } = self.synced.clone();
        let leader_silent_ms =
            u64::try_from(silent.as_millis()).expect("a simulation is not that long");
        let (acceptor, draw) = (self.disk.id, self.disk.draw);
        Watermarks { acceptor, roster, draw, promised, marks, leader_silent_ms }
    }

    /// Lists a member, and tells of all, itself among them.
    fn announce(
        &mut self,
        env: &Environment,
        announcement: Announcement,
    ) -> Result<Listing, AnnounceError> {
        let cluster = self.synced.roster.as_ref().map(Roster::cluster);
        if let Some(cluster) = cluster {
            self.members.belong_to(cluster);
        }
        let (now, name) = (self.now(env), self.process.id.to_string().parse().expect("a name"));
        let url = format!("sim://{name}");
        let own = Member {
            name,
            service: Service::Acceptor,
            url,
            instance: Instance(u64::from(self.process.life.0)),
        };
        for announcement in [announcement, Announcement { cluster, member: own }] {
            let name = announcement.member.name.clone();
            self.members.announce(now, &name, announcement)?;
        }
        Ok(Listing { cluster, directory: self.members.list(now) })
    }

    fn remember_synced(&mut self) {
        self.heard_leader_at = self.hears_leader_at.take().unwrap_or(self.heard_leader_at);
        self.synced = Synced {
            roster: self.core.roster().cloned(),
            promised: self.core.promised(),
            marks: self.core.marks(),
        };
    }

    fn now(&self, env: &Environment) -> Duration {
        self.process.uptime(env.queue.now())
    }
}
