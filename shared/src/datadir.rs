//! A service's folder on disk: who owns it, and that nobody else uses it now.
//!
//! `identity.json` says for which service and name the folder was made, and holds a nonce
//! drawn then: a service that lost its folder is told from what it was. `LOCK` is locked
//! while a process uses the folder; the system drops the lock with the process.
//!
//! A folder that is removed, moved away or replaced under a running service would go
//! unnoticed: open files can still be written. So the service looks ([`DataDir::gone`]),
//! and ends: what it writes would be gone with it.

mod identity;
pub mod kept;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::datadir::identity::{make_identity, read_identity};
use crate::datadir::kept::Kept;
use crate::ids::{Name, parse_nonce};
use crate::message::Service;

/// The version of the folder's layout; another one is refused.
pub const FORMAT: u32 = 1;

const IDENTITY: &str = "identity.json";
const LOCK: &str = "LOCK";

/// How often it is looked whether the folder is still where it was.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// A folder that this process owns until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    nonce: u64,
    is_new: bool,
    /// The folder itself and what makes it this one.
    kept: Vec<Kept>,
    /// Held for its lock, and so that no other file gets its number.
    _lock: File,
}

/// Why a folder cannot be used. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
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
    /// Another process uses it.
    #[error("data directory {path} is in use by another process{holder}")]
    Locked {
        /// The folder.
        path: PathBuf,
        /// ` (pid N)`, where that is known.
        holder: String,
    },
    /// It was made for another service or name.
    #[error("data directory {path} belongs to {owner}, not to {asked}")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is: service and name.
        owner: String,
        /// Who asks: service and name.
        asked: String,
    },
    /// It was made by another version.
    #[error("data directory {path} has format {found}, this version reads {FORMAT}")]
    Format {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// It is this service's, but what it holds does not read back; said by the service
    /// that tried.
    #[error("{0}")]
    Damaged(String),
    /// It was there when the service started, and is no more.
    #[error(
        "{path} was removed, moved away or replaced under the running service; what is written \
         there would be lost, and a start on an empty folder makes another service of it: put \
         the data directory back"
    )]
    Gone {
        /// What is missing.
        path: PathBuf,
    },
    /// It holds something, but nothing that says whose it is.
    #[error(
        "data directory {path} is not empty and has no readable {IDENTITY} ({reason}); name an \
         empty folder, or the right one"
    )]
    Unknown {
        /// The folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
}

impl DataDirError {
    /// Whether trying again will not help: somebody must name another folder or mend this
    /// one. Not what another process may be about to end, nor a disk that may come back.
    #[must_use]
    pub fn is_misconfiguration(&self) -> bool {
        match self {
            Self::Foreign { .. }
            | Self::Format { .. }
            | Self::Gone { .. }
            | Self::Unknown { .. } => true,
            Self::Io { source, .. } => [
                io::ErrorKind::PermissionDenied,
                io::ErrorKind::ReadOnlyFilesystem,
                io::ErrorKind::NotADirectory,
                io::ErrorKind::AlreadyExists,
            ]
            .contains(&source.kind()),
            Self::Locked { .. } | Self::Damaged(_) => false,
        }
    }
}

