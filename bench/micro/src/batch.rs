//! A batch of puts, and the log that it is part of.

use bytes::Bytes;
use replica::machine::command::{AnswerRetention, Command, Commands, Condition, Op};
use replica::machine::identity::RequestIdentity;
use replica::machine::state::ReplicatedState;
use replica::machine::{execute, format};
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Epoch, Instance, Slot};
use shared::message::{Batch, ChosenEntry, EncodedValue, Value, View};

/// The bytes of each value.
const VALUE_BYTES: usize = 256;
/// Keys are spread over so many.
const KEYS: u64 = 10_000;

/// Puts, of keys that differ from batch to batch.
#[must_use]
pub fn puts(number: u64, count: u64) -> Commands {
    let put = |index: u64| {
        // A stride that shares no factor with the number of keys: all of them come by.
        let key = (number * count + index).wrapping_mul(7_919) % KEYS;
        Command {
            op: Op::Put {
                key: format!("bench/{key:08}"),
                value: Bytes::from(vec![key.to_le_bytes()[0]; VALUE_BYTES]),
                content_type: None,
                condition: Condition::Always,
            },
            trace: None,
            request: RequestIdentity::Drawn(
                (u128::from(number) << 64 | u128::from(index)).to_be_bytes(),
            ),
        }
    };
    Commands {
        time_ms: number,
        wall_ms: number,
        trace: None,
        answers: AnswerRetention::default(),
        commands: (0..count).map(put).collect(),
        executed: None,
    }
}

/// A batch of puts as it stands in the log.
#[must_use]
pub fn value(number: u64, count: u64) -> EncodedValue {
    let commands = puts(number, count).encode();
    Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(number), commands }).encode()
}

/// A replica's state in memory, and the log that it executes.
#[derive(Debug)]
pub struct Executing {
    state: ReplicatedState,
    next: Slot,
}

impl Executing {
    /// One that has executed a view, and every key once.
    #[must_use]
    pub fn begun() -> Self {
        let mut executing = Self { state: ReplicatedState::complete(), next: Slot(0) };
        let primary = "replica-1".parse().expect("it is a name");
        let (epoch, primary_instance) = (Epoch(1), Instance(1));
        let backups = Vec::new();
        let format = format::HIGHEST;
        let view = View { epoch, primary, primary_instance, backups, format };
        executing.execute(Value::View(view).encode());
        for number in 0..KEYS / 100 {
            executing.execute(value(number, 100));
        }
        executing
    }

    /// The number that the next batch must have.
    #[must_use]
    pub fn next_batch(&self) -> u64 {
        self.state.meta().next_batch.0
    }

    /// Executes a value, and forgets what would have been written of it.
    pub fn execute(&mut self, value: EncodedValue) {
        let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
        let executed =
            execute::apply(&mut self.state, &ChosenEntry { slot: self.next, ballot, value });
        assert_eq!(executed.slot, self.next);
        let _ = self.state.take_rows();
        self.next = self.next.next();
    }
}
