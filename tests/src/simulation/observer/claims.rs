//! Whatever a message claims must be true when it is sent.

use shared::ids::{BatchNumber, Epoch, Slot};
use shared::message::{
    Accept, AcceptReply, ChosenReply, Heartbeat, Marks, OfCluster, PrepareReply, PrimaryReply,
    Proposal, ProposalReply, Value, VotesPage,
};

use super::{Observer, ReplicaSeen};
use crate::simulation::environment::coverage::Coverage;
use crate::simulation::environment::message::Message;
use crate::simulation::nodes::process::NodeId;

impl Observer {
    /// A message is sent.
    pub fn on_send(&mut self, from: NodeId, message: &Message, coverage: &mut Coverage) {
        // What is true in a cluster that is no more is for those to refuse who are not of it.
        if self.is_foreign(message.cluster()) {
            return;
        }
        match message {
            Message::Accept(accept) => self.on_accept(accept, coverage),
            Message::Polled(_, watermarks) | Message::Probed(_, watermarks) => {
                self.acceptors.invariant_watermarks_are_what_is_on_disk(watermarks);
                self.claims_marks(from, watermarks.marks);
            }
            Message::Votes(page) => self.on_votes(from, page),
            Message::Prepared(_, PrepareReply::Promise(promise)) => {
                self.acceptors.invariant_marks_are_on_disk(promise.acceptor, promise.marks);
                self.acceptors.invariant_a_promise_is_kept_and_complete(promise, &self.votes);
                self.claims_marks(from, promise.marks);
            }
            Message::Accepted(_, AcceptReply::Accepted(accepted)) => {
                self.acceptors.invariant_marks_are_on_disk(accepted.acceptor, accepted.marks);
                self.acceptors.invariant_votes_are_on_disk(accepted, &self.votes);
                self.claims_marks(from, accepted.marks);
            }
            Message::Propose(_, proposal) => {
                let replica = self.replica(from);
                self.golden.invariant_only_a_primary_proposes(
                    from,
                    replica.instance,
                    replica.executed_below,
                    proposal,
                );
                self.invariant_a_batch_is_proposed_again_as_it_was(from, proposal);
            }
            Message::HeartbeatReply(reply) => self.claims_chosen(from, content(reply).chosen_below),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(from, heartbeat),
            Message::PrimaryAnswered(reply) => self.on_primary_answered(from, &content(reply)),
            Message::Fetched(_, reply) => self.on_fetched(from, &content(reply)),
            Message::Proposed(epoch, number, _, reply) => {
                self.on_proposed(from, (*epoch, *number), &content(reply))
            }
            Message::Poll(_)
            | Message::Prepare(_)
            | Message::Prepared(_, PrepareReply::Nack(_) | PrepareReply::Stranger(_))
            | Message::Accepted(
                _,
                AcceptReply::Nack(_) | AcceptReply::Stranger(_) | AcceptReply::Full(_),
            )
            | Message::ReadVotes(_)
            | Message::Succession(_)
            | Message::Succeeded(_)
            | Message::Probe(_)
            | Message::Announce(_)
            | Message::Listed(_)
            | Message::Fetch(..)
            | Message::FetchSnapshot(_)
            | Message::Snapshot(..)
            | Message::AskPrimary(_)
            | Message::Call(..)
            | Message::Answer(..)
            | Message::Refused(_) => {}
        }
    }

    fn on_fetched(&self, from: NodeId, reply: &ChosenReply) {
        match reply {
            ChosenReply::Entries { entries, chosen_below, previous: _ } => {
                self.claims_chosen(from, *chosen_below);
                for entry in entries {
                    self.votes.invariant_is_chosen(entry.slot, &entry.value);
                }
            }
            ChosenReply::Trimmed { .. } | ChosenReply::Unavailable => {}
        }
    }

    fn on_proposed(&self, from: NodeId, batch: (Epoch, BatchNumber), reply: &ProposalReply) {
        match reply {
            ProposalReply::Chosen { slot, chosen_below, .. } => {
                self.claims_chosen(from, *chosen_below);
                self.invariant_chosen_is_what_was_proposed(from, *slot, batch);
            }
            ProposalReply::NotLeading
            | ProposalReply::Overloaded { .. }
            | ProposalReply::Unresolved => {}
        }
    }

