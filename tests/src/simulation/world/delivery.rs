//! Messages arrive, or meet a cut, a process that is paused, another life, or nobody.

use super::World;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Event;
use crate::simulation::environment::message::{Copied, Delivery, Message};
use crate::simulation::nodes::process::{Life, NodeId, Presence};

impl World {
    pub(super) fn deliver(&mut self, mut delivery: Box<Delivery>) {
        let (from, to, now) = (delivery.from, delivery.to, self.env.queue.now());
        // A partition also takes what is on its way.
        if let Some(shape) = self.env.network.cut_by(from, to) {
            return self.env.met_cut(shape);
        }
        if let NodeId::Client(number) = to {
            self.mark(to, 4, 0);
            return self.clients[usize::from(number)].on_message(&mut self.env, delivery.message);
        }
        let process = self.process(to);
        let is_up = process.presence == Presence::Up;
        let (life, paused_until) = (process.life, process.paused_until);
        if delivery.to_life.is_some_and(|meant| meant != life) {
            self.env.coverage.hit(Reached::AnsweredTheDead);
            return;
        }
        if !is_up {
            return self.refuse(*delivery);
        }
        if paused_until > now {
            return self.asleep.entry(to).or_default().push(Event::Deliver(delivery));
        }
        delivery.copy = self.env.taken(delivery.copy, life);
        self.mark(to, 5, self.env.queue.scheduled());
        if self.env.trace.is_text_kept() {
            self.env.trace.line(now, format_args!("{from} -> {to} {:?}", delivery.message));
        }
        let fate = match to {
            NodeId::Acceptor(number) => {
                self.acceptors[usize::from(number)].on_message(&mut self.env, *delivery)
            }
            NodeId::Coordinator(number) => {
                self.coordinators[usize::from(number)].on_message(&mut self.env, *delivery)
            }
            NodeId::Replica(number) => {
                self.replicas[usize::from(number)].on_message(&mut self.env, *delivery)
            }
            NodeId::Client(_) => unreachable!("clients were served above"),
        };
        self.meet(to, fate);
    }

    /// Nobody listens there: a request may be refused at once, or just never be answered.
    fn refuse(&mut self, delivery: Delivery) {
        let is_request = delivery.to_life.is_none();
        if is_request && self.random.chance(500_000) {
            let Delivery { from, from_life, to, call, message, .. } = delivery;
            let message = Message::Refused(Box::new(message));
            let to_life = match from {
                NodeId::Client(_) => None,
                NodeId::Acceptor(_) | NodeId::Coordinator(_) | NodeId::Replica(_) => {
                    Some(from_life)
                }
            };
            self.env.post(Delivery {
                from: to,
                from_life: Life(0),
                to: from,
                to_life,
                call,
                message,
                copy: Copied::No,
            });
        }
    }
}
