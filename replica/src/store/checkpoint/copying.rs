//! What of the WAL may stand in the database file as well, noted beside both.
//!
//! SQLite ends a WAL at the first frame that is not whole, and knows nothing of what it had
//! copied into the database file from there on: where a bit flips in a frame that was
//! synced, pages of two ages stand together, each of them whole. So before anything is
//! copied a note says of which WAL ([`Header`]) how many frames there are, all of them
//! synced, and afterwards whether all of them are in the database file, and synced there. A
//! start holds the WAL against it before SQLite opens anything:
//!
//! | the WAL | copying had begun | all of it was copied |
//! | --- | --- | --- |
//! | is that one, and its frames are whole | right | right |
//! | is that one, and some frame is not whole | damaged | damaged: older pages hide newer ones |
//! | is another one, whose header is whole | right: it has started over | right |
//! | has a header that is not whole, or is empty | damaged | right: it is to start over |
//! | is gone, and its index is there | damaged: somebody took it | right |
//! | is gone, and its index too | right: SQLite removes both, once all is copied | right |
//!
//! What comes after the frames of the note may be lost, as ever: nothing of it was copied.
//! A WAL that starts over with the note of its predecessor beside it is none of ours to
//! refuse, for SQLite does that only once all of that is in the database file and synced;
//! such a note is removed at the start, before a WAL can be made that it would be taken for.
//!
//! The note is a file of two places, written in turns and synced: it never needs more space
//! than it has, and where one writing is cut off, the note before it is still true.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use super::wal::{self, Found, HEADER_BYTES, Header, wal_of, with_suffix};
use crate::store::error::{OpenError, StoreError, not_copied};
use crate::store::schema::unusable;

/// The places are so far apart that none is written with the other.
const PLACES_APART: usize = 4_096;
const PLACE_BYTES: usize = 512;
const FILE_BYTES: usize = PLACES_APART + PLACE_BYTES;
const SUM_BYTES: usize = 32;
/// What this is, and its format.
const MAGIC: &[u8; 8] = b"SynrCpy1";

/// How much of the WAL is in the database file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Extent {
    /// Some of it, or nothing.
    Part,
    /// Every frame, and the file is synced.
    Whole,
}

/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Noted {
    /// Of which WAL.
    pub(in crate::store) wal: Header,
    /// So many frames, all of them synced.
    pub(in crate::store) frames: u32,
    pub(in crate::store) extent: Extent,
}

/// The note beside a database. Whoever copies has it to themselves meanwhile.
#[derive(Clone, Debug)]
pub(in crate::store) struct CopyNote(Arc<Mutex<Note>>);

/// The same, of whoever has it.
#[derive(Debug)]
pub(in crate::store) struct Note {
    path: PathBuf,
    file: Option<File>,
    /// How often it was written.
    turn: u64,
    noted: Option<Noted>,
}

/// Where the note of a database is.
pub(in crate::store) fn note_of(database: &Path) -> PathBuf {
    with_suffix(database, "-copying")
}

/// What a database and its WAL are by the note beside them.
#[derive(Debug)]
enum Standing {
    /// There is none, or it is of the past.
    Unnoted,
    /// They are as noted.
    AsNoted { turn: u64, noted: Noted },
    /// They are not what was written.
    Damaged(String),
}

impl CopyNote {
    /// Holds the WAL of a database that nobody has open against the note.
    ///
    /// # Errors
    /// When it is damaged, or cannot be read.
    pub(in crate::store) fn open(database: &Path) -> Result<Self, OpenError> {
        let path = note_of(database);
        let failed = |error| unusable(database, not_copied(&path, &error));
        let (turn, noted) = match standing(database).map_err(|error| not_read(database, &error))? {
            Standing::Damaged(what) => return Err(damaged(database, what)),
            Standing::AsNoted { turn, noted } => (turn, Some(noted)),
            Standing::Unnoted => {
                remove(&path).map_err(failed)?;
                (0, None)
            }
        };
        let file = noted.map(|_| File::options().write(true).open(&path)).transpose();
        let file = file.map_err(failed)?;
        Ok(Self(Arc::new(Mutex::new(Note { path, file, turn, noted }))))
    }

    pub(in crate::store) async fn lock(&self) -> OwnedMutexGuard<Note> {
        Arc::clone(&self.0).lock_owned().await
    }
}

/// What is wrong with the WAL of a database that nobody has open, if anything is.
///
/// # Errors
/// When it cannot be read.
pub(in crate::store) fn damage(database: &Path) -> Result<Option<OpenError>, OpenError> {
    match standing(database).map_err(|error| not_read(database, &error))? {
        Standing::Damaged(what) => Ok(Some(damaged(database, what))),
        Standing::AsNoted { .. } | Standing::Unnoted => Ok(None),
    }
}

fn damaged(database: &Path, what: String) -> OpenError {
    OpenError::Damaged { path: wal_of(database).display().to_string(), what }
}

fn not_read(database: &Path, error: &io::Error) -> OpenError {
    let what = format!("reading its WAL and the note of its copying: {error}");
    unusable(database, StoreError::Failed(what))
}

