//! The log's folder: which segments are in it, and what a crash left beside them.

use std::fs;
use std::io;
use std::path::Path;

use tracing::warn;

use crate::log::disk::{Disk, DiskError};
use crate::log::error::LogError;
use crate::log::segment::{FolderEntry, classify};

/// The numbers of the segments in the folder, ascending; none if there is no folder.
pub(in crate::log) fn list(folder: &Path) -> Result<Vec<u64>, LogError> {
    let mut numbers = Vec::new();
    for name in names(folder)? {
        match classify(&name) {
            FolderEntry::Segment(number) => numbers.push(number),
            FolderEntry::Unfinished => {}
            FolderEntry::Other => {
                warn!(folder = %folder.display(), name, "there is a strange file among the segments")
            }
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes what a crash left: segments never finished, and such as are no longer needed.
pub(super) fn remove_leftovers(folder: &Path, oldest: u64) -> Result<(), LogError> {
    for name in names(folder)? {
        let is_leftover = match classify(&name) {
            FolderEntry::Segment(number) => number < oldest,
            FolderEntry::Unfinished => true,
            FolderEntry::Other => false,
        };
        if is_leftover {
            let path = folder.join(name);
            fs::remove_file(&path).map_err(DiskError::failed("remove", &path))?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>, DiskError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(DiskError::failed("list", folder)(error)),
    };
    let name =
        |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    entries
        .map(name)
        .collect::<io::Result<Vec<String>>>()
        .map_err(DiskError::failed("list", folder))
}

pub(super) fn make_folder(disk: &Disk, folder: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(folder).map_err(DiskError::failed("make", folder))?;
    folder.parent().map_or(Ok(()), |parent| disk.sync_folder(parent))
}
