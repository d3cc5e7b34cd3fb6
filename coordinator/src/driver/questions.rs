//! What HTTP handlers ask through a [`Handle`](super::handle::Handle): answered at once,
//! or given to the core while the asker waits.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use shared::ids::CoordinatorId;
use tokio::time::Instant;

use super::{Driver, Waiter};
use crate::driver::handle::{Counts, DriverStatus, Question};
use crate::effect::{Input, RequestId};

impl Driver {
    pub(super) fn on_question(&mut self, question: Question) {
        // Whoever asked may have hung up: then the answer goes nowhere.
        match question {
            Question::Propose { proposal, trace, answer } => {
                let id = self.request_id();
                self.waiters.insert(id, Waiter { since: Instant::now(), trace, answer });
                self.measured.value_bytes.observe(proposal.value.len() as f64);
                self.step(Input::Proposal { id, proposal }, trace);
            }
            Question::Primary { request, answer } => {
                let id = self.request_id();
                self.primary_waiters.insert(id, answer);
                self.step(Input::PrimaryRequest { id, request }, None);
            }
            Question::Acceptors { request, survey, answer } => {
                let id = self.request_id();
                self.acceptors_waiters.insert(id, answer);
                self.step(Input::Acceptors { id, request, survey }, None);
            }
            Question::Heartbeat { heartbeat, answer } => {
                let reply = self.core.check_heartbeat(&heartbeat).map(|()| {
                    self.step(Input::Heartbeat(heartbeat), None);
                    self.core.heartbeat_reply()
                });
                let _gone = answer.send(reply);
            }
            Question::Ending { instance, answer } => {
                self.step(Input::LeaderEnds(CoordinatorId(instance.0)), None);
                let _gone = answer.send(self.core.heartbeat_reply());
            }
            Question::Chosen { from, limits, answer } => {
                let _gone = answer.send(self.core.chosen(from, limits));
            }
            Question::PrimaryOf { epoch, answer } => {
                let _gone = answer.send(self.core.primary_of(epoch).cloned());
            }
            Question::Status { answer } => {
                let core = self.core.status(self.now());
                let _gone = answer.send(DriverStatus {
                    core,
                    counts: Counts {
                        decisions: self.measured.decisions.get(),
                        votes: self.measured.votes.get(),
                        accepts: self.measured.accepts.get(),
                    },
                    waiting_proposals: self.waiters.len(),
                });
            }
        }
    }

    fn request_id(&mut self) -> RequestId {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        id
    }
}
