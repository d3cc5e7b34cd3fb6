//! Serves replicas that fetch chosen entries: from the core's window, or from the
//! acceptors' votes.

use std::time::Duration;

use coordinator::config::shell::RECOVERIES_AT_ONCE;
use coordinator::coordinator::ChosenLookup;
use coordinator::recover::{Gathering, Wanted};
use replica::replica::event::FetchId;
use shared::ids::Slot;
use shared::message::{ChosenReply, VotesPage};

use super::CoordinatorNode;
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Local;
use crate::simulation::environment::message::{Message, Return};

/// A fetch that could not be answered at once.
#[derive(Debug)]
pub(super) struct Fetch {
    back: Return,
    fetch: FetchId,
    from: Slot,
    state: State,
}

#[derive(Debug)]
enum State {
    /// It waits for something new; this is what it is told if nothing comes.
    Waits(ChosenReply),
    /// It is for slots that only the acceptors' votes still hold.
    Gathers(Gathering),
}

impl CoordinatorNode {
    pub(super) fn on_fetch(
        &mut self,
        env: &mut Environment,
        back: Return,
        (fetch, from, wait_ms): (FetchId, Slot, u64),
    ) {
        match self.core.chosen(from, self.fetch_limits) {
            ChosenLookup::Here(reply) if is_nothing(&reply) && wait_ms > 0 => {
                let number = self.number();
                self.fetches
                    .insert(number, Fetch { back, fetch, from, state: State::Waits(reply) });
                env.alarm(
                    &self.process,
                    Duration::from_millis(wait_ms),
                    Local::FetchWaited(number),
                );
            }
            found @ (ChosenLookup::Here(_) | ChosenLookup::Older { .. }) => {
                self.found(env, back, fetch, found)
            }
        }
    }

    /// Answers with what was found, or asks the acceptors for what is older.
    fn found(&mut self, env: &mut Environment, back: Return, fetch: FetchId, found: ChosenLookup) {
        match found {
            ChosenLookup::Here(reply) => self.give(env, back, fetch, reply),
            ChosenLookup::Older { roster, from, below, chosen_below } => {
                let gathers = |fetch: &&Fetch| matches!(fetch.state, State::Gathers(_));
                if self.fetches.values().filter(gathers).count() >= RECOVERIES_AT_ONCE {
                    return self.give(env, back, fetch, ChosenReply::Unavailable);
                }
                let wanted =
                    Wanted { roster, from, below, chosen_below, limits: self.fetch_limits };
                let number = self.number();
                let state = State::Gathers(Gathering::new(wanted, self.present().len()));
                self.fetches.insert(number, Fetch { back, fetch, from, state });
                for acceptor in self.present() {
                    let call = self.pages.begin(self.now(env), number);
                    env.ask(&self.process, acceptor, call, Message::ReadVotes(from));
                }
                self.watch(env);
            }
        }
    }

    fn give(&self, env: &mut Environment, back: Return, fetch: FetchId, reply: ChosenReply) {
        let reply = self.of_own_cluster(reply);
        env.answer(&self.process, back, Message::Fetched(fetch, reply));
    }

    /// Something may be new: looks again for all that wait for it.
    pub(super) fn wake_fetches(&mut self, env: &mut Environment) {
        let waiting =
            self.fetches.iter().filter(|(_, fetch)| matches!(fetch.state, State::Waits(_)));
        let ready: Vec<(u64, ChosenLookup)> = waiting
            .filter_map(|(number, fetch)| match self.core.chosen(fetch.from, self.fetch_limits) {
                ChosenLookup::Here(reply) if is_nothing(&reply) => None,
                found @ (ChosenLookup::Here(_) | ChosenLookup::Older { .. }) => {
                    Some((*number, found))
                }
            })
            .collect();
        for (number, found) in ready {
            let Fetch { back, fetch, .. } =
                self.fetches.remove(&number).expect("it was just found");
            self.found(env, back, fetch, found);
        }
    }

    /// A fetch has waited as long as it is to: it is told what was so when it came.
    pub(super) fn fetch_waited(&mut self, env: &mut Environment, number: u64) {
        if let Some(Fetch { back, fetch, state: State::Waits(reply), .. }) =
            self.fetches.remove(&number)
        {
            self.give(env, back, fetch, reply);
        }
    }

    /// An acceptor gave a page of votes for a fetch, or will give none.
    pub(super) fn on_page(&mut self, env: &mut Environment, number: u64, page: Option<VotesPage>) {
        let Some(Fetch { from, state: State::Gathers(gathering), .. }) =
            self.fetches.get_mut(&number)
        else {
            return;
        };
        if page.as_ref().is_some_and(|page| *from < page.marks.trimmed_below) {
            env.coverage.hit(Reached::VotesTrimmed);
        }
        let reply = match gathering.take(page) {
            Ok(None) => return,
            Ok(Some(reply)) => reply,
            Err(error) => panic!("recovering from votes: {error}"),
        };
        if matches!(reply, ChosenReply::Entries { .. }) {
            env.coverage.hit(Reached::LearnedFromVotes);
        }
        let Fetch { back, fetch, .. } = self.fetches.remove(&number).expect("it was just found");
        self.give(env, back, fetch, reply);
    }
}

fn is_nothing(reply: &ChosenReply) -> bool {
    match reply {
        ChosenReply::Entries { entries, .. } => entries.is_empty(),
        ChosenReply::Trimmed { .. } | ChosenReply::Unavailable => false,
    }
}
