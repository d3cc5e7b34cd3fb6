//! The file of a WAL, as far as SQLite takes it to be whole.
//!
//! A header of 32 bytes, and frames of 24 bytes and a page each: all of the header's salts,
//! and each with a checksum of the header's beginning and every frame up to it, so that the
//! first frame that is not whole ends what there is (*Database File Format*,
//! <https://sqlite.org/fileformat2.html>, section 4).

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// The length of a header.
pub(in crate::store) const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// Where the WAL of a database is.
pub(in crate::store) fn wal_of(database: &Path) -> PathBuf {
    with_suffix(database, "-wal")
}

/// The file beside a database whose name ends with this.
pub(in crate::store) fn with_suffix(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A header that is whole. A WAL that starts over gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Header([u8; HEADER_BYTES]);

/// What there is of a WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Found {
    /// No file.
    Nothing,
    /// A file that SQLite takes for empty: its header is not whole.
    Unreadable,
    /// A WAL.
    Begun(Header),
}

/// Reads the header of a WAL.
pub(in crate::store) fn find(wal: &Path) -> io::Result<Found> {
    let mut file = match File::open(wal) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER_BYTES];
    Ok(match whole(file.read_exact(&mut header))? {
        true => Header::of(header).map_or(Found::Unreadable, Found::Begun),
        false => Found::Unreadable,
    })
}

impl Header {
    /// None where that is not a whole one.
    pub(in crate::store) fn of(bytes: [u8; HEADER_BYTES]) -> Option<Self> {
        let header = Self(bytes);
        let page_bytes = header.page_bytes();
        let is_whole = header.number(0) & !1 == MAGIC
            && page_bytes.is_power_of_two()
            && (512..=65_536).contains(&page_bytes)
            && header.sum_on(Sum::default(), &bytes[..24]) == Sum::at(&bytes[24..]);
        is_whole.then_some(header)
    }

    pub(in crate::store) fn bytes(&self) -> &[u8; HEADER_BYTES] {
        &self.0
    }

    /// Up to so many frames of the WAL that has this header are whole, from the first on.
    pub(in crate::store) fn whole_frames(&self, wal: &Path, most: u32) -> io::Result<u32> {
        let mut file = BufReader::with_capacity(1 << 18, File::open(wal)?);
        let mut frame = vec![0; FRAME_HEADER_BYTES + self.page_bytes() as usize];
        if !whole(file.read_exact(&mut frame[..HEADER_BYTES]))? {
            return Ok(0);
        }
        let mut sum = Sum::at(&self.0[24..]);
        for number in 0..most {
            if !whole(file.read_exact(&mut frame))? {
                return Ok(number);
            }
            let (head, page) = frame.split_at(FRAME_HEADER_BYTES);
            sum = self.sum_on(self.sum_on(sum, &head[..8]), page);
            // The salts are not in the sum.
            if head[8..16] != self.0[16..24] || sum != Sum::at(&head[16..]) {
                return Ok(number);
            }
        }
        Ok(most)
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(word(&self.0, at))
    }

    fn page_bytes(&self) -> u32 {
        self.number(8)
    }

    /// Goes on with a sum; words are read as the magic number says.
    fn sum_on(&self, sum: Sum, bytes: &[u8]) -> Sum {
        let is_big = self.number(0) & 1 == 1;
        let read = |at| {
            let word = word(bytes, at);
            if is_big { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        (0..bytes.len()).step_by(8).fold(sum, |Sum(first, second), at| {
            let first = first.wrapping_add(read(at)).wrapping_add(second);
            Sum(first, second.wrapping_add(read(at + 4)).wrapping_add(first))
        })
    }
}

/// A checksum as far as it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum(u32, u32);

impl Sum {
    fn at(bytes: &[u8]) -> Self {
        Self(u32::from_be_bytes(word(bytes, 0)), u32::from_be_bytes(word(bytes, 4)))
    }
}

fn word(bytes: &[u8], at: usize) -> [u8; 4] {
    bytes[at..at + 4].try_into().expect("it is four bytes long")
}

/// Whether everything was there that was to be read.
fn whole(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
