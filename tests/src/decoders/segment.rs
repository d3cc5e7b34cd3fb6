//! The acceptor's log, one segment: whatever was changed in it, what reads back is what
//! was written.

use acceptor::decision::Record;
use acceptor::log::frame::{
    BLOCK, Chain, FrameHeader, Kind, SEGMENT_HEADER, SegmentHeader, seal_group,
};
use acceptor::log::record::{self, Entry, encode_released, encode_state};
use acceptor::log::scan::{Damage, End, Group, scan};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::ids::{AcceptorId, Ballot, ClusterId, CoordinatorId, Draw, Generation, Slot};
use shared::message::{Roster, SlotValue};

use super::edits::{Edit, apply};
use super::{choose, chosen};

/// Of every segment here, so that headers can be made that match.
const SALT: u64 = 7;

/// A header of a frame, a header of a segment, or the records of a group, by the first
/// byte.
pub(super) fn frame(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    match choice % 3 {
        0 => {
            let Some(header) = FrameHeader::decode(rest, SALT) else { return };
            let again = FrameHeader::decode(&header.encode(SALT), SALT);
            assert_eq!(again, Some(header), "a frame's header is read back");
        }
        1 => match SegmentHeader::decode(rest) {
            Ok(header) => assert_eq!(
                SegmentHeader::decode(&header.encode()),
                Ok(header),
                "a segment's header is read back"
            ),
            Err(what) => assert!(what.len() < 200, "{what}"),
        },
        _ => {
            let Ok(entries) = record::decode(rest) else { return };
            let again = encode(&entries);
            // One list at a time, for the sake of those who measure.
            drop(entries);
            let read = record::decode(&again).expect("records are read back");
            assert_eq!(encode(&read), again, "and are the same");
            assert!(
                again.len() <= rest.len(),
                "{} bytes were read as records of {}",
                rest.len(),
                again.len()
            );
        }
    }
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries {
        match entry {
            Entry::State(record) => encode_state(record, &mut bytes),
            Entry::Released { oldest } => encode_released(*oldest, &mut bytes),
        }
    }
    bytes
}

/// A segment as it is to be made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Recipe {
    /// The records of its groups.
    pub(super) groups: Vec<Payload>,
    pub(super) tail: Tail,
    /// Blocks of nothing at its end.
    spare: u8,
    /// What happens to it then.
    pub(super) edits: Vec<Edit>,
}

/// The payload of a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Payload {
    Entries(Vec<Entry>),
    /// Under a checksum that is right, whatever it is.
    Bytes(Bytes),
}

/// What stands after the last group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Tail {
    Nothing,
    Mark,
    Seal,
}

/// Where a segment takes over from the one before it.
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) first_sequence: u64,
    pub(super) chain: Chain,
}

/// A segment as it was written, and the place of the next one.
pub(super) fn build(recipe: &Recipe, place: Place, acceptor: AcceptorId) -> (Vec<u8>, Place) {
    let Place { number, first_sequence, chain: before } = place;
    let (mut frames, mut sequence, mut chain) = (Vec::new(), first_sequence, before);
    for payload in &recipe.groups {
        let mut group = vec![0; BLOCK];
        match payload {
            Payload::Entries(entries) => group.extend(encode(entries)),
            Payload::Bytes(bytes) => group.extend_from_slice(bytes),
        }
        chain = seal_group(&mut group, SALT, sequence, &chain);
        sequence += 1;
        frames.extend(group);
    }
    let kind = match recipe.tail {
        Tail::Nothing => None,
        Tail::Mark => Some(Kind::Mark),
        Tail::Seal => Some(Kind::Seal),
    };
    if let Some(kind) = kind {
        frames.extend(FrameHeader::after(kind, sequence.saturating_sub(1), chain).encode(SALT));
    }
    let length = (SEGMENT_HEADER + frames.len() + usize::from(recipe.spare) * BLOCK) as u64;
    let header = SegmentHeader {
        number,
        acceptor,
        draw: Draw(2),
        salt: SALT,
        first_sequence,
        length,
        chain: before,
    };
    let mut image = header.encode().to_vec();
    image.extend(frames);
    image.resize(usize::try_from(length).expect("a small segment"), 0);
    (image, Place { number: number + 1, first_sequence: sequence, chain })
}

fn read(image: &[u8]) -> Result<(Vec<Group>, End), String> {
    let header = SegmentHeader::decode(image)?;
    let read = scan(image, &header).map_err(|Damage { offset, what }| {
        assert!(
            offset <= image.len() && what.len() < 400,
            "damage at {offset} of {}: {what}",
            image.len()
        );
        what
    })?;
    assert!(read.offset <= image.len(), "the groups end at {} of {}", read.offset, image.len());
    Ok((read.groups, read.end))
}

