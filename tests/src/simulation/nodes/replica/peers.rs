//! Serves other replicas that fetch the log, and keeps the directory of members.

use std::time::Duration;

use replica::replica::event::Input;
use replica::replica::{Identity, LogPage};
use shared::discovery::INTERVAL;
use shared::ids::Slot;
use shared::message::{ChosenReply, Directory, Member, Service};

use super::{ReplicaNode, Waiting};
use crate::simulation::environment::Environment;
use crate::simulation::environment::event::Local;
use crate::simulation::environment::message::Message;
use crate::simulation::nodes::acceptor::Fate;
use crate::simulation::nodes::process::NodeId;

/// Bytes in an answer to a peer.
const FETCH_BYTES: usize = 8 << 20;

impl ReplicaNode {
    pub(super) fn on_fetch(&mut self, env: &mut Environment, waiting: Waiting, wait_ms: u64) {
        let reply = self.log_from(waiting.from);
        match &reply {
            ChosenReply::Entries { entries, .. } if entries.is_empty() && wait_ms > 0 => {
                let number = self.number();
                self.fetches.insert(number, waiting);
                env.alarm(
                    &self.process,
                    Duration::from_millis(wait_ms),
                    Local::FetchWaited(number),
                );
            }
            ChosenReply::Entries { .. }
            | ChosenReply::Trimmed { .. }
            | ChosenReply::Unavailable => {
                env.answer(&self.process, waiting.back, Message::Fetched(waiting.fetch, reply));
            }
        }
    }

    pub(super) fn wake_fetches(&mut self, env: &mut Environment) {
        let is_ready = |waiting: &Waiting| match self.log_from(waiting.from) {
            ChosenReply::Entries { entries, .. } if entries.is_empty() => None,
            reply @ (ChosenReply::Entries { .. }
            | ChosenReply::Trimmed { .. }
            | ChosenReply::Unavailable) => Some(reply),
        };
        let ready: Vec<(u64, ChosenReply)> = self
            .fetches
            .iter()
            .filter_map(|(number, waiting)| is_ready(waiting).map(|reply| (*number, reply)))
            .collect();
        for (number, reply) in ready {
            let waiting = self.fetches.remove(&number).expect("it was just found");
            env.answer(&self.process, waiting.back, Message::Fetched(waiting.fetch, reply));
        }
    }

    pub(super) fn log_from(&self, from: Slot) -> ChosenReply {
        match self.core.log_from(from, self.fetch_entries, FETCH_BYTES) {
            LogPage::Ready(reply) | LogPage::Nothing(reply) => reply,
            LogPage::OnlyHash { chosen_below } => {
                let (entries, previous) = (Vec::new(), self.database.prefix(from));
                ChosenReply::Entries { entries, chosen_below, previous }
            }
            LogPage::Stored { below, chosen_below } => {
                let entries = self.database.log(from, below, self.fetch_entries.max(1));
                let previous = self.database.prefix(from);
                ChosenReply::Entries { entries, chosen_below, previous }
            }
        }
    }

    /// Begins a round of announcements, and with it ends the one before: whoever has not
    /// answered by now is not waited for.
    pub(super) fn announce(&mut self, env: &mut Environment) -> Fate {
        let news = self.discovery.conclude(self.now(env));
        let Identity { name, instance, url } = self.identity.clone();
        let member = Member { name, service: Service::Replica, url, instance };
        let acceptors = || (0..self.acceptors).map(NodeId::Acceptor);
        let round = self.discovery.begin(acceptors().collect());
        for acceptor in acceptors() {
            env.ask(&self.process, acceptor, round, Message::Announce(member.clone()));
        }
        env.alarm(&self.process, INTERVAL, Local::Announce);
        match news {
            Some(directory) => self.step(env, Input::Directory(directory)),
            None => Fate::Alive,
        }
    }

    /// An acceptor answered an announcement, or refused it.
    pub(super) fn discovered(
        &mut self,
        env: &Environment,
        (from, round): (NodeId, u64),
        directory: Option<Directory>,
    ) -> Option<Input> {
        self.discovery.take(self.now(env), round, (from, directory)).map(Input::Directory)
    }
}
