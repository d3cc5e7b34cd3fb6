//! Executing the chosen log: a pure function of it.
//!
//! In slot order, each slot once, with no clock, no randomness and no disk: two replicas
//! that executed the same slots have equal hashes and equal state (Schneider,
//! *Implementing Fault-Tolerant Services Using the State Machine Approach*, section 2).
//! Nothing here can fail. Bytes that cannot be decoded, a batch of another epoch or out
//! of its order, a view that doesn't follow the one before: each of these executes as
//! *void*, for the same reason on every replica.
//!
//! A shell executes a run of slots so: [`Run::new`] decodes, [`Run::advance`] executes on
//! the [`ReplicatedState`] for as long as that has what commands look at, and says what to
//! load where it hasn't. What has to be written is then in
//! [`ReplicatedState::take_rows`], what came of it in the report.

pub(super) mod access;
pub(super) mod tenure;

use std::sync::Arc;

use shared::ids::{Accessor, BatchNumber, Epoch, LeaseId, Revision, Slot};
use shared::message::{ChosenEntry, Removal, Value, View};

use crate::machine::command::{
    AnswerRetention, Command, Commands, Condition, Op, Unreadable, limits,
};
use crate::machine::identity::{IdempotencyKey, RequestIdentity};
use crate::machine::keys::{Content, Record, RolledBack};
use crate::machine::locks::Fenced;
pub use crate::machine::outcome::{
    CommandOutcome, Delivery, Executed, ExecutedCommand, ExecutionReport, RollbackRefused,
    SlotOutcome, VoidReason,
};
pub use crate::machine::run::{Decoded, Run, RunStep};
use crate::machine::state::{Meta, RemovedReplica, ReplicatedState};
use crate::machine::txn::evaluate::{Evaluated, Taken};
use crate::machine::txn::result::TxnOutcome;

/// Executes one slot on a state that lacks nothing.
///
/// # Panics
/// When it is not the slot that is due, or something was not loaded.
pub fn apply(state: &mut ReplicatedState, entry: &ChosenEntry) -> Executed {
    Run::new(vec![entry.clone()]).apply(state).slots.remove(0)
}

/// What a slot comes to before any command is executed.
pub(super) enum Begun {
    /// There is none: this is all.
    Ended(SlotOutcome),
    /// The commands of a batch are to be executed.
    Batch { epoch: Epoch, number: BatchNumber, commands: Commands },
}

/// Begins to execute a slot.
///
/// # Panics
/// When it is not the slot that is due.
pub(super) fn begin_slot(
    state: &mut ReplicatedState,
    entry: &ChosenEntry,
    decoded: Decoded,
) -> Begun {
    assert_eq!(
        entry.slot,
        state.meta().executed_below,
        "invariant: slots are executed in order, each once"
    );
    let begun =
        match decoded {
            _ if let Err(reason) = check_format(state.meta(), &entry.value) => Err(reason),
            Decoded::Noop => Ok(Begun::Ended(SlotOutcome::Noop)),
            Decoded::View(view) => {
                adopt(state.meta_mut(), view).map(|view| Begun::Ended(SlotOutcome::View(view)))
            }
            Decoded::Removal(removal) => remove(state.meta_mut(), entry.slot, removal)
                .map(|view| Begun::Ended(SlotOutcome::View(view))),
            Decoded::Batch { epoch, number, commands } => {
                begin_batch(state.meta_mut(), epoch, number, commands)
                    .map(|commands| Begun::Batch { epoch, number, commands })
            }
            Decoded::Undecodable => Err(VoidReason::Undecodable),
        };
    begun.unwrap_or_else(|reason| Begun::Ended(SlotOutcome::Void(reason)))
}

