//! Serves other replicas that fetch the log, and keeps the directory of members.

use std::time::Duration;

use replica::event::{Input, NoAnswer};
use replica::replica::{Identity, LogPage};
use shared::ids::Slot;
use shared::message::{ChosenReply, Directory, DirectoryEntry, Member, Service};

use super::{ReplicaNode, Waiting, name};
use crate::simulation::client::Outcome;
use crate::simulation::coordinator::ANNOUNCE_INTERVAL;
use crate::simulation::environment::Environment;
use crate::simulation::event::Local;
use crate::simulation::message::Message;
use crate::simulation::node::NodeId;

/// How long a member is believed in.
const MEMBER_EXPIRY: Duration = Duration::from_secs(10);
/// Bytes in an answer to a peer.
const FETCH_BYTES: usize = 8 << 20;

impl ReplicaNode {
    pub(super) fn on_fetch(&mut self, env: &mut Environment, waiting: Waiting, wait_ms: u64) {
        let reply = self.log_from(waiting.from);
        match &reply {
            ChosenReply::Entries { entries, .. } if entries.is_empty() && wait_ms > 0 => {
                let number = self.number();
                self.fetches.insert(number, waiting);
                env.local(&self.process, Duration::from_millis(wait_ms), Local::FetchWaited(number));
            }
            ChosenReply::Entries { .. } | ChosenReply::Trimmed { .. } | ChosenReply::Unavailable => {
                self.send(env, waiting.to, Some(waiting.to_life), Message::Fetched(waiting.fetch, reply));
            }
        }
    }

    pub(super) fn wake_fetches(&mut self, env: &mut Environment) {
        let is_ready = |waiting: &Waiting| match self.log_from(waiting.from) {
            ChosenReply::Entries { entries, .. } if entries.is_empty() => None,
            reply @ (ChosenReply::Entries { .. } | ChosenReply::Trimmed { .. } | ChosenReply::Unavailable) => Some(reply),
        };
        let ready: Vec<(u64, ChosenReply)> =
            self.fetches.iter().filter_map(|(number, waiting)| is_ready(waiting).map(|reply| (*number, reply))).collect();
        for (number, reply) in ready {
            let waiting = self.fetches.remove(&number).expect("it was just found");
            self.send(env, waiting.to, Some(waiting.to_life), Message::Fetched(waiting.fetch, reply));
        }
    }

    pub(super) fn log_from(&self, from: Slot) -> ChosenReply {
        match self.core.log_from(from, self.fetch_entries, FETCH_BYTES) {
            LogPage::Ready(reply) | LogPage::Nothing(reply) => reply,
            LogPage::Stored { below, chosen_below } => {
                let entries = self.database.log(from, below, self.fetch_entries.max(1));
                ChosenReply::Entries { entries, chosen_below }
            }
        }
    }

    pub(super) fn announce(&mut self, env: &mut Environment) {
        let Identity { name, instance, url } = self.identity.clone();
        let member = Member { name, service: Service::Replica, url, instance };
        for acceptor in (0..self.acceptors).map(NodeId::Acceptor) {
            self.send(env, acceptor, None, Message::Announce(member.clone()));
        }
        env.local(&self.process, ANNOUNCE_INTERVAL, Local::Announce);
    }

    /// What `shared::discovery` does: the freshest word on each member counts, and is told when it changes.
    pub(super) fn merge(&mut self, env: &Environment, directory: Directory) -> Option<Input> {
        let now = self.process.clock.read(env.queue.now());
        for DirectoryEntry { member, age_ms } in directory.members {
            let Some(heard) = now.checked_sub(Duration::from_millis(age_ms)) else { continue };
            if self.known.get(&member.name).is_none_or(|(_, fresher)| *fresher < heard) {
                self.known.insert(member.name.clone(), (member, heard));
            }
        }
        self.known.retain(|_, (_, heard)| now.saturating_sub(*heard) <= MEMBER_EXPIRY);
        let members: Vec<Member> = self.known.values().map(|(member, _)| member.clone()).collect();
        if members == self.members {
            return None;
        }
        self.members.clone_from(&members);
        let members = members.into_iter().map(|member| DirectoryEntry { member, age_ms: 0 }).collect();
        Some(Input::Directory(Directory { members }))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all other messages are never sent here, which is a panic")]
    pub(super) fn refused(&mut self, env: &mut Environment, from: NodeId, request: Message) -> Option<Input> {
        match request {
            Message::Probe(probe) => Some(Input::ProbeReply { probe, reply: Err(NoAnswer) }),
            Message::Propose(attempt, proposal) => {
                let (epoch, number) = (proposal.epoch, proposal.number);
                Some(Input::ProposalReply { epoch, number, attempt, reply: Err(NoAnswer) })
            }
            Message::Heartbeat(_) => Some(Input::HeartbeatReply { from: name(from), reply: Err(NoAnswer) }),
            Message::Fetch(fetch, ..) => Some(Input::Fetched { fetch, reply: Err(NoAnswer) }),
            Message::Call(call, _) => {
                // Never sent, so it never happened.
                if let Some(caller) = self.forwarded.remove(&call) {
                    self.reply(env, caller, Outcome::NotApplied);
                }
                None
            }
            Message::Announce(_) => None,
            other => unreachable!("a replica does not ask for {}", other.name()),
        }
    }
}