    /// Who is told that another is primary now may rely on it that a replica has executed
    /// the view.
    fn on_primary_answered(&self, from: NodeId, reply: &PrimaryReply) {
        match reply {
            PrimaryReply::Executed(view) => {
                let executed = self.golden.state().meta().view.as_ref();
                let is_so = executed
                    .is_some_and(|executed| view.epoch < executed.epoch || view == executed);
                assert!(
                    is_so,
                    "invariant: {from} says that {view:?} was executed, and {executed:?} was last"
                );
            }
            PrimaryReply::NotLeading
            | PrimaryReply::Refused(_)
            | PrimaryReply::Overloaded { .. }
            | PrimaryReply::Unresolved => {}
        }
    }

    fn on_accept(&mut self, accept: &Accept, coverage: &mut Coverage) {
        for proposal in &accept.proposals {
            let generation = accept.roster.generation().0;
            let (slot, ballot) = (proposal.slot, accept.ballot);
            self.votes.proposed(generation, slot, ballot, &proposal.value, coverage);
        }
        let (claimed, chosen) = (accept.chosen_below, self.votes.chosen_below());
        assert!(
            claimed <= chosen,
            "invariant: leader {} says all below {claimed} is chosen, and it is below {chosen}",
            accept.ballot
        );
    }

    /// A primary that hears that its batch is chosen takes every batch sent with that
    /// number to be.
    fn invariant_a_batch_is_proposed_again_as_it_was(&mut self, from: NodeId, proposal: &Proposal) {
        let Proposal { epoch, number, value, .. } = proposal;
        let before = self.proposed.entry((*epoch, *number)).or_insert_with(|| value.clone());
        assert!(
            before == value,
            "invariant: {from} proposes one batch {number} in epoch {epoch}, and always the same"
        );
    }

    /// That something is chosen in the slot is not enough: whoever proposed answers its
    /// clients for its own batch.
    fn invariant_chosen_is_what_was_proposed(
        &self,
        from: NodeId,
        slot: Slot,
        (epoch, number): (Epoch, BatchNumber),
    ) {
        let Some(proposed) = self.proposed.get(&(epoch, number)) else {
            panic!(
                "invariant: {from} says that batch {number} of epoch {epoch} is chosen, which \
                 nobody proposed"
            )
        };
        let chosen = self.votes.chosen(slot);
        assert!(
            chosen == Some(proposed),
            "invariant: {from} says that batch {number} of epoch {epoch} is chosen in {slot}, \
             where {:?} is",
            chosen.map(|chosen| Value::decode(chosen))
        );
    }

    fn on_votes(&self, from: NodeId, page: &VotesPage) {
        for vote in &page.votes {
            self.votes.invariant_a_vote_is_on_disk(page.acceptor, vote.slot, vote.ballot);
        }
        self.acceptors.invariant_marks_are_on_disk(page.acceptor, page.marks);
        self.claims_marks(from, page.marks);
    }

    fn on_heartbeat(&self, from: NodeId, heartbeat: &Heartbeat) {
        let ReplicaSeen { executed_below, durable_below, .. } = self.replica(from);
        let (executed, durable) = (heartbeat.executed_below, heartbeat.durable_below);
        assert!(
            executed <= *executed_below,
            "invariant: {from} says all below {executed} is executed, not {executed_below}"
        );
        assert!(
            durable <= *durable_below,
            "invariant: {from} says all below {durable} is durable, not {durable_below}"
        );
    }

    fn claims_marks(&self, from: NodeId, marks: Marks) {
        self.claims_chosen(from, marks.chosen_below);
        self.claims_chosen(from, marks.trimmed_below);
    }

    fn claims_chosen(&self, from: NodeId, claimed: Slot) {
        let chosen = self.votes.chosen_below();
        assert!(
            claimed <= chosen,
            "invariant: {from} says all below {claimed} is chosen, and it is below {chosen}"
        );
    }
}

/// What an answer says to those of its own cluster.
fn content<T: Clone>(answer: &OfCluster<T>) -> T {
    answer.clone().for_cluster(answer.cluster()).expect("it is its own")
}
