//! A call to an acceptor has ended: it is counted, and its reply goes to the core.

use shared::message::{AcceptReply, PrepareReply};

use super::Driver;
use crate::driver::calls::{Ended, Outcome};
use crate::effect::Input;
use crate::metrics::Nacked;

impl Driver {
    pub(super) fn on_ended(&mut self, Ended { at, outcome }: Ended) {
        let now = self.now();
        self.reporter.called(at, outcome.error());
        let Some(acceptor) = self.acceptors.get_mut(at.0) else { return };
        let input = match outcome {
            Outcome::Watermarks { poll, result } => {
                acceptor.polls -= 1;
                result.ok().map(|reply| Input::Watermarks { from: at, poll, reply })
            }
            Outcome::Prepare { ballot, result } => {
                acceptor.prepares -= 1;
                if let Ok(PrepareReply::Nack(_)) = &result {
                    self.measured.nacked(Nacked::Prepare);
                }
                result.ok().map(|reply| Input::PrepareReply { from: at, ballot, reply })
            }
            Outcome::Accept { ballot, result } => {
                acceptor.outbox.done();
                let has_voted = matches!(result, Ok(AcceptReply::Accepted(_)));
                self.pacing.ended(at, now, has_voted);
                match &result {
                    Ok(AcceptReply::Accepted(accepted)) => {
                        self.measured.votes.inc_by(accepted.slots.len() as u64);
                    }
                    Ok(AcceptReply::Nack(_)) => self.measured.nacked(Nacked::Accept),
                    Ok(AcceptReply::Stranger(_) | AcceptReply::Full(_)) | Err(_) => {}
                }
                result.ok().map(|reply| Input::AcceptReply { from: at, ballot, reply })
            }
            Outcome::Succession { result } => {
                acceptor.successions -= 1;
                result.ok().map(|reply| Input::SuccessionReply { from: at, reply })
            }
        };
        if let Some(input) = input {
            self.step(input, None);
        }
    }
}
