//! Where the values of puts stand in the encoding of a batch: for a store that has them
//! elsewhere already, and need not keep them twice.

use std::ops::Range;

use serde::Serialize;
use shared::message::ChosenEntry;

use super::command::{Commands, LINK_BYTES, Op};
use super::execute::Decoded;
use super::locks::Fenced;
use super::txn::{Guards, Txn, TxnPut};

/// The value of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutValue {
    /// Which command of the batch it is, or it is in.
    pub command: usize,
    /// In which branch of a transaction, where that is the command. It is what the key has
    /// after that branch.
    pub branch: Option<Guards>,
    /// Where the value stands in the encoded slot.
    pub value: Range<usize>,
    /// Where its key does.
    pub key: Range<usize>,
}

/// The values of at least so many bytes in an encoded slot, in their order. Only those
/// that stand where the encoding of what was decoded has them: bytes that mean the same
/// may be written in other ways, and need not be found.
pub(super) fn put_values(entry: &ChosenEntry, decoded: &Decoded, at_least: usize) -> Vec<PutValue> {
    let Decoded::Batch { commands: Ok(commands), .. } = decoded else { return Vec::new() };
    let Commands { time_ms, wall_ms, trace, answers, commands, executed } = commands;
    let head = encoded_len(&(time_ms, wall_ms, trace, answers, commands.len()));
    let lengths: Vec<usize> = commands.iter().map(encoded_len).collect();
    let link = executed.map_or(0, |_| LINK_BYTES);
    let payload = head + lengths.iter().sum::<usize>() + link;
    // The commands are the last field of a batch.
    let Some(start) = entry.value.len().checked_sub(payload) else { return Vec::new() };
    let starts = lengths.iter().scan(start + head, |next, length| {
        let start = *next;
        *next += length;
        Some(start)
    });
    commands
        .iter()
        .zip(starts)
        .enumerate()
        .flat_map(|(number, (command, start))| values_of(entry, number, &command.op, start))
        .filter(|put| put.value.len() >= at_least)
        .collect()
}

/// The number of a variant.
const VARIANT: usize = 1;

fn values_of(entry: &ChosenEntry, command: usize, op: &Op, start: usize) -> Vec<PutValue> {
    let start = start + VARIANT;
    let one = |start, key, value| {
        let put = |(key, value)| PutValue { command, branch: None, key, value };
        find(entry, start, key, value).map(put).into_iter().collect()
    };
    match op {
        Op::Put { key, value, .. } => one(start, key, value),
        Op::LeasedPut { lease, key, value, .. } => one(start + encoded_len(lease), key, value),
        Op::Txn(txn) => values_of_txn(entry, command, txn, start),
        Op::Fenced(fenced) => {
            let Fenced { fence, op } = &**fenced;
            let start = start + encoded_len(fence) + encoded_len(&encoded_len(op));
            values_of(entry, command, op, start)
        }
        Op::Attributed { by, op } => {
            let start = start + encoded_len(by) + encoded_len(&encoded_len(&**op));
            values_of(entry, command, op, start)
        }
        Op::Issued { subject, policies, op } => {
            let inner = encoded_len(&encoded_len(&**op));
            let start = start + encoded_len(subject) + encoded_len(policies) + inner;
            values_of(entry, command, op, start)
        }
        Op::Certified { subject, op } => {
            let start = start + encoded_len(subject) + encoded_len(&encoded_len(&**op));
            values_of(entry, command, op, start)
        }
        Op::Delete { .. }
        | Op::DeletePrefix { .. }
        | Op::Append { .. }
        | Op::Rollback { .. }
        | Op::Lease(_)
        | Op::Lock(_)
        | Op::Access(_)
        | Op::Compact { .. } => Vec::new(),
    }
}

/// Those of each branch that are not overwritten in it.
fn values_of_txn(entry: &ChosenEntry, command: usize, txn: &Txn, start: usize) -> Vec<PutValue> {
    let Txn { guards, then, otherwise } = txn;
    let mut next = start + encoded_len(guards);
    let mut found = Vec::new();
    for (branch, ops) in [(Guards::Hold, then), (Guards::Fail, otherwise)] {
        next += encoded_len(&ops.len());
        for (index, op) in ops.iter().enumerate() {
            if let Some(TxnPut { key, value, .. }) = op.put() {
                let lease = op.lease().map_or(0, |lease| encoded_len(&lease));
                let is_kept = !ops[index + 1..].iter().any(|later| later.overwrites(key));
                let place = find(entry, next + VARIANT + lease, key, value).filter(|_| is_kept);
                let put = |(key, value)| PutValue { command, branch: Some(branch), key, value };
                found.extend(place.map(put));
            }
            next += encoded_len(op);
        }
    }
    found
}

/// Where a key and the value after it stand, if that is where they should.
fn find(
    entry: &ChosenEntry,
    start: usize,
    key: &str,
    value: &[u8],
) -> Option<(Range<usize>, Range<usize>)> {
    let key_start = start + encoded_len(&key.len());
    let key_range = key_start..key_start + key.len();
    let value_start = key_range.end + encoded_len(&value.len());
    let value_range = value_start..value_start + value.len();
    let is_there = entry.value.get(key_range.clone()) == Some(key.as_bytes())
        && entry.value.get(value_range.clone()) == Some(value);
    is_there.then_some((key_range, value_range))
}

fn encoded_len<T: Serialize + ?Sized>(value: &T) -> usize {
    postcard::experimental::serialized_size(value).expect("everything here can be encoded")
}
