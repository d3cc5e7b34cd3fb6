//! Executing the chosen log: a pure function of it.
//!
//! In slot order, each slot once, with no clock, no randomness and no disk: two replicas
//! that executed the same slots have equal hashes and equal state (Schneider,
//! *Implementing Fault-Tolerant Services Using the State Machine Approach*, section 2).
//! Nothing here can fail. Bytes that cannot be decoded, a batch of another epoch or out
//! of its order, a view that doesn't follow the one before: each of these executes as
//! *void*, for the same reason on every replica.
//!
//! A shell executes a run of slots so: [`Run::new`] decodes, [`Run::needs`] says what to
//! load, [`Run::apply`] executes on the [`WorkingSet`] and reports. What has to be
//! written is then in [`WorkingSet::take_changes`] and the report.

use shared::ids::{BatchNumber, Epoch, Revision};
use shared::message::{ChosenEntry, Value, View};

use crate::machine::command::{Command, Commands, Condition, Op, Unreadable, limits};
pub use crate::machine::outcome::{
    CommandOutcome, Executed, ExecutedCommand, ExecutionReport, SlotOutcome, VoidReason,
};
use crate::machine::put_values::{PutValue, put_values};
use crate::machine::working_set::{Content, Meta, Needs, Record, WorkingSet};

/// A chosen value, decoded. There is no failing: what cannot be read is a value too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Changes nothing.
    Noop,
    /// Who is primary.
    View(View),
    /// Mutations.
    Batch {
        /// The epoch of the primary that made it.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// The mutations, where they can be read.
        commands: Result<Commands, Unreadable>,
    },
    /// Not the encoding of a value.
    Undecodable,
}

impl Decoded {
    /// Decodes a chosen value.
    #[must_use]
    pub fn new(value: &[u8]) -> Self {
        match Value::decode(value) {
            Ok(Value::Noop) => Self::Noop,
            Ok(Value::View(view)) => Self::View(view),
            Ok(Value::Batch(batch)) => Self::Batch {
                epoch: batch.epoch,
                number: batch.number,
                commands: Commands::decode(&batch.commands),
            },
            Err(_) => Self::Undecodable,
        }
    }
}

/// A run of chosen slots, ready to be executed in one transaction.
#[derive(Clone, Debug)]
pub struct Run {
    entries: Vec<ChosenEntry>,
    decoded: Vec<Decoded>,
}

impl Run {
    /// Decodes the entries: ascending, without a gap.
    #[must_use]
    pub fn new(entries: Vec<ChosenEntry>) -> Self {
        let decoded = entries.iter().map(|entry| Decoded::new(&entry.value)).collect();
        Self { entries, decoded }
    }

    /// Which records it looks at.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for decoded in &self.decoded {
            if let Decoded::Batch { commands: Ok(commands), .. } = decoded {
                needs.add(commands);
            }
        }
        needs
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[ChosenEntry] {
        &self.entries
    }

    /// The values of the entries, in the same order: for whoever wants to trace what is
    /// executed.
    #[must_use]
    pub fn decoded(&self) -> &[Decoded] {
        &self.decoded
    }

    /// Where the values of at least so many bytes stand in each entry.
    #[must_use]
    pub fn put_values(&self, at_least: usize) -> Vec<Vec<PutValue>> {
        let of = |(entry, decoded)| put_values(entry, decoded, at_least);
        self.entries.iter().zip(&self.decoded).map(of).collect()
    }

    /// Executes it all.
    ///
    /// # Panics
    /// When the first entry is not the slot that is due, or a record was not loaded.
    #[must_use]
    pub fn apply(self, state: &mut WorkingSet) -> ExecutionReport {
        let slots = self
            .entries
            .iter()
            .zip(self.decoded)
            .map(|(entry, decoded)| apply_decoded(state, entry, decoded))
            .collect();
        ExecutionReport { slots, meta: state.meta().clone() }
    }
}

/// Executes one slot.
///
/// # Panics
/// When it is not the slot that is due, or a record was not loaded.
pub fn apply(state: &mut WorkingSet, entry: &ChosenEntry) -> Executed {
    apply_decoded(state, entry, Decoded::new(&entry.value))
}

fn apply_decoded(state: &mut WorkingSet, entry: &ChosenEntry, decoded: Decoded) -> Executed {
    let slot = entry.slot;
    assert_eq!(
        slot,
        state.meta().executed_below,
        "invariant: slots are executed in order, each once"
    );
    let outcome = match decoded {
        _ if let Err(reason) = check_format(state.meta(), &entry.value) => {
            SlotOutcome::Void(reason)
        }
        Decoded::Noop => SlotOutcome::Noop,
        Decoded::View(view) => {
            adopt(state.meta_mut(), view).map_or_else(SlotOutcome::Void, SlotOutcome::View)
        }
        Decoded::Batch { epoch, number, commands } => {
            execute_batch(state, epoch, number, commands).map_or_else(
                SlotOutcome::Void,
                |commands| SlotOutcome::Batch { epoch, number, commands },
            )
        }
        Decoded::Undecodable => SlotOutcome::Void(VoidReason::Undecodable),
    };
    let meta = state.meta_mut();
    meta.hash = meta.hash.next(slot, &entry.value);
    meta.executed_below = slot.next();
    Executed { slot, hash: meta.hash, revision: meta.revision, outcome }
}

