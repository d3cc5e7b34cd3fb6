//! The file's format: an SQLite database, and behind its last page one more that is not
//! SQLite's, with the digest of all before it.
//!
//! ```text
//! database page 1 … database page N │ synod-snapshot 1 sha-256 HEX\n, and zeros
//! ```
//!
//! SQLite goes by the number of pages in its header, so that any program that reads SQLite
//! reads the file as it is. The database has the tables of a replica's state
//! (`store::schema`), the views that queries in SQL see, and a table `snapshot` of one row.
//!
//! The digest comes first: SQLite sees nothing of a file that is not what was written.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::ids::{Epoch, Revision, Slot};

/// The version of the format; a file of another one is refused.
pub const FORMAT: u32 = 1;

/// "Syns", in the file's header: a snapshot, and not a replica's own state.
pub(crate) const APPLICATION_ID: u32 = 0x5379_6e73;

/// The length of the page with the digest, as of every page of the database. Bytes.
pub(crate) const TRAILER_BYTES: usize = 4_096;

/// So much is read at once. Bytes.
const PIECE: usize = 64 << 10;

/// How an SQLite file begins, and where its header says whose it is.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
const APPLICATION_ID_AT: usize = 68;
const HEADER_BYTES: usize = 100;

/// A digest of bytes: SHA-256.
pub(crate) type Sha256Digest = [u8; 32];

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Of which cluster, in 16 hexadecimal digits.
    pub cluster: Option<String>,
    /// The replica that made it.
    pub replica: String,
    /// When, by its wall clock: RFC 3339.
    pub made_at: String,
    /// The state's revision.
    pub revision: Revision,
    /// Every slot below is executed in it.
    pub executed_below: Slot,
    /// The epoch of the view executed last.
    pub epoch: Epoch,
    /// The hash of the log up to there, in 64 hexadecimal digits.
    pub hash: String,
}

/// Why a file cannot be restored from. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The system refuses.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It never was a snapshot.
    #[error("{path} is no snapshot: {why}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        why: String,
    },
    /// It was one.
    #[error("{path} is damaged or cut short: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that is known.
        why: String,
    },
    /// A newer program wrote it.
    #[error("{path} has the snapshot format {found}, and this program reads {FORMAT}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
}

