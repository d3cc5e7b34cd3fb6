//! What the log asks of the disk, each call with an error that names the file; in tests,
//! also the place where a disk fails.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use shared::datadir::DataDirError;

/// What a disk refused.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// There is no space (or no quota) left. Nothing is lost; there may be space later.
    #[error("no space left for {path}")]
    NoSpace {
        /// On which file.
        path: PathBuf,
    },
    /// What was written is no longer where it was: nobody would find it again.
    #[error(transparent)]
    Gone(#[from] DataDirError),
    /// Everything else. After it nothing is known of what the disk holds: the process
    /// must stop.
    #[error("cannot {action} {path}: {source}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl DiskError {
    pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Failed { action, path, source }
    }

    pub(crate) fn writing(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| match Errno::from_io_error(&source) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::NoSpace { path },
            Some(_) | None => Self::Failed { action, path, source },
        }
    }
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(crate) faults: std::sync::Arc<crate::log::faults::Faults>,
}

impl Disk {
    /// Writes all bytes at an offset.
    pub(crate) fn write(
        &self,
        file: &File,
        path: &Path,
        bytes: &[u8],
        offset: u64,
    ) -> Result<(), DiskError> {
        #[cfg(test)]
        let bytes = match self.faults.on_write(bytes.len()) {
            Some((written, error)) => {
                file.write_all_at(&bytes[..written], offset).unwrap();
                return Err(DiskError::writing("write", path)(error));
            }
            None => bytes,
        };
        file.write_all_at(bytes, offset).map_err(DiskError::writing("write", path))
    }

    /// Waits until what was written is on the disk. A sync that failed is never tried
    /// again: the system may have dropped what it could not write, and would report
    /// success.
    pub(crate) fn sync(
        &self,
        #[cfg_attr(test, expect(unused_variables, reason = "see below"))] file: &File,
        path: &Path,
    ) -> Result<(), DiskError> {
        // In tests the system does not crash; what a crash leaves is made by hand.
        #[cfg(test)]
        return self.faults.on_sync().map_err(DiskError::failed("sync", path));
        #[cfg(not(test))]
        file.sync_data().map_err(DiskError::failed("sync", path))
    }

    /// Waits until names made or removed in a folder are on the disk.
    pub(crate) fn sync_folder(&self, path: &Path) -> Result<(), DiskError> {
        #[cfg(test)]
        return self.faults.on_sync().map_err(DiskError::failed("sync", path));
        #[cfg(not(test))]
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(DiskError::failed("sync", path))
    }

    /// Gives a range of a file its space on the disk: zeros, where nothing was written.
    pub(crate) fn allocate(
        &self,
        file: &File,
        path: &Path,
        from: u64,
        to: u64,
    ) -> Result<(), DiskError> {
        #[cfg(test)]
        self.faults.on_allocate().map_err(DiskError::writing("allocate", path))?;
        match rustix::fs::fallocate(file, FallocateFlags::empty(), from, to - from) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, path, from, to),
            Err(error) => Err(DiskError::writing("allocate", path)(error.into())),
        }
    }

    /// Makes a range of a file zeros again, without needing space for it.
    pub(crate) fn clear(
        &self,
        file: &File,
        path: &Path,
        from: u64,
        to: u64,
    ) -> Result<(), DiskError> {
        match rustix::fs::fallocate(
            file,
            FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
            from,
            to - from,
        ) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, path, from, to),
            Err(error) => Err(DiskError::failed("clear", path)(error.into())),
        }
    }
}

fn write_zeros(file: &File, path: &Path, from: u64, to: u64) -> Result<(), DiskError> {
    let zeros = [0_u8; 64 * 1024];
    let mut offset = from;
    while offset < to {
        let length = usize::try_from(to - offset).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all_at(&zeros[..length], offset)
            .map_err(DiskError::writing("allocate", path))?;
        offset += length as u64;
    }
    Ok(())
}
