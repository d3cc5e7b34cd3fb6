//! Serves clients: mutations through the core, reads from the database once the core
//! releases them.

use std::time::Duration;

use replica::machine::command::Command;
use replica::machine::outcome::CommandOutcome;
use replica::replica::answer::{Answer, NotApplied};
use replica::replica::event::{Input, RequestId};
use shared::ids::{Accessor, Name, Revision, Slot};

use super::{Caller, Pending, ReplicaNode, node_of};
use crate::operations::{self, Call, Consistency, OperationId, Outcome, command};
use crate::simulation::environment::Environment;
use crate::simulation::environment::coverage::Reached;
use crate::simulation::environment::event::Local;
use crate::simulation::environment::message::{CallId, Message};
use crate::simulation::nodes::acceptor::Fate;
use crate::simulation::nodes::client::request::{NONCE, Request, Sent};
use crate::simulation::nodes::process::{Life, NodeId};

/// How long it takes to read the database for a released read, at most.
const SERVE_TIME: Duration = Duration::from_millis(2);

/// No client's operation has a number with this bit.
const OWN: u64 = 1 << 63;

impl ReplicaNode {
    pub(super) fn on_call(
        &mut self,
        env: &mut Environment,
        (to, to_life, call): (NodeId, Life, CallId),
        request: Request,
    ) -> Fate {
        let id = RequestId(self.number());
        let timeout = request.timeout;
        let caller =
            Caller { to, to_life, call, until: self.process.clock.read(env.queue.now()) + timeout };
        let (input, floor) = match request.call.reads() {
            Some((_, Consistency::Linearizable)) => {
                (Input::Reads { ids: vec![id] }, env.observer.chosen_end())
            }
            Some((_, Consistency::Local { at_least })) => {
                (Input::WaitRevision { id, revision: Revision(at_least) }, Slot(0))
            }
            None => {
                let since = match request.sent {
                    Sent::ByName(since) => Some(since),
                    Sent::Once | Sent::ByKey => None,
                };
                let wall_ms = self.process.clock.wall_ms(env.queue.now());
                (Input::Mutation { id, command: request.command(), since, wall_ms }, Slot(0))
            }
        };
        self.calls.insert(
            id,
            Pending {
                caller,
                request,
                floor,
                executed: self.database.state().meta().executed_below,
            },
        );
        env.alarm(&self.process, timeout, Local::Deadline(id.0));
        self.step(env, input)
    }

    pub(super) fn on_deadline(&mut self, env: &mut Environment, number: u64) -> Fate {
        let id = RequestId(number);
        if self.calls.contains_key(&id) && !self.released.contains(&id) {
            let fate = self.step(env, Input::Cancel { id });
            if fate == Fate::Alive {
                self.invariant_who_gives_up_is_answered(id);
            }
            return fate;
        }
        // Another replica has it, and has not answered in time.
        if let Some(caller) = self.forwarded.remove(&CallId(number)) {
            self.reply(env, caller, Outcome::Unknown);
        }
        Fate::Alive
    }

    /// It ends, and closes the connections of its clients: they need not wait until their
    /// patience is over.
    pub(super) fn hang_up(&mut self, env: &mut Environment) {
        let held = std::mem::take(&mut self.calls).into_values().map(|pending| pending.caller);
        let forwarded = std::mem::take(&mut self.forwarded).into_values();
        for caller in held.chain(forwarded).collect::<Vec<_>>() {
            self.reply(env, caller, Outcome::Unknown);
        }
    }

    /// A core that has lost a request would leave its client to run out of patience, as
    /// with one that is only slow.
    fn invariant_who_gives_up_is_answered(&self, id: RequestId) {
        let kept = self.calls.get(&id);
        assert!(
            kept.is_none(),
            "invariant: who gives up is answered: {} leaves {kept:?} open",
            self.process.id
        );
    }

    /// How many requests it has not answered, but for those that it passed on: whom it
    /// passed them to may be dead.
    #[must_use]
    pub fn held(&self) -> usize {
        self.calls.len()
    }

    /// Panics if a request is held for longer than its client asked for.
    pub fn invariant_every_call_ends_in_time(&self, now: Duration) {
        let now = self.process.clock.read(now);
        let callers =
            self.calls.values().map(|pending| &pending.caller).chain(self.forwarded.values());
        for caller in callers {
            let until = caller.until + SERVE_TIME;
            assert!(
                until >= now,
                "invariant: every call ends in time: {} holds {caller:?} at {now:?}",
                self.process.id
            );
        }
    }

