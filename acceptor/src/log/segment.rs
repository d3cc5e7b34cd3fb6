//! One file of the log, of a fixed length that is given its space when it is made.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

use shared::datadir::kept::Kept;

use crate::log::disk::{Disk, DiskError};
use crate::log::frame::{BLOCK, Chain, FrameHeader, Kind, SEGMENT_HEADER, SegmentHeader};

const SUFFIX: &str = ".segment";
const SUFFIX_NEW: &str = ".segment.new";

/// The path of a segment.
pub(crate) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}{SUFFIX}"))
}

/// What stands in the folder of a log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum FolderEntry {
    /// A segment, by its number.
    Segment(u64),
    /// A segment that was never finished.
    Unfinished,
    /// Nothing of ours.
    Other,
}

/// What a file in the folder of a log is, by its name.
pub(crate) fn classify(name: &str) -> FolderEntry {
    let number = name
        .strip_suffix(SUFFIX)
        .filter(|digits| digits.len() == 20)
        .and_then(|digits| digits.parse().ok());
    match number {
        Some(number) => FolderEntry::Segment(number),
        None if name.ends_with(SUFFIX_NEW) => FolderEntry::Unfinished,
        None => FolderEntry::Other,
    }
}

/// The segment that is written to.
#[derive(Debug)]
pub(crate) struct Segment {
    disk: Disk,
    file: File,
    path: PathBuf,
    kept: Kept,
    header: SegmentHeader,
    /// Where the next frame goes. Bytes.
    offset: u64,
    /// Whether all of it has its space on the disk.
    is_allocated: bool,
}

impl Segment {
    /// Makes a segment whose first group is this frame. It has its name once it is whole
    /// and synced, and not before; when this fails for want of space, nothing is left of
    /// it.
    pub(crate) fn create(
        disk: &Disk,
        folder: &Path,
        header: SegmentHeader,
        first: &[u8],
    ) -> Result<Self, DiskError> {
        let path = path_of(folder, header.number);
        let new = folder.join(format!("{:020}{SUFFIX_NEW}", header.number));
        let made = Self::fill(disk, &new, &header, first);
        let file = match made {
            Ok(file) => file,
            Err(error) => {
                // What stays is removed at the next start; the error that counts is the
                // first.
                let _leftover = fs::remove_file(&new);
                return Err(error);
            }
        };
        fs::rename(&new, &path).map_err(DiskError::failed("name", &path))?;
        disk.sync_folder(folder)?;
        let kept = Kept::of(&path)?;
        let offset = (SEGMENT_HEADER + first.len()) as u64;
        Ok(Self { disk: disk.clone(), file, path, kept, header, offset, is_allocated: true })
    }

    fn fill(
        disk: &Disk,
        new: &Path,
        header: &SegmentHeader,
        first: &[u8],
    ) -> Result<File, DiskError> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(new);
        let file = file.map_err(DiskError::writing("make", new))?;
        disk.allocate(&file, new, 0, header.length)?;
        disk.write(&file, new, &header.encode(), 0)?;
        disk.write(&file, new, first, SEGMENT_HEADER as u64)?;
        disk.sync(&file, new)?;
        Ok(file)
    }

    /// Goes on with a segment that was read, at the offset where its groups end.
    pub(crate) fn open(
        disk: &Disk,
        path: PathBuf,
        header: SegmentHeader,
        offset: u64,
    ) -> Result<Self, DiskError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(DiskError::failed("open", &path))?;
        file.set_len(header.length).map_err(DiskError::failed("cut", &path))?;
        let kept = Kept::of(&path)?;
        Ok(Self { disk: disk.clone(), file, path, kept, header, offset, is_allocated: true })
    }

    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    pub(crate) fn salt(&self) -> u64 {
        self.header.salt
    }

    pub(crate) fn length(&self) -> u64 {
        self.header.length
    }

    /// How long a frame may be, with room left for the seal. Bytes.
    pub(crate) fn room(&self) -> u64 {
        (self.header.length - self.offset).saturating_sub(BLOCK as u64)
    }

    /// Writes a frame at the end and syncs it, and with it everything before; then looks
    /// whether a start would find it, for whoever is answered relies on that.
    pub(crate) fn append(&mut self, frame: &[u8]) -> Result<(), DiskError> {
        self.disk.write(&self.file, &self.path, frame, self.offset)?;
        self.disk.sync(&self.file, &self.path)?;
        self.kept.check()?;
        self.offset += frame.len() as u64;
        Ok(())
    }

    /// Writes a mark or a seal where the next group would go. Not synced.
    pub(crate) fn mark(&self, kind: Kind, sequence: u64, chain: Chain) -> Result<(), DiskError> {
        let mark = FrameHeader::after(kind, sequence, chain).encode(self.header.salt);
        self.disk.write(&self.file, &self.path, &mark, self.offset)
    }

    pub(crate) fn sync(&self) -> Result<(), DiskError> {
        self.disk.sync(&self.file, &self.path)
    }

    /// Writes again what was read at an offset, so that the next sync covers it whatever
    /// became of an earlier one.
    pub(crate) fn rewrite(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.disk.write(&self.file, &self.path, bytes, offset)
    }

    /// Drops everything after the last group, and asks for its space anew.
    pub(crate) fn clear_tail(&mut self) -> Result<(), DiskError> {
        self.disk.clear(&self.file, &self.path, self.offset, self.header.length)?;
        self.is_allocated = false;
        match self.ensure_allocated() {
            Ok(()) | Err(DiskError::NoSpace { .. }) => Ok(()),
            Err(error @ (DiskError::Failed { .. } | DiskError::Gone(_))) => Err(error),
        }
    }

    /// Makes sure that what the segment has room for will find space on the disk.
    pub(crate) fn ensure_allocated(&mut self) -> Result<(), DiskError> {
        if !self.is_allocated {
            self.disk.allocate(&self.file, &self.path, self.offset, self.header.length)?;
            self.is_allocated = true;
        }
        Ok(())
    }
}
