//! How much room there is on a disk.

use std::io;
use std::path::Path;

use rustix::fs::statvfs;

/// What a file system has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub size_bytes: u64,
    /// What is left for this process.
    pub free_bytes: u64,
}

impl Space {
    /// Of the file system on which a folder is.
    ///
    /// # Errors
    /// When that cannot be asked, or there is no such folder.
    pub fn of(folder: &Path) -> io::Result<Self> {
        let system = statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
        Ok(Self { size_bytes: bytes(system.f_blocks), free_bytes: bytes(system.f_bavail) })
    }

    /// Of the file system on which a file is, or is to be.
    ///
    /// # Errors
    /// As of [`Space::of`] its folder.
    pub fn of_file(file: &Path) -> io::Result<Self> {
        Self::of(file.parent().unwrap_or_else(|| Path::new("")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_to_be_has_the_space_of_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let size = |space: io::Result<Space>| space.unwrap().size_bytes;
        let of_folder = Space::of(dir.path()).unwrap();
        assert!(of_folder.size_bytes > 0 && of_folder.free_bytes <= of_folder.size_bytes);
        assert_eq!(size(Space::of_file(&dir.path().join("yet to be"))), of_folder.size_bytes);
        assert!(Space::of(&dir.path().join("no folder")).is_err());
    }
}
