//! The records of a group as bytes: [`Entry`]s in postcard, one after the other.

use serde::{Deserialize, Serialize};
use shared::ids::Slot;

use crate::decision::Record;

/// What a group holds: what the core records, and what the log needs to know of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A change of the acceptor's state.
    State(Record),
    /// Segments below this number hold nothing that is needed; they may be gone.
    Released {
        /// The oldest segment still needed.
        oldest: u64,
    },
}

/// The bytes of an [`Entry::Released`], at most.
pub(crate) const RELEASED_MAX: usize = 16;

/// Appends a record of the core to a group.
pub fn encode_state(record: &Record, group: &mut Vec<u8>) {
    // The index of `Entry::State`, so that the record need not be cloned into one.
    group.push(0);
    encode(record, group);
}

/// Appends the log's own entry to a group.
pub fn encode_released(oldest: u64, group: &mut Vec<u8>) {
    encode(&Entry::Released { oldest }, group);
}

fn encode<T: Serialize>(value: &T, group: &mut Vec<u8>) {
    postcard::to_io(value, group).expect("encoding into memory does not fail");
}

/// Reads all entries of a group.
///
/// # Errors
/// When the bytes are not whole entries, one after the other.
pub fn decode(mut payload: &[u8]) -> Result<Vec<Entry>, postcard::Error> {
    let mut entries = Vec::new();
    while !payload.is_empty() {
        let (entry, rest) = postcard::take_from_bytes(payload)?;
        entries.push(entry);
        payload = rest;
    }
    Ok(entries)
}

/// One above the highest slot that a record votes in.
pub(crate) fn votes_below(record: &Record) -> Slot {
    match record {
        Record::Voted { votes, .. } => votes.last().map_or(Slot(0), |vote| vote.slot.next()),
        // That of its stop; votes above it are dropped.
        Record::Opened(succession) => succession.begin().next(),
        Record::Joined(_) | Record::Promised(_) | Record::Trimmed { .. } | Record::Sealed(_) => {
            Slot(0)
        }
    }
}

/// Whether a record holds values, and not only a few numbers.
pub(crate) fn holds_votes(record: &Record) -> bool {
    match record {
        Record::Voted { votes, .. } => !votes.is_empty(),
        Record::Joined(_)
        | Record::Promised(_)
        | Record::Trimmed { .. }
        | Record::Sealed(_)
        | Record::Opened(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Generation};
    use shared::message::{Roster, SlotValue};

    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let ballot = Ballot { round: 7, coordinator: CoordinatorId(u64::MAX) };
        let votes = vec![SlotValue { slot: Slot(300), value: Bytes::from_static(b"\0value") }];
        let records = [
            Record::Joined(
                Roster::new(
                    ClusterId(1),
                    Generation(0),
                    vec![AcceptorId(3), AcceptorId(1), AcceptorId(2)],
                )
                .unwrap(),
            ),
            Record::Promised(ballot),
            Record::Voted { ballot, votes, chosen_below: Slot(299) },
            Record::Trimmed { below: Slot(1), voted_below: Slot(301), chosen_below: Slot(299) },
        ];
        let mut group = Vec::new();
        records.iter().for_each(|record| encode_state(record, &mut group));
        let before = group.len();
        encode_released(u64::MAX, &mut group);
        assert!(group.len() - before <= RELEASED_MAX);
        let mut expected: Vec<Entry> = records.into_iter().map(Entry::State).collect();
        expected.push(Entry::Released { oldest: u64::MAX });
        assert_eq!(decode(&group).unwrap(), expected);
        assert!(decode(&group[..group.len() - 1]).is_err());
    }
}
