//! Where the values of puts stand in the encoding of a batch: for a store that has them
//! elsewhere already, and need not keep them twice.

use std::ops::Range;

use serde::Serialize;
use shared::message::ChosenEntry;

use super::command::{Command, Commands, Op};
use super::execute::Decoded;

/// The value of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutValue {
    /// Which command of the batch it is.
    pub command: usize,
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
    let Commands { time_ms, wall_ms, trace, answers, commands } = commands;
    let head = encoded_len(&(time_ms, wall_ms, trace, answers, commands.len()));
    let lengths: Vec<usize> = commands.iter().map(encoded_len).collect();
    let payload = head + lengths.iter().sum::<usize>();
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
        .filter_map(|(number, (command, start))| put_value(entry, number, command, start))
        .filter(|put| put.value.len() >= at_least)
        .collect()
}

fn put_value(entry: &ChosenEntry, number: usize, put: &Command, start: usize) -> Option<PutValue> {
    /// The number of the variant.
    const PUT: usize = 1;
    let Op::Put { key, value, .. } = &put.op else { return None };
    let key_start = start + PUT + encoded_len(&key.len());
    let key_range = key_start..key_start + key.len();
    let value_start = key_range.end + encoded_len(&value.len());
    let value_range = value_start..value_start + value.len();
    let is_there = entry.value.get(key_range.clone()) == Some(key.as_bytes())
        && entry.value.get(value_range.clone()) == Some(&value[..]);
    is_there.then_some(PutValue { command: number, value: value_range, key: key_range })
}

fn encoded_len<T: Serialize + ?Sized>(value: &T) -> usize {
    postcard::experimental::serialized_size(value).expect("everything here can be encoded")
}
