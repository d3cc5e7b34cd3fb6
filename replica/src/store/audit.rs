//! A state looked at whole while no replica runs on it, without changing a byte.
//!
//! A database in WAL mode can only be opened by making files beside it. So one that is whole
//! by itself is opened as a file that nobody changes, and one with a WAL, which a process
//! that was killed leaves behind, is looked at as a copy in a temporary folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use shared::ids::{ClusterId, Name, Slot};
use shared::message::ChosenEntry;
use shared::page::PageLimits;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions as _, Connection as _};

use super::checkpoint::copying;
use super::checkpoint::wal::wal_of;
use super::error::{OpenError, StoreError};
use super::file::FILE;
use super::log::{LogQuery, LogRow};
use super::offline::{Inspected, inspect};
use super::open::{Store, open};
use super::reader::Reader;
use super::restore::restore;
use super::schema::{self, Found, STEPS, unusable};
use super::verify;
use crate::machine::state::Meta;

/// So much of the log is held in memory at once.
const PAGE: PageLimits = PageLimits { items: 256, bytes: 8 << 20 };

/// The most faults of SQLite's structure that are told.
const STRUCTURE_FAULTS: &str = "PRAGMA integrity_check(8)";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// How far the state has come, where that can be told.
    pub meta: Option<Meta>,
    /// Of which cluster it is, where that is known.
    pub cluster: Option<ClusterId>,
    /// What is wrong, in words, with slots, keys or pages.
    pub faults: Vec<String>,
}

/// Checks the state in a data directory: its WAL, SQLite's structure, every row against its
/// checksum, the chain of hashes of the log and that it ends as `meta` says, and the keys that
/// exist against their versions. None where there is no file.
///
/// # Errors
/// When it cannot be read at all.
pub async fn audit(dir: &Path) -> Result<Option<Audit>, OpenError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let readable = Readable::of(&path).map_err(|error| not_read(&path, &error))?;
    let options = match &readable {
        Readable::AsItIs => schema::reader_options(&path).immutable(true),
        Readable::Copied { file, .. } => schema::reader_options(file),
    };
    let opened = options.connect().await;
    let mut connection = opened.map_err(|error| unusable(&path, error.into()))?;
    let damage = copying::damage(&path)?.map(|damage| damage.to_string());
    let mut audit = Audit { faults: damage.into_iter().collect(), ..Audit::default() };
    if let Err(error) = check(&mut connection, &path, &mut audit).await {
        audit.faults.push(error.to_string());
    }
    // What there is to say of it was said.
    let _closed = connection.close().await;
    Ok(Some(audit))
}

/// Checks a snapshot that has the digest that it names ([`check`](crate::snapshot::file::check)) as
/// a restore does, and as the state of a replica: what is wrong, in words. In a temporary folder,
/// which it fills as the snapshot does its own.
///
/// # Errors
/// When it cannot be read, or copied.
pub async fn audit_snapshot(snapshot: &Path, replica: &Name) -> Result<Vec<String>, OpenError> {
    let failed = |error: io::Error| not_read(snapshot, &error);
    let folder = tempfile::tempdir().map_err(failed)?;
    match restore(snapshot, folder.path(), replica).await {
        Ok(_meta) => {}
        Err(OpenError::Damaged { what, .. }) => return Ok(vec![what]),
        Err(error) => return Err(error),
    }
    Ok(audit(folder.path()).await?.map(|audit| audit.faults).unwrap_or_default())
}

async fn check(
    connection: &mut SqliteConnection,
    path: &Path,
    audit: &mut Audit,
) -> Result<(), OpenError> {
    let failed = |error: sqlx::Error| unusable(path, error.into());
    let found = schema::check_header(connection, path).await?;
    let verdicts: Vec<String> =
        sqlx::query_scalar(STRUCTURE_FAULTS).fetch_all(&mut *connection).await.map_err(failed)?;
    audit.faults.extend(verdicts.into_iter().filter(|verdict| verdict != "ok"));
    let newest = STEPS[STEPS.len() - 1].to;
    match found {
        Found::Version(version) if version == newest => {}
        Found::Version(version) => {
            audit.faults.push(format!(
                "its tables are of version {version}, and this program checks those of \
                 {newest}: start a replica on it once, or use the program that wrote it"
            ));
            return Ok(());
        }
        Found::Empty => {
            audit.faults.push("it has no tables".to_owned());
            return Ok(());
        }
    }
    match verify::meta(connection).await {
        Ok(row) => (audit.meta, audit.cluster) = (Some(row.meta), row.cluster),
        Err(error) => audit.faults.push(error.to_string()),
    }
    for outcome in verify::each(connection).await {
        audit.faults.extend(outcome.err().map(|error| error.to_string()));
    }
    Ok(())
}