fn standing(database: &Path) -> io::Result<Standing> {
    let Some((turn, noted)) = read(&note_of(database))? else { return Ok(Standing::Unnoted) };
    if !database.try_exists()? {
        return Ok(Standing::Unnoted);
    }
    let Noted { wal: header, frames, extent } = noted;
    let path = wal_of(database);
    let begun = "frames were being copied into the database";
    let what = match (wal::find(&path)?, extent) {
        (Found::Begun(found), _) if found == header => {
            let whole = header.whole_frames(&path, frames)?;
            if whole == frames {
                return Ok(Standing::AsNoted { turn, noted });
            }
            let first = whole + 1;
            format!("its frame {first} is not what was written, of {frames} that were copied")
        }
        (Found::Begun(_), _) | (Found::Unreadable | Found::Nothing, Extent::Whole) => {
            return Ok(Standing::Unnoted);
        }
        (Found::Unreadable, Extent::Part) => {
            format!("its header is not what was written, and its {frames} {begun}")
        }
        (Found::Nothing, Extent::Part) if with_suffix(database, "-shm").try_exists()? => {
            format!("it is gone, and its {frames} {begun}")
        }
        (Found::Nothing, Extent::Part) => return Ok(Standing::Unnoted),
    };
    Ok(Standing::Damaged(what))
}

impl Note {
    pub(in crate::store) fn noted(&self) -> Option<Noted> {
        self.noted
    }

    /// Durable when it returns.
    fn write(&mut self, noted: Noted) -> io::Result<()> {
        let turn = self.turn + 1;
        let (at, place) = (place_of(turn), encode(turn, &noted));
        match &self.file {
            Some(file) => {
                file.write_all_at(&place, at as u64)?;
                file.sync_data()?;
            }
            None => {
                let file = File::create(&self.path)?;
                let mut all = [0; FILE_BYTES];
                all[at..at + PLACE_BYTES].copy_from_slice(&place);
                file.write_all_at(&all, 0)?;
                file.sync_all()?;
                sync_folder(&self.path)?;
                self.file = Some(file);
            }
        }
        (self.turn, self.noted) = (turn, Some(noted));
        Ok(())
    }

    /// Takes it away, durably.
    fn remove(&mut self) -> io::Result<()> {
        (self.file, self.turn, self.noted) = (None, 0, None);
        remove(&self.path)
    }
}

/// Writes the note, durably.
pub(in crate::store) async fn write(
    note: OwnedMutexGuard<Note>,
    noted: Noted,
) -> Result<OwnedMutexGuard<Note>, StoreError> {
    beside(note, move |note| note.write(noted)).await
}

/// Takes the note away, once there is no WAL any more.
pub(in crate::store) async fn forget(note: OwnedMutexGuard<Note>) -> Result<(), StoreError> {
    beside(note, Note::remove).await.map(drop)
}

async fn beside(
    mut note: OwnedMutexGuard<Note>,
    work: impl FnOnce(&mut Note) -> io::Result<()> + Send + 'static,
) -> Result<OwnedMutexGuard<Note>, StoreError> {
    let done = tokio::task::spawn_blocking(move || {
        work(&mut note).map_err(|error| not_copied(&note.path, &error))?;
        Ok(note)
    });
    done.await.map_err(|error| StoreError::Failed(error.to_string())).flatten()
}

/// Removes the note beside a database that nobody has open, durably.
pub(in crate::store) fn discard(database: &Path) -> io::Result<()> {
    remove(&note_of(database))
}

fn remove(note: &Path) -> io::Result<()> {
    match fs::remove_file(note) {
        Ok(()) => sync_folder(note),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(of: &Path) -> io::Result<()> {
    of.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The newest note that is whole, and which one it is.
pub(in crate::store) fn read(path: &Path) -> io::Result<Option<(u64, Noted)>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES as u64).read_to_end(&mut bytes)?;
    bytes.resize(FILE_BYTES, 0);
    let places = [0, 1].map(|turn| decode(&bytes[place_of(turn)..][..PLACE_BYTES]));
    let newest = places.into_iter().flatten().max_by_key(|(turn, _)| *turn);
    if newest.is_none() && bytes.iter().any(|byte| *byte != 0) {
        // It was cut off when it was made, before anything was copied; or it has rotted.
        tracing::warn!(file = %path.display(), "the note of what is copied cannot be read");
    }
    Ok(newest)
}

fn place_of(turn: u64) -> usize {
    if turn.is_multiple_of(2) { 0 } else { PLACES_APART }
}

fn encode(turn: u64, noted: &Noted) -> [u8; PLACE_BYTES] {
    let mut place = [0; PLACE_BYTES];
    let extent = match noted.extent {
        Extent::Part => 1,
        Extent::Whole => 2,
    };
    let parts: [&[u8]; 5] =
        [MAGIC, &turn.to_le_bytes(), noted.wal.bytes(), &noted.frames.to_le_bytes(), &[extent]];
    let content = parts.concat();
    place[SUM_BYTES..][..content.len()].copy_from_slice(&content);
    let sum = blake3::hash(&place[SUM_BYTES..]);
    place[..SUM_BYTES].copy_from_slice(sum.as_bytes());
    place
}

fn decode(place: &[u8]) -> Option<(u64, Noted)> {
    let (sum, content) = place.split_at(SUM_BYTES);
    let content = content.strip_prefix(MAGIC).filter(|_| blake3::hash(content) == *sum)?;
    let (turn, content) = content.split_first_chunk()?;
    let (header, content) = content.split_first_chunk::<HEADER_BYTES>()?;
    let (frames, content) = content.split_first_chunk()?;
    let extent = match content.first()? {
        1 => Extent::Part,
        2 => Extent::Whole,
        _ => return None,
    };
    let noted = Noted { wal: Header::of(*header)?, frames: u32::from_le_bytes(*frames), extent };
    Some((u64::from_le_bytes(*turn), noted))
}
