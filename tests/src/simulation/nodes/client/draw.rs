//! What a client makes up: whom it asks, and for what.

use shared::ids::Slot;

use super::{Client, Reading, Stage};
use crate::operations::generate::Names;
use crate::operations::{Call, Guard, Key, OperationId, Value};
use crate::simulation::environment::Environment;
use crate::simulation::nodes::process::NodeId;

/// Some keys begin with others, so that prefixes matter.
const KEYS: [&str; 6] = ["a", "ab", "b", "abc", "ba", "c"];

const PREFIXES: [&str; 4] = ["a", "ab", "b", ""];

impl Client {
    /// What it knows to be executed: not always the latest.
    pub(super) fn draw_since(&mut self, env: &Environment) -> Slot {
        let executed_below = env.observer.golden().state().meta().executed_below;
        Slot(executed_below.0.saturating_sub(self.random.magnitude_of(1, 1_000) - 1))
    }

    /// Anything, while it works; once all is healed what it must be able to do.
    pub(super) fn draw_call(&mut self, operation: OperationId) -> Call {
        let bytes = self.random.between(0, self.workload.value_bytes);
        let value = Value::new(operation.0, usize::try_from(bytes).expect("small"));
        match (self.stage, &self.holder) {
            (Stage::Working, Some(holder)) => {
                holder.call(Key::clone(self.random.pick(&self.names.keys)), value)
            }
            (Stage::Working, None) => self.generator.generate(
                &mut self.random,
                &self.workload.weights,
                &self.names,
                value,
            ),
            (Stage::MustWrite, _) => {
                let key = Key::clone(self.random.pick(&self.names.keys));
                Call::Put { key, value, guard: Guard::Always }
            }
            (Stage::MustRead | Stage::Done, _) => {
                let key = self.random.pick(&self.names.keys);
                match self.unread().1 {
                    Reading::Linearizable => Call::read(key),
                    Reading::Local => Call::read_locally(key, self.generator.newest()),
                }
            }
        }
    }

    /// Any, while it works; once all is healed one that answers to a write, as a balancer
    /// does, for others may stay dead; and then each that lives, to read. Who has to be
    /// answered in time asks one that answers all the while.
    pub(super) fn draw_replica(&mut self) -> NodeId {
        match self.stage {
            Stage::Working if self.holder.is_none() => {
                self.asked =
                    u8::try_from(self.random.below(u64::from(self.replicas))).expect("small")
            }
            Stage::MustRead => return self.unread().0,
            Stage::Working | Stage::MustWrite | Stage::Done => {}
        }
        NodeId::Replica(self.asked)
    }
}

/// A listing has no pages: a replica's are SQL, which is not here.
pub(super) fn names(keys: usize) -> Names {
    let prefixes = PREFIXES.map(Key::from).to_vec();
    Names {
        keys: KEYS[..keys].iter().map(|key| Key::from(*key)).collect(),
        listed: prefixes.clone(),
        deleted: prefixes,
        page: None,
    }
}
