//! What a transaction comes to, as a function of the state before it: nothing is changed
//! here, so that it can be tried until everything is loaded that it looks at.

use std::cmp::Ordering;

use shared::ids::{LeaseId, Revision};

use super::result::TxnResult;
use super::view::View;
use super::{Comparison, Guards, Txn, TxnGuard, TxnOp};
use crate::machine::command::limits;
use crate::machine::keys::{KeyNeeds, KeyWrites, Keys, Record};
use crate::machine::leases::Leases;

/// What a transaction comes to.
#[derive(Debug)]
pub(in crate::machine) enum Evaluated {
    /// It is executed.
    Taken(Taken),
    /// What it reads is more than [`limits::TXN_RESULT_BYTES`].
    TooLarge,
    /// What it reads is more than there is room for in its batch.
    NoRoom,
    /// What it would store is to go with a lease that does not exist.
    NoSuchLease(LeaseId),
}

/// What a transaction does that is executed.
#[derive(Debug)]
pub(in crate::machine) struct Taken {
    /// Which branch.
    pub(in crate::machine) guards: Guards,
    /// What its client hears.
    pub(in crate::machine) results: Vec<TxnResult>,
    /// What it reads takes so many bytes of the room.
    pub(in crate::machine) read_bytes: usize,
    /// The leases that what it stores goes with.
    pub(in crate::machine) leases: Vec<LeaseId>,
    /// What is to be written; none where it only reads.
    pub(in crate::machine) writes: Option<KeyWrites>,
}

/// Evaluates a transaction that would have this revision, in a batch that has room for so
/// many bytes of what is read.
///
/// # Errors
/// What is lacking: all that can be told now.
pub(in crate::machine) fn evaluate(
    (keys, leases): (&Keys, &Leases),
    txn: &Txn,
    revision: Revision,
    room: usize,
) -> Result<Evaluated, KeyNeeds> {
    let mut lacking = KeyNeeds::default();
    keys.add_lacking_heads(txn.keys(), &mut lacking);
    or_lacking(lacking)?;
    let guards = guards_of(keys, &txn.guards)?;
    let branch = txn.branch(guards);
    let bound: Vec<LeaseId> = branch.iter().filter_map(TxnOp::lease).collect();
    if let Some(gone) = bound.iter().find(|lease| leases.get(**lease).is_none()) {
        return Ok(Evaluated::NoSuchLease(*gone));
    }
    let mut view = View::new(keys, revision);
    let mut results = Vec::with_capacity(branch.len());
    for (index, op) in branch.iter().enumerate() {
        results.push(view.execute(branch, index, op)?);
        if view.read_bytes() > limits::TXN_RESULT_BYTES {
            return Ok(Evaluated::TooLarge);
        }
        if view.read_bytes() > room {
            return Ok(Evaluated::NoRoom);
        }
    }
    let read_bytes = view.read_bytes();
    let writes = view.finish(branch, &mut results)?;
    let writes = branch.iter().any(TxnOp::is_write).then_some(writes);
    Ok(Evaluated::Taken(Taken { guards, results, read_bytes, leases: bound, writes }))
}

pub(super) fn or_lacking(lacking: KeyNeeds) -> Result<(), KeyNeeds> {
    if lacking.is_empty() { Ok(()) } else { Err(lacking) }
}

fn guards_of(keys: &Keys, guards: &[TxnGuard]) -> Result<Guards, KeyNeeds> {
    let (mut held, mut lacking) = (Guards::Hold, KeyNeeds::default());
    for guard in guards {
        match holds(keys, guard) {
            Ok(true) => {}
            Ok(false) => held = Guards::Fail,
            Err(lacks) => lacking.add(lacks),
        }
    }
    or_lacking(lacking)?;
    Ok(held)
}

fn holds(keys: &Keys, guard: &TxnGuard) -> Result<bool, KeyNeeds> {
    let TxnGuard { key, comparison } = guard;
    let record = keys.get(key);
    let of = |number: fn(&Record) -> u64| record.map_or(0, number);
    Ok(match comparison {
        Comparison::Exists(exists) => record.is_some() == *exists,
        Comparison::Revision(relation, revision) => {
            relation.holds(of(|record| record.revision.0).cmp(&revision.0))
        }
        Comparison::Version(relation, version) => {
            relation.holds(of(|record| record.version).cmp(version))
        }
        Comparison::Value(relation, value) => match record {
            // It is neither equal nor below nor above.
            None => *relation == super::Relation::NotEqual,
            Some(_) => {
                // One byte more says whether it is longer.
                let found = keys.content(key, value.len() + 1)?;
                let order: Ordering = found.value.as_ref().cmp(value.as_ref());
                relation.holds(order)
            }
        },
    })
}
