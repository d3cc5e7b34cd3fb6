//! Files and folders that must stay where they are while they are used.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::DataDirError;

/// A file or folder that must stay where it is while it is used.
#[derive(Clone, Debug)]
pub struct Kept {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Kept {
    /// What is at the path now. It must be held open: else another one may get its number.
    ///
    /// # Errors
    /// When nothing is there.
    pub fn of(path: &Path) -> Result<Self, DataDirError> {
        let found = fs::metadata(path).map_err(|source| DataDirError::Io {
            action: "look at",
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Whether it is still there. Where the system does not say, it is taken for there:
    /// whoever writes will hear of it.
    ///
    /// # Errors
    /// When it is gone, or something else is in its place.
    pub fn check(&self) -> Result<(), DataDirError> {
        let is_there = match fs::metadata(&self.path) {
            Ok(found) => (found.dev(), found.ino()) == (self.device, self.inode),
            Err(error) => {
                ![io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind())
            }
        };
        if is_there { Ok(()) } else { Err(DataDirError::Gone { path: self.path.clone() }) }
    }
}