    /// Asks for a compaction of its own.
    pub(super) fn compact(
        &mut self,
        env: &mut Environment,
        revision: Revision,
        by: Option<Accessor>,
    ) -> Input {
        env.coverage.hit(Reached::CompactedByItself);
        let id = RequestId(self.number());
        self.own.insert(id);
        let trace = command::trace(NONCE, OperationId(OWN | env.trace.events()));
        let command = command::command(&Call::Compact { below: revision.0 }, trace);
        let command = Command { op: command.op.attributed(by), ..command };
        let wall_ms = self.process.clock.wall_ms(env.queue.now());
        Input::Mutation { id, command, since: None, wall_ms }
    }

    pub(super) fn answer(&mut self, env: &mut Environment, id: RequestId, answer: Answer) {
        if self.own.remove(&id) {
            return;
        }
        let Some(Pending { caller, request, .. }) = self.calls.remove(&id) else {
            panic!("{} answered request {id} twice, or was never asked", self.process.id)
        };
        let outcome = match answer {
            Answer::Executed { outcome: CommandOutcome::TooManyKeys { .. }, .. } => {
                Outcome::NotApplied
            }
            Answer::Executed { slot, outcome, delivery } => {
                env.observer.answered(request.operation, slot, &outcome, delivery);
                Outcome::Answered {
                    revision: outcome.revision().0,
                    answer: command::answer(&request.call, &outcome, |revision, prefix| {
                        self.database.changed_at(revision, prefix)
                    }),
                }
            }
            Answer::NotApplied(NotApplied::NotPrimary { primary: Some(primary) })
                if request.hops == 0 && primary != self.identity.name =>
            {
                return self.forward(env, caller, request, id, &primary);
            }
            Answer::NotApplied(_) => {
                // Of a request by a key that may be sent again nothing is said for good.
                if request.sent == Sent::Once {
                    env.observer.not_applied(request.operation);
                }
                Outcome::NotApplied
            }
            Answer::Unknown(_) => Outcome::Unknown,
            Answer::Forgotten => {
                env.coverage.hit(Reached::RequestForgotten);
                Outcome::Unknown
            }
        };
        self.reply(env, caller, outcome);
    }

    fn forward(
        &mut self,
        env: &mut Environment,
        caller: Caller,
        request: Request,
        id: RequestId,
        primary: &Name,
    ) {
        env.coverage.hit(Reached::Forwarded);
        let call = CallId(id.0);
        self.forwarded.insert(call, caller);
        let request = Request { hops: request.hops + 1, ..request };
        self.send(env, node_of(primary), None, Message::Call(call, request));
    }

    pub(super) fn release(
        &mut self,
        env: &mut Environment,
        ids: Vec<RequestId>,
        executed_below: Slot,
    ) {
        env.observer.reads(self.process.id, &self.database);
        let stored_below = self.database.stored_below();
        assert!(
            executed_below <= stored_below,
            "invariant: reads are released at {executed_below}, and stored is {stored_below}"
        );
        for id in ids {
            let Some(pending) = self.calls.get(&id) else { continue };
            pending.invariant_a_read_sees_what_was_chosen(executed_below);
            self.released.push(id);
        }
        let lasts = self.process.random.duration(Duration::ZERO, SERVE_TIME);
        env.local(&self.process, lasts, Local::Serve);
    }

    /// Reads the database for what was released: at its newest commit.
    pub(super) fn serve(&mut self, env: &mut Environment) {
        for id in std::mem::take(&mut self.released) {
            let Some(pending) = self.calls.remove(&id) else { continue };
            let state = self.database.state();
            pending.invariant_a_read_sees_what_was_chosen(state.meta().executed_below);
            let Pending { caller, request, floor, executed } = pending;
            let answer = command::read(&request.call, state);
            if state.meta().executed_below > executed && floor > executed {
                env.coverage.hit(Reached::ReadWaited);
                if matches!(&answer, operations::Answer::Listed(page) if page.items.len() > 1) {
                    env.coverage.hit(Reached::ListWaited);
                }
            }
            if floor > Slot(0) && !self.is_primary() {
                env.coverage.hit(Reached::BackupRead);
            }
            self.reply(
                env,
                caller,
                Outcome::Answered { revision: state.meta().revision.0, answer },
            );
        }
    }

    fn is_primary(&self) -> bool {
        let view = self.database.state().meta().view.as_ref();
        view.is_some_and(|view| {
            view.primary == self.identity.name && view.primary_instance == self.identity.instance
        })
    }

    pub(super) fn reply(&self, env: &mut Environment, caller: Caller, outcome: Outcome) {
        self.send(env, caller.to, Some(caller.to_life), Message::Answer(caller.call, outcome));
    }
}

impl Pending {
    fn invariant_a_read_sees_what_was_chosen(&self, executed_below: Slot) {
        assert!(
            executed_below >= self.floor,
            "invariant: a linearizable read sees what was chosen before it came: {:?} saw what is \
             below {executed_below}, not {}",
            self.request.operation,
            self.floor
        );
    }
}