impl DataDir {
    /// Takes the folder for the service of that name; makes it where it is missing or
    /// empty.
    ///
    /// # Errors
    /// When it cannot be made, written or locked, or is another's; see [`DataDirError`].
    pub fn open(path: &Path, service: Service, name: &Name) -> Result<Self, DataDirError> {
        let failed = |action, path: &Path| {
            let path = path.to_owned();
            move |source| DataDirError::Io { action, path, source }
        };
        fs::create_dir_all(path).map_err(failed("make", path))?;
        let path = path.canonicalize().map_err(failed("resolve", path))?;
        let lock = lock(&path)?;
        let (identity, is_new) = match read_identity(&path)? {
            Some(identity) => (identity, false),
            None => (make_identity(&path, service, name)?, true),
        };
        if identity.format != FORMAT {
            return Err(DataDirError::Format { path, found: identity.format });
        }
        if (identity.service, &identity.name) != (service, name) {
            let owner = format!("{} {}", identity.service.as_str(), identity.name);
            return Err(DataDirError::Foreign {
                path,
                owner,
                asked: format!("{} {name}", service.as_str()),
            });
        }
        let nonce = parse_nonce(&identity.nonce);
        let nonce = nonce.map_err(|error| DataDirError::Unknown {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        let parts = [path.clone(), path.join(LOCK), path.join(IDENTITY)];
        let kept = parts.iter().map(|part| Kept::of(part)).collect::<Result<_, _>>()?;
        Ok(Self { path, nonce, is_new, kept, _lock: lock })
    }

    /// The folder, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file or folder in it.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the folder was made, or was empty, when it was opened: nothing can be
    /// missing from it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Looks whether the folder is still this one.
    ///
    /// # Errors
    /// [`DataDirError::Gone`] when it is not.
    pub fn check(&self) -> Result<(), DataDirError> {
        self.kept.iter().try_for_each(Kept::check)
    }

    /// Ends once the folder, or one of these in it that the service holds open, is gone,
    /// and says so.
    pub async fn gone(&self, more: &[&str]) -> DataDirError {
        let more: Result<Vec<Kept>, _> =
            more.iter().map(|name| Kept::of(&self.join(name))).collect();
        let kept: Arc<[Kept]> = match more {
            Ok(more) => self.kept.iter().cloned().chain(more).collect(),
            Err(error) => return error,
        };
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        loop {
            ticks.tick().await;
            let looked_at = Arc::clone(&kept);
            // A disk that hangs must not hold up anything else.
            let look = move || looked_at.iter().try_for_each(Kept::check);
            if let Ok(Err(gone)) = tokio::task::spawn_blocking(look).await {
                return gone;
            }
        }
    }

    /// Drawn at random when the folder was made, and the same ever since.
    #[must_use]
    pub fn nonce(&self) -> u64 {
        self.nonce
    }
}

/// Locks a folder for this process, by a file `LOCK` in it, until the file is dropped.
///
/// # Errors
/// When another process holds the lock, or the file cannot be written.
pub fn lock(folder: &Path) -> Result<File, DataDirError> {
    let path = folder.join(LOCK);
    let failed = |action| {
        let path = path.clone();
        move |source| DataDirError::Io { action, path, source }
    };
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(failed("write"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let holder = holder(&file);
            return Err(DataDirError::Locked { path: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(source)) => return Err(failed("lock")(source)),
    }
    // Only a courtesy to whoever is refused: a full disk must not keep a service from
    // starting.
    let _courtesy = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    Ok(file)
}

/// Whose folder it is, without a change to it; none where nothing says so.
///
/// # Errors
/// When what it says cannot be read.
pub fn owner(folder: &Path) -> Result<Option<(Service, Name)>, DataDirError> {
    let path = folder.join(IDENTITY);
    if !path.exists() {
        return Ok(None);
    }
    Ok(read_identity(folder)?.map(|identity| (identity.service, identity.name)))
}

/// Keeps every service from a folder until the file is dropped, without a change to it. None
/// where no service was ever in it.
///
/// # Errors
/// When a service uses it, or that cannot be told.
pub fn lock_to_read(folder: &Path) -> Result<Option<File>, DataDirError> {
    let path = folder.join(LOCK);
    let failed = |action| {
        let path = path.clone();
        move |source| DataDirError::Io { action, path, source }
    };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read")(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            Err(DataDirError::Locked { path: folder.to_owned(), holder: holder(&file) })
        }
        Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
    }
}

/// Who holds the lock, as far as that is known: ` (pid N)`.
fn holder(file: &File) -> String {
    let mut text = String::new();
    match file.take(32).read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => format!(" (pid {})", text.trim()),
        Ok(_) | Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests;
