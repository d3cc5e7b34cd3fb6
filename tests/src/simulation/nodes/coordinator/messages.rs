//! What replicas ask of it: refused where it is of another cluster, else given to the
//! core.

use coordinator::effect::{Input, RequestId};
use shared::message::{Heartbeat, OfCluster, same_cluster};

use super::rare::Cause;
use super::{CoordinatorNode, Proposer};
use crate::simulation::environment::Environment;
use crate::simulation::environment::message::{Copied, Delivery, Message, Return};
use crate::simulation::nodes::acceptor::Fate;

impl CoordinatorNode {
    /// A message arrived.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what is no request is an answer, or a panic there"
    )]
    pub fn on_message(&mut self, env: &mut Environment, delivery: Delivery) -> Fate {
        let back = delivery.back();
        let Delivery { from, call, message, copy, .. } = delivery;
        match message {
            request @ (Message::Propose(..)
            | Message::AskPrimary(_)
            | Message::Heartbeat(_)
            | Message::Fetch(..))
                if self.refuses(&request) =>
            {
                env.answer(&self.process, back, Message::Refused(Box::new(request)));
                Fate::Alive
            }
            Message::Propose(attempt, proposal) => {
                let (epoch, number) = (proposal.epoch, proposal.number);
                let id =
                    self.proposals.begin(self.now(env), Proposer { back, epoch, number, attempt });
                self.watch(env);
                let cause = if copy == Copied::Again { Cause::ProposalAgain } else { Cause::Usual };
                self.step(env, Input::Proposal { id: RequestId(id), proposal }, cause)
            }
            Message::AskPrimary(request) => {
                let number = self.number();
                self.primary_requests.insert(number, back);
                let input = Input::PrimaryRequest { id: RequestId(number), request };
                self.step(env, input, Cause::Usual)
            }
            Message::Heartbeat(heartbeat) => self.on_heartbeat(env, back, heartbeat),
            Message::Fetch(fetch, _, slot, wait_ms) => {
                self.on_fetch(env, back, (fetch, slot, wait_ms));
                Fate::Alive
            }
            answer => self.on_answer(env, (from, call, copy), answer),
        }
    }

    fn on_heartbeat(&mut self, env: &mut Environment, back: Return, heartbeat: Heartbeat) -> Fate {
        let cause = if heartbeat.nudge_below.is_some() { Cause::Nudge } else { Cause::Usual };
        env.observer.heard(self.now(env), (self.process.id, back.to), &heartbeat);
        let fate = self.step(env, Input::Heartbeat(heartbeat), cause);
        if fate == Fate::Alive {
            let reply = self.of_own_cluster(self.core.heartbeat_reply());
            env.answer(&self.process, back, Message::HeartbeatReply(reply));
        }
        fate
    }

    /// Whether a request is of another cluster, or comes before this one is known.
    fn refuses(&self, request: &Message) -> bool {
        let theirs = request.cluster().expect("replicas say of which cluster they are");
        same_cluster(self.core.cluster(), theirs).is_err()
    }

    pub(super) fn of_own_cluster<T>(&self, content: T) -> OfCluster<T> {
        let cluster = self.core.cluster().expect("nobody is answered before it is known");
        OfCluster::new(cluster, content)
    }
}
