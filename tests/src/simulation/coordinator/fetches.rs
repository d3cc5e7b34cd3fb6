//! Serves replicas that fetch chosen entries: from the core's window, or from the acceptors' votes.

use std::time::Duration;

use coordinator::coordinator::ChosenLookup;
use coordinator::recover::{RecoverError, recover};
use replica::event::FetchId;
use shared::ids::Slot;
use shared::message::{ChosenReply, Roster, VotesPage};

use super::CoordinatorNode;
use crate::simulation::environment::Environment;
use crate::simulation::event::Local;
use crate::simulation::message::Message;
use crate::simulation::node::{Life, NodeId};
use crate::simulation::reach::Reached;

/// For how long votes are waited for.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(2);

/// A fetch that could not be answered at once.
#[derive(Debug)]
pub(super) struct Fetch {
    pub(super) to: NodeId,
    pub(super) to_life: Life,
    pub(super) fetch: FetchId,
    pub(super) from: Slot,
    pub(super) older: Option<Older>,
}

/// A fetch of slots that only the acceptors' votes still hold.
#[derive(Debug)]
pub(super) struct Older {
    roster: Roster,
    below: Slot,
    chosen_below: Slot,
    pages: Vec<VotesPage>,
}

impl CoordinatorNode {
    pub(super) fn on_fetch(
        &mut self,
        env: &mut Environment,
        to: NodeId,
        to_life: Life,
        (fetch, from, wait_ms): (FetchId, Slot, u64),
    ) {
        let wait = Duration::from_millis(wait_ms);
        match self.core.chosen(from, self.fetch_limits) {
            ChosenLookup::Here(ChosenReply::Entries { entries, .. }) if entries.is_empty() && !wait.is_zero() => {
                self.hold(env, Fetch { to, to_life, fetch, from, older: None }, wait);
            }
            ChosenLookup::Here(reply) => {
                self.send(env, to, Some(to_life), Message::Fetched(fetch, reply));
            }
            ChosenLookup::Older { roster, from, below, chosen_below } => {
                let older = Older { roster, below, chosen_below, pages: Vec::new() };
                let number = self.hold(env, Fetch { to, to_life, fetch, from, older: Some(older) }, RECOVERY_TIMEOUT);
                for acceptor in (0..self.acceptors).map(NodeId::Acceptor) {
                    self.send(env, acceptor, None, Message::ReadVotes(number, from));
                }
            }
        }
    }

    fn hold(&mut self, env: &mut Environment, fetch: Fetch, at_most: Duration) -> u64 {
        let number = self.number();
        self.fetches.insert(number, fetch);
        env.local(&self.process, at_most, Local::FetchWaited(number));
        number
    }

    pub(super) fn wake_fetches(&mut self, env: &mut Environment) {
        let waiting = self.fetches.iter().filter(|(_, fetch)| fetch.older.is_none());
        let ready: Vec<(u64, ChosenReply)> = waiting
            .filter_map(|(number, fetch)| match self.lookup(fetch.from) {
                ChosenReply::Entries { entries, .. } if entries.is_empty() => None,
                reply @ (ChosenReply::Entries { .. } | ChosenReply::Trimmed { .. } | ChosenReply::Unavailable) => {
                    Some((*number, reply))
                }
            })
            .collect();
        for (number, reply) in ready {
            let fetch = self.fetches.remove(&number).expect("it was just found");
            self.send(env, fetch.to, Some(fetch.to_life), Message::Fetched(fetch.fetch, reply));
        }
    }

    pub(super) fn lookup(&self, from: Slot) -> ChosenReply {
        match self.core.chosen(from, self.fetch_limits) {
            ChosenLookup::Here(reply) => reply,
            ChosenLookup::Older { .. } => ChosenReply::Unavailable,
        }
    }

    pub(super) fn on_votes(&mut self, env: &mut Environment, number: u64, page: VotesPage) {
        let Some(Fetch { from, older: Some(older), .. }) = self.fetches.get_mut(&number) else { return };
        if *from < page.marks.trimmed_below {
            env.reach.hit(Reached::VotesTrimmed);
        }
        older.pages.push(page);
        let reply = match recover(&older.roster, *from, older.below, &older.pages) {
            Ok(mut entries) => {
                entries.truncate(self.fetch_limits.entries.max(1));
                env.reach.hit(Reached::LearnedFromVotes);
                ChosenReply::Entries { entries, chosen_below: older.chosen_below }
            }
            Err(RecoverError::Trimmed { oldest }) => ChosenReply::Trimmed { oldest },
            Err(RecoverError::NoQuorum { .. }) => return,
            Err(error @ RecoverError::Lost { .. }) => panic!("recovering from votes: {error}"),
        };
        let fetch = self.fetches.remove(&number).expect("it was just found");
        self.send(env, fetch.to, Some(fetch.to_life), Message::Fetched(fetch.fetch, reply));
    }
}