/// What the log has not come to is void, before anybody looks at what it says: those who
/// can read it must not make of it what those who cannot don't.
fn check_format(meta: &Meta, value: &[u8]) -> Result<(), VoidReason> {
    let current = meta.format();
    match Value::format_of(value) {
        Ok((format, _)) if format > current => {
            Err(VoidReason::FormatNotReached { format, current })
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn adopt(meta: &mut Meta, view: View) -> Result<View, VoidReason> {
    let (epoch, current) = (view.epoch, meta.epoch());
    if current.0.checked_add(1) != Some(epoch.0) {
        return Err(VoidReason::ViewOutOfOrder { epoch, current });
    }
    if view.backups.len() > limits::BACKUPS {
        return Err(VoidReason::ViewTooLarge { epoch, backups: view.backups.len() });
    }
    let (format, current) = (view.format, meta.format());
    if format < current {
        return Err(VoidReason::FormatLowered { epoch, format, current });
    }
    meta.view = Some(view.clone());
    meta.next_batch = BatchNumber(0);
    Ok(view)
}

fn execute_batch(
    state: &mut WorkingSet,
    epoch: Epoch,
    number: BatchNumber,
    commands: Result<Commands, Unreadable>,
) -> Result<Vec<ExecutedCommand>, VoidReason> {
    let meta = state.meta_mut();
    let (current, expected) = (meta.epoch(), meta.next_batch);
    // Before the first view there is no primary, so nothing that calls itself a batch of
    // epoch 0 is one.
    if epoch != current || current == Epoch(0) {
        return Err(VoidReason::OtherEpoch { epoch, number, current });
    }
    if number != expected {
        return Err(VoidReason::OutOfOrder { epoch, number, expected });
    }
    meta.next_batch = number.next();
    let commands = commands.map_err(|error| VoidReason::Unreadable { epoch, number, error })?;
    meta.time_ms = meta.time_ms.max(commands.time_ms);
    let execute = |command: Command| ExecutedCommand {
        request: command.request,
        outcome: execute_command(state, command.op),
    };
    Ok(commands.commands.into_iter().map(execute).collect())
}

fn execute_command(state: &mut WorkingSet, op: Op) -> CommandOutcome {
    let revision = state.meta().revision.next();
    let outcome = match op {
        Op::Put { key, value, content_type, condition } => {
            put(state, revision, key, Content { value, content_type }, condition)
        }
        Op::Delete { key, condition } => delete(state, revision, key, condition),
        Op::DeletePrefix { prefix } => delete_prefix(state, revision, prefix),
    };
    state.meta_mut().revision = outcome.revision();
    outcome
}

fn put(
    state: &mut WorkingSet,
    revision: Revision,
    key: String,
    content: Content,
    condition: Condition,
) -> CommandOutcome {
    if let Some(failed) = guard(state, &key, &condition) {
        return failed;
    }
    let (record, outcome) = match state.get(&key) {
        None => {
            let record =
                Record { revision, created_revision: revision, version: 1, content: Some(content) };
            (record, CommandOutcome::Created { revision })
        }
        Some(old) => {
            let (created_revision, version) = (old.created_revision, old.version + 1);
            let record = Record { revision, created_revision, version, content: Some(content) };
            (record, CommandOutcome::Replaced { revision, created_revision, version })
        }
    };
    state.put(key, record);
    outcome
}

fn delete(
    state: &mut WorkingSet,
    revision: Revision,
    key: String,
    condition: Condition,
) -> CommandOutcome {
    if let Some(failed) = guard(state, &key, &condition) {
        return failed;
    }
    let deleted = u64::from(state.get(&key).is_some());
    state.delete(key, revision);
    CommandOutcome::Deleted { revision, deleted }
}

fn delete_prefix(state: &mut WorkingSet, revision: Revision, prefix: String) -> CommandOutcome {
    state.delete_prefix(prefix, revision);
    CommandOutcome::DeletedPrefix { revision }
}

fn guard(state: &WorkingSet, key: &str, condition: &Condition) -> Option<CommandOutcome> {
    let current = state.get(key).map(|record| record.revision);
    if condition.holds(current) {
        None
    } else {
        Some(CommandOutcome::PreconditionFailed { revision: state.meta().revision, current })
    }
}

#[cfg(test)]
mod tests;
