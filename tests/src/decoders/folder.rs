//! The acceptor's log, whole: what a start makes of a folder of segments, of which some
//! are damaged, missing or nonsense under right checksums.

use std::fs;
use std::path::Path;

use acceptor::acceptor::{Acceptor, Limits};
use acceptor::log::record::Entry;
use acceptor::recover;
use serde::{Deserialize, Serialize};
use shared::ids::{AcceptorId, Draw};

use super::edits::apply;
use super::segment::{Payload, Place, Recipe, Tail, build, recipe, summary, voted};
use super::{edits::Edit, short};

/// The most segments: a start takes them one after the other.
const MOST: usize = 4;

#[derive(Serialize, Deserialize)]
struct Log {
    segments: Vec<Recipe>,
    /// One that is not there, if there is one of that index.
    missing: u8,
}

/// The input is the postcard of a [`Log`].
pub(super) fn decode(bytes: &[u8]) {
    let Ok((mut log, _)) = postcard::take_from_bytes::<Log>(bytes) else { return };
    log.segments.truncate(MOST);
    let folder = in_memory();
    let mut place = Place { number: 1, first_sequence: 1, chain: [0; 32] };
    let mut changed = 0;
    for (index, recipe) in log.segments.iter().enumerate() {
        let path = folder.path().join(format!("{:020}.segment", place.number));
        let (mut image, next) = build(recipe, place, AcceptorId(1));
        place = next;
        changed += apply(&recipe.edits, &mut image);
        if index != usize::from(log.missing) {
            fs::write(path, image).expect("a file in memory");
        }
    }
    let is_whole = changed == 0 && usize::from(log.missing) >= log.segments.len();
    match recover(folder.path(), Limits::default()) {
        Err(error) => short(&error),
        Ok(None) => assert!(log.segments.len() <= 1, "a log is there"),
        Ok(Some(acceptor)) => {
            acceptor.check_invariants();
            if is_whole {
                assert_eq!(
                    format!("{acceptor:?}"),
                    format!("{:?}", told(&log)),
                    "what was written is what is read"
                );
            }
            assert_same_again(folder.path(), &acceptor);
        }
    }
}

/// A start changes what it finds (it drops a torn tail and seals what a crash left
/// unsealed), and the next one finds the same.
fn assert_same_again(folder: &Path, acceptor: &Acceptor) {
    let again =
        recover(folder, Limits::default()).expect("a log that could be read can be read again");
    assert_eq!(
        format!("{:?}", again.expect("it is still there")),
        format!("{acceptor:?}"),
        "at a second start"
    );
}

/// An acceptor that is told all records, but for those of segments that are not needed.
fn told(log: &Log) -> Acceptor {
    let entries = |recipe: &Recipe| -> Vec<Entry> {
        let of = |payload: &Payload| match payload {
            Payload::Entries(entries) => entries.clone(),
            Payload::Bytes(bytes) => {
                acceptor::log::record::decode(bytes).expect("a segment that was read")
            }
        };
        recipe.groups.iter().flat_map(of).collect()
    };
    let last = log.segments.last().map(entries).unwrap_or_default();
    let oldest = last.iter().rev().find_map(|entry| match entry {
        Entry::Released { oldest } => Some(*oldest),
        Entry::State(_) => None,
    });
    let skipped = usize::try_from(oldest.expect("a log that was read").saturating_sub(1))
        .expect("a small number");
    let mut acceptor = Acceptor::new(AcceptorId(1), Draw(2), Limits::default());
    for entry in log.segments.iter().skip(skipped).flat_map(entries) {
        match entry {
            Entry::State(record) => acceptor.replay(record),
            Entry::Released { .. } => {}
        }
    }
    acceptor
}

/// A folder that is only in memory where the system has such a place: thousands are made
/// and synced.
pub(super) fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |segments: Vec<Recipe>, missing| {
        postcard::to_allocvec(&Log { segments, missing })
            .expect("encoding into memory does not fail")
    };
    let first =
        |tail, edits| recipe(vec![summary(1), Payload::Entries(vec![voted(1, 0..3)])], tail, edits);
    let second = |oldest, edits| {
        let groups = vec![
            summary(oldest),
            Payload::Entries(vec![voted(2, 2..5)]),
            Payload::Entries(vec![voted(3, 4..6)]),
        ];
        recipe(groups, Tail::Mark, edits)
    };
    vec![
        of(vec![first(Tail::Nothing, Vec::new())], u8::MAX),
        of(vec![first(Tail::Seal, Vec::new()), second(1, Vec::new())], u8::MAX),
        of(vec![first(Tail::Nothing, Vec::new()), second(2, Vec::new())], 0),
        of(vec![first(Tail::Seal, vec![Edit::new(500, 4)]), second(1, Vec::new())], u8::MAX),
        of(vec![first(Tail::Seal, Vec::new()), second(1, vec![Edit::new(800, 4)])], u8::MAX),
        of(vec![first(Tail::Seal, Vec::new())], u8::MAX),
    ]
}
