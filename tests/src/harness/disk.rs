//! Disks that fill up, and files that rot.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use shared::disk::Space;
use tempfile::TempDir;

use super::skip::skipped;

/// A file system of its own, of a few megabytes, in memory. Unmounted when dropped: after
/// the services that use it.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// Mounts one; none, with the reason printed, where there is no `mount` or this
    /// process may not use it.
    ///
    /// # Errors
    /// When mounting fails for another reason, or it must not be left out.
    pub fn mount(mebibytes: u64) -> Result<Option<Self>> {
        let dir = TempDir::with_prefix("synod-disk-")?;
        let size = format!("size={mebibytes}m,mode=0755");
        let output = match Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "synod-test"])
            .arg(dir.path())
            .output()
        {
            Ok(output) => output,
            Err(error) => return skipped(&format!("there is no mount ({error})")).map(|()| None),
        };
        if output.status.success() {
            return Ok(Some(Self { dir }));
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_forbidden = ["permission denied", "must be superuser", "not permitted"];
        if is_forbidden.iter().any(|words| said.to_lowercase().contains(words)) {
            return skipped(&format!("this process may not mount a file system: {}", said.trim()))
                .map(|()| None);
        }
        bail!("mount: {said}")
    }

    /// The folder of one service on it.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Takes all space that is left, but so many bytes.
    ///
    /// # Errors
    /// When the file system fails otherwise than by being full.
    pub fn fill(&self, leave: u64) -> Result<()> {
        let free = self.free_bytes()?;
        let mut file = OpenOptions::new().create(true).append(true).open(self.filler())?;
        let mut left = free.saturating_sub(leave);
        let block = [0x5a; 4096];
        while left >= block.len() as u64 {
            match file.write_all(&block) {
                Ok(()) => left -= block.len() as u64,
                Err(error)
                    if error.raw_os_error() == Some(rustix::io::Errno::NOSPC.raw_os_error()) =>
                {
                    break;
                }
                Err(error) => return Err(error).context("filling a disk"),
            }
        }
        Ok(())
    }

    /// Gives back what [`SmallDisk::fill`] took.
    ///
    /// # Errors
    /// When that fails.
    pub fn free(&self) -> Result<()> {
        fs::remove_file(self.filler()).context("freeing a disk")
    }

    /// How many bytes are free.
    ///
    /// # Errors
    /// When that cannot be asked.
    pub fn free_bytes(&self) -> Result<u64> {
        Ok(Space::of(self.dir.path())?.free_bytes)
    }

    fn filler(&self) -> PathBuf {
        self.dir.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a service that is just being killed may still have files open there.
        drop(Command::new("umount").arg("-l").arg(self.dir.path()).output());
    }
}

/// What happens to a file while nobody looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rot {
    /// One bit of the byte at this offset is another.
    Flip {
        /// Which byte.
        offset: u64,
        /// Which of its bits, from 0.
        bit: u8,
    },
    /// The file ends at this length.
    Cut {
        /// Its new length. Bytes.
        length: u64,
    },
}

impl Rot {
    /// Damages a file.
    ///
    /// # Errors
    /// When it cannot be read and written, or is too short for it.
    pub fn befall(self, path: &Path) -> Result<()> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .with_context(|| format!("opening {}", path.display()))?;
        match self {
            Self::Flip { offset, bit } => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, offset)
                    .with_context(|| format!("{} ends before {offset}", path.display()))?;
                file.write_all_at(&[byte[0] ^ 1 << bit], offset)?;
            }
            Self::Cut { length } => file.set_len(length)?,
        }
        Ok(())
    }
}

/// A copy of a folder, to be put back.
#[derive(Debug)]
pub struct Copied {
    folder: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
}

impl Copied {
    /// Copies a folder, into memory.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(folder: &Path) -> Result<Self> {
        let read = |(path, _): (PathBuf, u64)| Ok((path.clone(), fs::read(path)?));
        Ok(Self {
            folder: folder.to_owned(),
            files: files(folder)?.into_iter().map(read).collect::<Result<_>>()?,
        })
    }

    /// Makes the folder what it was, whatever has become of it since.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_back(&self) -> Result<()> {
        for (path, _) in files(&self.folder)? {
            fs::remove_file(path)?;
        }
        for (path, bytes) in &self.files {
            fs::write(path, bytes)?;
        }
        Ok(())
    }
}

/// Every file below a folder, with its length.
///
/// # Errors
/// When the folder cannot be read.
pub fn files(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        if metadata.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push((entry.path(), metadata.len()));
        }
    }
    found.sort();
    Ok(found)
}

/// How long all files in a folder are together, in bytes, while others write to it: what goes
/// meanwhile is not counted. None of a folder that does not exist.
///
/// # Errors
/// When it cannot be read.
pub fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    let Some(entries) = present(fs::read_dir(folder))? else { return Ok(0) };
    for entry in entries {
        let entry = entry?;
        let Some(metadata) = present(entry.metadata())? else { continue };
        bytes += if metadata.is_dir() { folder_bytes(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}