/// How a file can be read without a change to it.
enum Readable {
    AsItIs,
    Copied {
        file: PathBuf,
        /// Removed when this is dropped.
        _folder: tempfile::TempDir,
    },
}

impl Readable {
    fn of(path: &Path) -> io::Result<Self> {
        let wal = wal_of(path);
        let has_wal = fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0);
        if !has_wal {
            return Ok(Self::AsItIs);
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join(FILE);
        copy_with_wal(path, &file)?;
        Ok(Self::Copied { file, _folder: folder })
    }
}

fn copy_with_wal(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    match fs::copy(wal_of(from), wal_of(to)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn not_read(path: &Path, error: &io::Error) -> OpenError {
    unusable(path, StoreError::Failed(format!("reading {}: {error}", path.display())))
}

/// Executes the whole log of a state once more, into an empty one in a temporary folder, and
/// says where it comes to something else: nothing where all is well. None where the
/// beginning of the log is not kept, or there is no state.
///
/// # Errors
/// When the state cannot be read, or executed again.
pub async fn execute_again(dir: &Path) -> Result<Option<Vec<String>>, OpenError> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let failed = |error: io::Error| not_read(&path, &error);
    let temp = tempfile::tempdir().map_err(failed)?;
    let (copied, again) = (temp.path().join("copied"), temp.path().join("again"));
    for folder in [&copied, &again] {
        fs::create_dir(folder).map_err(failed)?;
    }
    copy_with_wal(&path, &copied.join(FILE)).map_err(failed)?;
    let replica = owner(&copied.join(FILE)).await.map_err(|error| unusable(&path, error))?;
    let Some(first) = inspect(&copied, &replica).await? else { return Ok(None) };
    let Store { reader, writer, .. } = open(&copied, &replica, 1).await?;
    let log_start = writer.log_start();
    if log_start == Slot(0) {
        execute_all(&reader, &again, &replica, &path).await?;
    }
    drop(reader);
    writer.close().await.map_err(|error| unusable(&path, error))?;
    if log_start > Slot(0) {
        return Ok(None);
    }
    let second = inspect(&again, &replica).await?;
    Ok(Some(second.map_or_else(Vec::new, |second| differences(&first, &second))))
}

async fn owner(path: &Path) -> Result<Name, StoreError> {
    let mut connection = schema::writer_options(path).create_if_missing(false).connect().await?;
    let name: String = schema::scalar(&mut connection, "SELECT replica FROM meta").await?;
    connection.close().await?;
    name.parse().map_err(|error| StoreError::Damaged(format!("meta.replica: {error}")))
}

/// Executes the log that a reader has, page by page.
async fn execute_all(
    reader: &Reader,
    into: &Path,
    replica: &Name,
    path: &Path,
) -> Result<(), OpenError> {
    let failed = |error: StoreError| unusable(path, error);
    let mut writer = open(into, replica, 1).await?.writer;
    let mut from = Slot(0);
    loop {
        let query = LogQuery { from, page: PAGE };
        let page = reader.log(query).await;
        let page = page.map_err(|error| failed(StoreError::Failed(error.to_string())))?;
        let Some(last) = page.rows.last() else { break };
        from = last.slot.next();
        let entry =
            |row: LogRow| ChosenEntry { slot: row.slot, ballot: row.ballot, value: row.value };
        writer.execute(page.rows.into_iter().map(entry).collect()).await.map_err(failed)?;
        writer.store().await.map_err(failed)?;
        while writer.is_sweeping() {
            writer.sweep().await.map_err(failed)?;
        }
    }
    writer.close().await.map_err(failed)
}

fn differences(first: &Inspected, second: &Inspected) -> Vec<String> {
    let mut found = Vec::new();
    if first.meta != second.meta {
        let (said, came) = (&first.meta, &second.meta);
        found.push(format!("meta says {said:?}, and executing the log comes to {came:?}"));
    }
    if first.digest != second.digest {
        let (has, made) = (first.versions, second.versions);
        found.push(format!(
            "executing the log makes other rows of keys, answers, leases, locks, tokens or policies \
             ({made} versions of keys, and {has} are there)"
        ));
    }
    found
}
