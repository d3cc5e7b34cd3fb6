//! Serves other replicas that fetch the log, and keeps the directory of members.

use std::sync::Arc;
use std::time::Duration;

use replica::replica::event::{Input, SnapshotFailure};
use replica::replica::{Identity, LogPage};
use shared::discovery::{INTERVAL, Listing};
use shared::ids::ClusterId;
use shared::message::{
    Announcement, ChosenReply, ClusterError, Member, OfCluster, Service, SuccessionRequest,
};
use shared::page::PageLimits;

use super::{ReplicaNode, Waiting};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Local;
use crate::simulation::environment::message::{Message, Return};
use crate::simulation::nodes::acceptor::Fate;
use crate::simulation::nodes::database::Database;
use crate::simulation::nodes::process::NodeId;

/// Bytes in an answer to a peer.
const FETCH_BYTES: usize = 8 << 20;

impl ReplicaNode {
    pub(super) fn on_fetch(&mut self, env: &mut Environment, waiting: Waiting, wait_ms: u64) {
        let reply = self.log_from(&waiting);
        match &reply {
            Ok(ChosenReply::Entries { entries, .. }) if entries.is_empty() && wait_ms > 0 => {
                let number = self.number();
                self.fetches.insert(number, waiting);
                env.alarm(
                    &self.process,
                    Duration::from_millis(wait_ms),
                    Local::FetchWaited(number),
                );
            }
            Ok(
                ChosenReply::Entries { .. }
                | ChosenReply::Trimmed { .. }
                | ChosenReply::Unavailable,
            )
            | Err(_) => self.give(env, &waiting, reply),
        }
    }

    pub(super) fn wake_fetches(&mut self, env: &mut Environment) {
        let is_ready = |waiting: &Waiting| match self.log_from(waiting) {
            Ok(ChosenReply::Entries { entries, .. }) if entries.is_empty() => None,
            reply => Some(reply),
        };
        let ready: Vec<(u64, Result<ChosenReply, ClusterError>)> = self
            .fetches
            .iter()
            .filter_map(|(number, waiting)| is_ready(waiting).map(|reply| (*number, reply)))
            .collect();
        for (number, reply) in ready {
            let waiting = self.fetches.remove(&number).expect("it was just found");
            self.give(env, &waiting, reply);
        }
    }

    /// Answers a fetch, within the cluster; else refuses it.
    pub(super) fn give(
        &self,
        env: &mut Environment,
        waiting: &Waiting,
        reply: Result<ChosenReply, ClusterError>,
    ) {
        let Waiting { back, fetch, cluster, from } = *waiting;
        let answer = match reply {
            Ok(reply) => Message::Fetched(fetch, OfCluster::new(cluster, reply)),
            Err(_) => Message::Refused(Box::new(Message::Fetch(fetch, cluster, from, 0))),
        };
        env.answer(&self.process, back, answer);
    }

    pub(super) fn log_from(&self, waiting: &Waiting) -> Result<ChosenReply, ClusterError> {
        let limits = PageLimits { items: self.fetch_entries, bytes: FETCH_BYTES };
        let from = waiting.from;
        Ok(match self.core.log_from(waiting.cluster, from, limits)? {
            LogPage::Ready(reply) | LogPage::Nothing(reply) => reply,
            LogPage::OnlyHash => ChosenReply::only_hash(self.database.prefix(from)),
            LogPage::Stored { .. } if from < self.database.log_start() => {
                ChosenReply::Trimmed { oldest: self.database.log_start() }
            }
            LogPage::Stored { below, chosen_below } => {
                let entries = self.database.log(from, below, self.fetch_entries.max(1));
                let previous = self.database.prefix(from);
                ChosenReply::Entries { entries, chosen_below, previous }
            }
        })
    }

    /// Gives its state to a replica of the cluster, if it is of its history.
    pub(super) fn on_fetch_snapshot(
        &mut self,
        env: &mut Environment,
        back: Return,
        cluster: ClusterId,
    ) {
        let status = self.core.status(self.now(env));
        let answer = if status.cluster == Some(cluster) && status.is_history_confirmed {
            Message::Snapshot(cluster, Arc::new(self.database.snapshot()))
        } else {
            Message::Refused(Box::new(Message::FetchSnapshot(cluster)))
        };
        env.answer(&self.process, back, answer);
    }

    /// Goes on from another one's state, as another life, if it is newer than the own.
    pub(super) fn install(&mut self, env: &mut Environment, theirs: &Database) -> Option<Input> {
        if !self.core.takes_state(theirs.stored_below()) {
            env.coverage.hit(Reached::SnapshotTooOld);
            return Some(Input::SnapshotFailed(SnapshotFailure::Useless));
        }
        env.coverage.hit(Reached::SnapshotInstalled);
        let own = theirs.made_own(self.database.joined_at());
        let is_full = std::mem::replace(&mut self.database, own).is_full;
        self.database.is_full = is_full;
        env.observer.installed(self.process.id, &self.database);
        self.hang_up(env);
        (self.has_ended, self.begins_anew) = (true, true);
        None
    }

    /// Begins a round of announcements, and with it ends the one before: whoever has not
    /// answered by now is not waited for.
    pub(super) fn announce(&mut self, env: &mut Environment) -> Fate {
        let news = self.discovery.conclude(self.now(env));
        let Identity { name, instance, url } = self.identity.clone();
        let member = Member { name, service: Service::Replica, url, instance };
        let acceptors = self.acceptors.clone();
        let round = self.discovery.begin(acceptors.iter().copied().collect());
        self.announced += 1;
        let is_beside = |flag: &&NodeId| !acceptors.contains(flag);
        let beside: Vec<NodeId> = self.flags.iter().filter(is_beside).copied().collect();
        for asked in [&acceptors, &beside].into_iter().filter(|asked| !asked.is_empty()) {
            let asked = asked[self.announced % asked.len()];
            env.ask(&self.process, asked, 0, Message::Succession(SuccessionRequest::Tell));
        }
        for acceptor in acceptors {
            let announcement = Announcement { cluster: self.joined, member: member.clone() };
            env.ask(&self.process, acceptor, round, Message::Announce(announcement));
        }
        env.alarm(&self.process, INTERVAL, Local::Announce);
        match news {
            Some(directory) => self.step(env, Input::Directory(directory)),
            None => Fate::Alive,
        }
    }

    /// Asks all acceptors at once who has followed them.
    pub(super) fn ask_who_followed(&self, env: &mut Environment) {
        for acceptor in &self.acceptors {
            let request = Message::Succession(SuccessionRequest::Tell);
            env.ask(&self.process, *acceptor, 0, request);
        }
    }

    /// An acceptor answered an announcement, or refused it.
    pub(super) fn discovered(
        &mut self,
        env: &Environment,
        (from, round): (NodeId, u64),
        listing: Option<Listing>,
    ) -> Option<Input> {
        self.discovery.take(self.now(env), round, (from, listing)).map(Input::Directory)
    }
}