/// The page with the digest.
pub(crate) fn trailer(digest: &Sha256Digest) -> Vec<u8> {
    let mut page = format!("synod-snapshot {FORMAT} sha-256 {}\n", hex(digest)).into_bytes();
    page.resize(TRAILER_BYTES, 0);
    page
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digest of as many bytes as there are up to a length, in bounded memory.
pub(crate) fn digest_of(source: &mut impl Read, bytes: u64) -> io::Result<Sha256> {
    let (mut hasher, mut left) = (Sha256::new(), bytes);
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let read = source.read(&mut piece[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        hasher.update(&piece[..read]);
        left -= read as u64;
    }
    Ok(hasher)
}

/// What SQLite may have beside a file, the WAL first.
pub(crate) fn beside(path: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

/// Writes the database of a snapshot that was checked, without the last page, to a path
/// where nothing is.
pub(crate) fn copy_database(snapshot: &Path, to: &Path) -> io::Result<()> {
    let file = File::open(snapshot)?;
    let bytes = file.metadata()?.len().saturating_sub(TRAILER_BYTES as u64);
    let mut copy = File::create_new(to)?;
    io::copy(&mut file.take(bytes), &mut copy)?;
    copy.sync_all()
}

/// Checks a file: whose it is, its format, its digest, and SQLite's own structure.
///
/// # Errors
/// When nothing may be restored from it.
pub fn check(path: &Path) -> Result<Contents, SnapshotError> {
    let io = |action| {
        let path = path.to_owned();
        move |source| SnapshotError::Io { action, path, source }
    };
    let mut file = File::open(path).map_err(io("open"))?;
    let bytes = file.metadata().map_err(io("look at"))?.len();
    let mut header = [0; HEADER_BYTES];
    let read = read_up_to(&mut file, &mut header).map_err(io("read"))?;
    check_owner(path, &header[..read])?;
    let Some(database) = bytes.checked_sub(TRAILER_BYTES as u64).filter(|len| *len > 0) else {
        return Err(damaged(path, format!("it has only {bytes} bytes")));
    };
    let mut page = vec![0; TRAILER_BYTES];
    file.seek(SeekFrom::Start(database)).map_err(io("read"))?;
    file.read_exact(&mut page).map_err(io("read"))?;
    let expected = read_trailer(path, &page)?;
    file.seek(SeekFrom::Start(0)).map_err(io("read"))?;
    let found: Sha256Digest = digest_of(&mut file, database).map_err(io("read"))?.finalize().into();
    if found != expected {
        let (found, expected) = (hex(&found), hex(&expected));
        let why = format!("its digest is sha-256 {found}, and was {expected} when it was made");
        return Err(damaged(path, why));
    }
    contents(path)
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn damaged(path: &Path, why: String) -> SnapshotError {
    SnapshotError::Damaged { path: path.to_owned(), why }
}

fn check_owner(path: &Path, header: &[u8]) -> Result<(), SnapshotError> {
    let foreign = |why: String| SnapshotError::Foreign { path: path.to_owned(), why };
    if header.len() < HEADER_BYTES && MAGIC.starts_with(&header[..header.len().min(MAGIC.len())]) {
        return Err(damaged(path, format!("it has only {} bytes", header.len())));
    }
    if !header.starts_with(MAGIC) {
        return Err(foreign("it is no SQLite file".to_owned()));
    }
    let id: [u8; 4] = header[APPLICATION_ID_AT..][..4].try_into().expect("it is four bytes long");
    let found = u32::from_be_bytes(id);
    if found == APPLICATION_ID {
        return Ok(());
    }
    Err(foreign(format!(
        "it is an SQLite file of something else (application_id {found:#010x}, a snapshot has \
         {APPLICATION_ID:#010x})"
    )))
}

/// The digest that the last page says.
fn read_trailer(path: &Path, page: &[u8]) -> Result<Sha256Digest, SnapshotError> {
    let cut = || damaged(path, "it does not end with the page that has its digest".to_owned());
    let end = page.iter().position(|byte| *byte == b'\n').ok_or_else(cut)?;
    let line = std::str::from_utf8(&page[..end]).map_err(|_| cut())?;
    let (format, digest) = line
        .strip_prefix("synod-snapshot ")
        .and_then(|rest| rest.split_once(" sha-256 "))
        .ok_or_else(cut)?;
    let found: u32 = format.parse().map_err(|_| cut())?;
    if found != FORMAT {
        return Err(SnapshotError::Format { path: path.to_owned(), found });
    }
    let digest: shared::chain::ChainHash = digest.parse().map_err(|_| cut())?;
    // Whatever else stands there was not written by us.
    if *page == *trailer(&digest.0) { Ok(digest.0) } else { Err(cut()) }
}

/// What the table `snapshot` says, once SQLite has found the structure whole.
fn contents(path: &Path) -> Result<Contents, SnapshotError> {
    const SQL: &str = "SELECT format, cluster, replica, made_at, revision, executed_below, epoch, \
        hash FROM snapshot";
    let failed = |error: rusqlite::Error| damaged(path, error.to_string());
    let connection = open(path).map_err(failed)?;
    let verdict: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if verdict != "ok" {
        return Err(damaged(path, verdict));
    }
    let (format, contents) = connection
        .query_row(SQL, [], |row| {
            let contents = Contents {
                cluster: row.get(1)?,
                replica: row.get(2)?,
                made_at: row.get(3)?,
                revision: Revision(number_of(row, 4)?),
                executed_below: Slot(number_of(row, 5)?),
                epoch: Epoch(number_of(row, 6)?),
                hash: row.get(7)?,
            };
            Ok((row.get::<_, u32>(0)?, contents))
        })
        .map_err(failed)?;
    if format == FORMAT {
        Ok(contents)
    } else {
        Err(SnapshotError::Format { path: path.to_owned(), found: format })
    }
}

/// A number that is counted from zero.
pub(super) fn number_of(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.cast_unsigned())
}

/// A connection that changes nothing, and makes no file beside this one.
pub(crate) fn open(path: &Path) -> Result<Connection, rusqlite::Error> {
    let encoded = percent_encoding::percent_encode(
        path.as_os_str().as_encoded_bytes(),
        percent_encoding::NON_ALPHANUMERIC,
    );
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(format!("file:{encoded}?immutable=1"), flags)?;
    // What the file holds is only data: no function is called for its sake.
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON")?;
    Ok(connection)
}