/// Notes that a slot is executed.
pub(super) fn finish_slot(
    state: &mut ReplicatedState,
    entry: &ChosenEntry,
    outcome: SlotOutcome,
) -> Executed {
    let changes = state.take_changes();
    let meta = state.meta_mut();
    meta.hash = meta.hash.next(entry.slot, &entry.value);
    meta.executed_below = entry.slot.next();
    let (slot, hash, revision) = (entry.slot, meta.hash, meta.revision);
    Executed { slot, hash, revision, outcome, changes }
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

/// A view, from which on a replica is remembered to be out for good.
fn remove(meta: &mut Meta, slot: Slot, removal: Removal) -> Result<View, VoidReason> {
    let Removal { view, replica } = removal;
    let view = adopt(meta, view)?;
    let removed = Arc::make_mut(&mut meta.removed);
    removed.retain(|removed| removed.replica != replica);
    removed.push(RemovedReplica { replica, slot, epoch: view.epoch });
    let forgotten = removed.len().saturating_sub(limits::REMOVALS);
    removed.drain(..forgotten);
    Ok(view)
}

fn begin_batch(
    meta: &mut Meta,
    epoch: Epoch,
    number: BatchNumber,
    commands: Result<Commands, Unreadable>,
) -> Result<Commands, VoidReason> {
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
    meta.time_ms = next_time(meta.time_ms, commands.time_ms);
    Ok(commands)
}

/// Time is what the batch says, but never goes back, and no further than a step.
pub(super) fn next_time(before: u64, said: u64) -> u64 {
    said.clamp(before, before.saturating_add(limits::TIME_STEP_MS))
}

/// What is to be executed of a command.
struct Prepared {
    op: Op,
    /// Who does it.
    by: Option<Accessor>,
    /// What it comes to, where it is a transaction.
    evaluated: Option<Evaluated>,
}

/// Executes a command at which [`ReplicatedState::look`] has just looked, unless it is one
/// that was executed before. A transaction takes what it reads out of the `room`.
pub(super) fn execute_command(
    state: &mut ReplicatedState,
    retention: AnswerRetention,
    room: &mut usize,
    (command, evaluated): (Command, Option<Evaluated>),
) -> ExecutedCommand {
    let Command { op, request, trace: _ } = command;
    // Before what was answered at first is looked for: that is nobody's who may no more.
    if let Err(why) = access::authorize(state, &op) {
        let outcome = CommandOutcome::Denied { revision: state.meta().revision, why };
        return ExecutedCommand { request, outcome, delivery: Delivery::First };
    }
    let prepared = Prepared { by: op.by(), op, evaluated };
    let (outcome, delivery) = match request {
        RequestIdentity::Drawn(_) => (execute_now(state, room, prepared), Delivery::First),
        RequestIdentity::Keyed(key) => execute_once(state, retention, room, (key, prepared)),
    };
    ExecutedCommand { request, outcome, delivery }
}

fn execute_once(
    state: &mut ReplicatedState,
    retention: AnswerRetention,
    room: &mut usize,
    (key, prepared): (IdempotencyKey, Prepared),
) -> (CommandOutcome, Delivery) {
    let (revision, request) = (state.meta().revision, prepared.op.digest());
    if let Some(first) = state.answers().get(key) {
        return if first.request == request {
            (first.outcome.clone(), Delivery::Replayed)
        } else {
            (CommandOutcome::KeyReused { revision }, Delivery::First)
        };
    }
    if state.meta().answers >= retention.at_most {
        return (CommandOutcome::TooManyKeys { revision }, Delivery::First);
    }
    let outcome = execute_now(state, room, prepared);
    if !outcome.is_for_now() {
        state.keep_answer(retention, key, (request, outcome.clone()));
    }
    (outcome, Delivery::First)
}

fn execute_now(
    state: &mut ReplicatedState,
    room: &mut usize,
    prepared: Prepared,
) -> CommandOutcome {
    let (before, attribution) = (state.meta().revision, prepared.op.attribution());
    let outcome = execute_op(state, room, prepared);
    let revision = outcome.revision();
    state.meta_mut().revision = revision;
    if let Some(attribution) = attribution.filter(|_| revision > before) {
        state.keys.note_author(revision, attribution);
    }
    outcome
}

fn execute_op(
    state: &mut ReplicatedState,
    room: &mut usize,
    Prepared { op, by, evaluated }: Prepared,
) -> CommandOutcome {
    let revision = state.meta().revision.next();
    match op {
        Op::Attributed { by: _, op }
        | Op::Issued { subject: _, policies: _, op }
        | Op::Certified { subject: _, op } => {
            execute_op(state, room, Prepared { op: *op, by, evaluated })
        }
        Op::Put { key, value, content_type, condition } => {
            put(state, revision, key, (Content { value, content_type }, None), condition)
        }
        Op::LeasedPut { lease, key, value, content_type, condition } => {
            if state.leases().get(lease).is_none() {
                return CommandOutcome::NoSuchLease { revision: state.meta().revision, lease };
            }
            put(state, revision, key, (Content { value, content_type }, Some(lease)), condition)
        }
        Op::Delete { key, condition } => delete(state, revision, key, condition),
        Op::DeletePrefix { prefix } => delete_prefix(state, revision, prefix),
        Op::Txn(_) => {
            let evaluated = evaluated.expect("a transaction is looked at before it is executed");
            execute_txn(state, revision, room, evaluated)
        }
        // That it stands in the log is all.
        Op::Append { .. } => {
            CommandOutcome::Appended { revision, slot: state.meta().executed_below }
        }
        Op::Rollback { prefix, revision: to } => roll_back(state, revision, prefix, to),
        Op::Lease(op) => tenure::execute_lease(state, revision, by, op),
        Op::Lock(op) => tenure::execute_lock(state, revision, op),
        Op::Compact { below } => compact(state, below),
        Op::Access(op) => access::execute_access(state, revision, by, op),
        Op::Fenced(fenced) => {
            let Fenced { fence, op } = *fenced;
            match tenure::fence_failed(state, &fence) {
                Some(failed) => failed,
                None => execute_op(state, room, Prepared { op, by, evaluated }),
            }
        }
    }
}

fn put(
    state: &mut ReplicatedState,
    revision: Revision,
    key: String,
    (content, lease): (Content, Option<LeaseId>),
    condition: Condition,
) -> CommandOutcome {
    if let Some(failed) = guard(state, &key, &condition) {
        return failed;
    }
    let before = state.keys.get(&key);
    let record = Record::written(before, revision, content, lease);
    let Record { created_revision, version, .. } = record;
    let outcome = match before {
        None => CommandOutcome::Created { revision },
        Some(_) => CommandOutcome::Replaced { revision, created_revision, version },
    };
    state.keys.put(key, record);
    lease.into_iter().for_each(|lease| state.whole.leases.bind(lease));
    outcome
}

fn delete(
    state: &mut ReplicatedState,
    revision: Revision,
    key: String,
    condition: Condition,
) -> CommandOutcome {
    if let Some(failed) = guard(state, &key, &condition) {
        return failed;
    }
    let deleted = u64::from(state.keys.get(&key).is_some());
    state.keys.delete(key, revision);
    CommandOutcome::Deleted { revision, deleted }
}

fn delete_prefix(
    state: &mut ReplicatedState,
    revision: Revision,
    prefix: String,
) -> CommandOutcome {
    state.keys.delete_prefix(prefix, revision);
    CommandOutcome::DeletedPrefix { revision }
}

fn roll_back(
    state: &mut ReplicatedState,
    revision: Revision,
    prefix: String,
    to: Revision,
) -> CommandOutcome {
    let (before, oldest) = (state.meta().revision, state.meta().compacted_below);
    let rolled_back = if to > before {
        Err(RollbackRefused::Future { asked: to })
    } else if to < oldest {
        Err(RollbackRefused::Compacted { asked: to, oldest })
    } else {
        state.keys.roll_back(prefix, to, revision)
    };
    match rolled_back {
        Ok(RolledBack { restored, deleted }) => {
            CommandOutcome::RolledBack { revision, restored, deleted }
        }
        Err(why) => CommandOutcome::RollbackRefused { revision: before, why },
    }
}

/// Says what is dropped, and no more: the store drops it in its own time.
fn compact(state: &mut ReplicatedState, below: Revision) -> CommandOutcome {
    let Meta { revision, compacted_below, .. } = *state.meta();
    if below > revision {
        return CommandOutcome::CompactionAhead { revision, asked: below };
    }
    if below > compacted_below {
        state.meta_mut().compacted_below = below;
        state.keys.forget_history(below);
    }
    CommandOutcome::Compacted { revision, below: below.max(compacted_below) }
}

fn execute_txn(
    state: &mut ReplicatedState,
    revision: Revision,
    room: &mut usize,
    evaluated: Evaluated,
) -> CommandOutcome {
    let before = state.meta().revision;
    let taken = match evaluated {
        Evaluated::Taken(taken) => taken,
        Evaluated::TooLarge => return CommandOutcome::TxnTooLarge { revision: before },
        Evaluated::NoRoom => return CommandOutcome::TxnWithoutRoom { revision: before },
        Evaluated::NoSuchLease(lease) => {
            return CommandOutcome::NoSuchLease { revision: before, lease };
        }
    };
    let Taken { guards, results, read_bytes, leases, writes } = taken;
    *room -= read_bytes;
    leases.into_iter().for_each(|lease| state.whole.leases.bind(lease));
    let revision = match writes {
        Some(writes) => {
            state.keys.write(writes, revision);
            revision
        }
        None => before,
    };
    CommandOutcome::Txn(Arc::new(TxnOutcome { revision, guards, results }))
}

fn guard(state: &ReplicatedState, key: &str, condition: &Condition) -> Option<CommandOutcome> {
    let current = state.keys.get(key).map(|record| record.revision);
    if condition.holds(current) {
        None
    } else {
        Some(CommandOutcome::PreconditionFailed { revision: state.meta().revision, current })
    }
}

#[cfg(test)]
mod tests;