/// Any bytes as they are, or a segment made by a [`Recipe`] and then damaged; by the
/// first byte.
pub(super) fn decode(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    if choice % 2 == 0 {
        let _whatever = read(rest);
        return;
    }
    let Ok((recipe, _)) = postcard::take_from_bytes::<Recipe>(rest) else { return };
    let (image, _) =
        build(&recipe, Place { number: 1, first_sequence: 1, chain: [0; 32] }, AcceptorId(1));
    let Ok((written, end)) = read(&image) else {
        let nonsense = |payload: &Payload| match payload {
            Payload::Entries(_) => false,
            Payload::Bytes(bytes) => record::decode(bytes).is_err(),
        };
        assert!(
            recipe.groups.iter().any(nonsense) || recipe.groups.is_empty(),
            "a whole segment does not read back: {recipe:?}"
        );
        return;
    };
    assert_eq!(written.len(), recipe.groups.len(), "all groups read back");
    let mut damaged = image;
    let changed = apply(&recipe.edits, &mut damaged);
    let Ok((groups, _)) = read(&damaged) else { return };
    assert_eq!(
        groups,
        written[..groups.len()],
        "what reads back of a damaged segment is what was written"
    );
    // A single damage takes away no more than a group that nothing shows to have been
    // synced.
    let fewest = if end == End::Unmarked { written.len().saturating_sub(1) } else { written.len() };
    assert!(
        changed > 1 || groups.len() >= fewest,
        "{} of {} groups are left of {end:?}",
        groups.len(),
        written.len()
    );
}

pub(super) fn roster() -> Roster {
    Roster::new(ClusterId(1), Generation(0), vec![AcceptorId(1), AcceptorId(2), AcceptorId(3)])
        .expect("three acceptors")
}

pub(super) fn voted(round: u64, slots: std::ops::Range<u64>) -> Entry {
    let ballot = Ballot { round, coordinator: CoordinatorId(9) };
    let votes = slots
        .map(|slot| SlotValue { slot: Slot(slot), value: Bytes::from(format!("{slot}@{round}")) })
        .collect();
    Entry::State(Record::Voted { ballot, votes, chosen_below: Slot(0) })
}

/// A group that a segment begins with.
pub(super) fn summary(oldest: u64) -> Payload {
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(9) };
    Payload::Entries(vec![
        Entry::State(Record::Joined(roster())),
        Entry::State(Record::Promised(ballot)),
        Entry::State(Record::Trimmed {
            below: Slot(0),
            voted_below: Slot(0),
            chosen_below: Slot(0),
        }),
        Entry::Released { oldest },
    ])
}

pub(super) fn recipe(groups: Vec<Payload>, tail: Tail, edits: Vec<Edit>) -> Recipe {
    Recipe { groups, tail, spare: 4, edits }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |recipe: Recipe| {
        chosen(1, postcard::to_allocvec(&recipe).expect("encoding into memory does not fail"))
    };
    let groups = || {
        vec![
            summary(1),
            Payload::Entries(vec![voted(1, 0..3)]),
            Payload::Entries(vec![voted(2, 3..9)]),
        ]
    };
    let zeros = Payload::Bytes(Bytes::from(vec![0; 2_000]));
    let large = Entry::State(Record::Voted {
        ballot: Ballot { round: 3, coordinator: CoordinatorId(9) },
        votes: vec![SlotValue { slot: Slot(9), value: Bytes::from(vec![0; 1_500]) }],
        chosen_below: Slot(3),
    });
    let (image, _) = build(
        &recipe(groups(), Tail::Mark, Vec::new()),
        Place { number: 1, first_sequence: 1, chain: [0; 32] },
        AcceptorId(1),
    );
    vec![
        of(recipe(groups(), Tail::Nothing, vec![Edit::new(600, 1)])),
        of(recipe(groups(), Tail::Mark, vec![Edit::new(700, 128)])),
        of(recipe(
            vec![summary(1), Payload::Entries(vec![large])],
            Tail::Seal,
            vec![Edit::new(1_000, 16), Edit::new(9, 1)],
        )),
        of(recipe(vec![zeros], Tail::Nothing, Vec::new())),
        chosen(0, image),
    ]
}

/// Inputs of [`decode`] that change each byte of a whole segment once.
pub(super) fn each_byte_changed() -> impl Iterator<Item = Vec<u8>> {
    let of = |edits| {
        recipe(
            vec![
                summary(1),
                Payload::Entries(vec![voted(1, 0..3)]),
                Payload::Entries(vec![voted(2, 3..9)]),
            ],
            Tail::Mark,
            edits,
        )
    };
    let (image, _) = build(
        &of(Vec::new()),
        Place { number: 1, first_sequence: 1, chain: [0; 32] },
        AcceptorId(1),
    );
    let length = u32::try_from(image.len()).expect("a small segment");
    (0..length).map(move |at| {
        let changed = of(vec![Edit::new(at, 1 << (at % 8))]);
        chosen(1, postcard::to_allocvec(&changed).expect("encoding into memory does not fail"))
    })
}

pub(super) fn frame_seeds() -> Vec<Vec<u8>> {
    let header = SegmentHeader {
        number: 1,
        acceptor: AcceptorId(1),
        draw: Draw(2),
        salt: SALT,
        first_sequence: 1,
        length: 4_096,
        chain: [5; 32],
    };
    let entries =
        [Entry::State(Record::Joined(roster())), voted(2, 0..2), Entry::Released { oldest: 300 }];
    vec![
        chosen(0, FrameHeader::group(3, &[5; 32], b"records").encode(SALT)),
        chosen(0, FrameHeader::after(Kind::Seal, 3, [5; 32]).encode(SALT)),
        chosen(1, header.encode()),
        chosen(2, encode(&entries)),
    ]
}
