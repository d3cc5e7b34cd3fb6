//! A replica's `state.sqlite` with bytes changed, or any bytes in its place: it is
//! refused, or it holds what was written.

use std::fs;
use std::sync::LazyLock;

use bytes::Bytes;
use replica::machine::command::{AnswerRetention, Command, Commands};
use replica::machine::identity::RequestIdentity;
use replica::store::{FILE, Inspected, OpenError, execute, inspect};
use serde::{Deserialize, Serialize};
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Epoch, Name, Slot};
use shared::message::{Batch, ChosenEntry, Value, View};
use tokio::runtime::Runtime;

use super::edits::{Edit, apply};
use super::folder::in_memory;
use super::messages::view;
use super::values::ops;
use super::{choose, chosen, short};

#[derive(Serialize, Deserialize)]
struct Damage {
    edits: Vec<Edit>,
    /// As much of the file, in pages of 4 KiB; all of it where there are fewer.
    pages: u8,
}

/// A sound state.
struct Sound {
    file: Vec<u8>,
    holds: Inspected,
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
});

static SOUND: LazyLock<Sound> = LazyLock::new(|| {
    let folder = in_memory();
    let meta = RUNTIME.block_on(execute(folder.path(), &name(), entries())).expect("a new state");
    let file = fs::read(folder.path().join(FILE)).expect("it was written");
    let holds = open(&file).expect("it is sound").expect("it is there");
    assert_eq!(
        (holds.meta.clone(), holds.versions),
        (meta, 5),
        "what was executed is what it holds"
    );
    Sound { file, holds }
});

fn name() -> Name {
    "replica-1".parse().expect("a name")
}

/// A view, and a batch of each kind of command.
fn entries() -> Vec<ChosenEntry> {
    let commands: Vec<Command> = ops()
        .into_iter()
        .map(|op| Command { op, trace: None, request: RequestIdentity::Drawn([1; 16]) })
        .collect();
    let commands = Commands {
        time_ms: 1,
        wall_ms: 2,
        trace: None,
        answers: AnswerRetention::default(),
        commands,
        executed: None,
    };
    let (format, commands) = (commands.format(), commands.encode());
    let batch = Value::Batch(Batch { epoch: Epoch(1), number: BatchNumber(0), commands });
    let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
    let entry = |(slot, value): (u64, Bytes)| ChosenEntry { slot: Slot(slot), ballot, value };
    (0..)
        .zip([
            Value::View(View { format, ..view() }).encode(),
            Value::Noop.encode(),
            batch.encode_in(format),
        ])
        .map(entry)
        .collect()
}

fn open(file: &[u8]) -> Result<Option<Inspected>, OpenError> {
    let folder = in_memory();
    fs::write(folder.path().join(FILE), file).expect("a file in memory");
    RUNTIME.block_on(inspect(folder.path(), &name()))
}

/// Any bytes as the file, or the sound file damaged, by the first byte.
pub(super) fn decode(bytes: &[u8]) {
    let Some((choice, rest)) = choose(bytes) else { return };
    if choice % 2 == 0 {
        return open(rest).map_or_else(|error| short(&error), |_| ());
    }
    let Ok((Damage { edits, pages }, _)) = postcard::take_from_bytes(rest) else { return };
    let mut file = SOUND.file.clone();
    file.truncate(usize::from(pages).max(1) << 12);
    let cut = SOUND.file.len() - file.len();
    let changed = apply(&edits, &mut file);
    match open(&file) {
        Err(error) => short(&error),
        // An empty file is a new one; nobody takes it for the old one, since the data
        // directory is not new.
        Ok(None) => panic!("the file is there"),
        Ok(Some(found)) if cut == 0 && changed <= 1 => {
            assert_eq!(found, SOUND.holds, "with one byte changed")
        }
        Ok(Some(found)) => assert_eq!(
            found.meta, SOUND.holds.meta,
            "whatever was changed, the log and its end hold together"
        ),
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |edits: Vec<Edit>, pages| {
        chosen(
            1,
            postcard::to_allocvec(&Damage { edits, pages })
                .expect("encoding into memory does not fail"),
        )
    };
    let mut seeds = vec![
        of(Vec::new(), u8::MAX),
        of(Vec::new(), 3),
        chosen(0, vec![b'x'; 600]),
        chosen(0, b""),
    ];
    // In the file's header, the schema, and each kind of page.
    seeds.extend(
        [18, 60, 100, 900, 4_100, 8_191, 12_200, 16_380, 20_400]
            .map(|at| of(vec![Edit::new(at, 1)], u8::MAX)),
    );
    seeds
}
