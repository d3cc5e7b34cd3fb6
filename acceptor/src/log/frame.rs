//! The bytes of a segment: a header of its own, then frames.
//!
//! ```text
//! segment header (128)  magic, format, number, acceptor, salt, first sequence, length, chain so far, draw, CRC
//! frame header    (64)  magic, kind, sequence, payload length, payload CRC, chain, header CRC, end
//! payload               the records of one group (record.rs)
//! trailer          (8)  never zero, so that a payload's last sector is seen to be written
//! padding               zeros up to a multiple of 64
//! ```
//!
//! All numbers are little-endian. A **group** holds the records of all requests that
//! share one sync. Groups are numbered by `sequence`, without a gap over all segments,
//! and chained: `chain = BLAKE3(chain before ‖ sequence ‖ length ‖ payload)`. A **mark**
//! is a header alone: it stands where the next group will and says that the group before
//! it was synced. A **seal** is a mark that says too that the log goes on in the next
//! segment.
//!
//! Frames start at multiples of 64 bytes, so that a header lies in one sector and is on
//! disk whole or not at all. Header CRCs are salted with a random number that only the
//! segment's header holds, so that nobody can store a value that looks like a frame.
//! CRC-32C finds damage cheaply and finds all short bursts; the chain binds a group to
//! everything before it.

use shared::ids::{AcceptorId, Draw};

/// Frames start at multiples of this, and a header has this length. Bytes.
pub const BLOCK: usize = 64;
/// What a disk writes whole or not at all. Bytes.
pub const SECTOR: usize = 512;
/// The length of a segment's header. Bytes.
pub const SEGMENT_HEADER: usize = 128;

const SEGMENT_MAGIC: [u8; 8] = *b"SYNODLOG";
const FORMAT: u32 = 2;
const FRAME_MAGIC: u32 = u32::from_le_bytes(*b"SyFr");
const FRAME_END: u32 = 0xA5A5_A5A5;
const TRAILER: [u8; 8] = [0xA5; 8];

/// Binds everything up to here: two logs with equal chains hold equal records.
pub type Chain = [u8; 32];

/// What stands at the head of a segment. It is synced before the segment gets its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Which segment, from 1.
    pub number: u64,
    /// Whose log.
    pub acceptor: AcceptorId,
    /// Its part in the identity of the cluster that it forms.
    pub draw: Draw,
    /// Drawn at random for this segment.
    pub salt: u64,
    /// The sequence of its first group.
    pub first_sequence: u64,
    /// The length of the file. Bytes.
    pub length: u64,
    /// The chain over everything before it.
    pub chain: Chain,
}

impl SegmentHeader {
    /// The bytes of it.
    #[must_use]
    pub fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.acceptor.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.salt.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.length.to_le_bytes());
        bytes[56..88].copy_from_slice(&self.chain);
        bytes[88..96].copy_from_slice(&self.draw.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..124]);
        bytes[124..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header at the start of a segment.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER>() else {
            return Err(format!(
                "the file ends within the segment's header, after {} bytes",
                bytes.len()
            ));
        };
        if bytes[0..8] != SEGMENT_MAGIC {
            return Err("this is no segment of an acceptor's log".to_owned());
        }
        let format = u32_at(bytes, 8);
        if crc32c::crc32c(&bytes[..124]) != u32_at(bytes, 124) {
            return Err("the segment's header does not match its CRC".to_owned());
        }
        if format != FORMAT {
            return Err(format!("the segment has format {format}, this version reads {FORMAT}"));
        }
        let header = Self {
            number: u64_at(bytes, 16),
            acceptor: AcceptorId(u64_at(bytes, 24)),
            draw: Draw(u64_at(bytes, 88)),
            salt: u64_at(bytes, 32),
            first_sequence: u64_at(bytes, 40),
            length: u64_at(bytes, 48),
            chain: chain_at(bytes, 56),
        };
        let whole_blocks =
            header.length.is_multiple_of(BLOCK as u64) && header.length >= SEGMENT_HEADER as u64;
        if !whole_blocks {
            return Err(format!(
                "the segment's length of {} bytes is not that of whole blocks",
                header.length
            ));
        }
        // A group takes a block at least, so counting this segment's groups cannot pass
        // the highest number.
        if header.number == u64::MAX || header.first_sequence.checked_add(header.length).is_none() {
            let (number, first) = (header.number, header.first_sequence);
            return Err(format!("segment {number} begins with group {first}: no log is that long"));
        }
        Ok(header)
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Records, under one sync.
    Group,
    /// The group before is synced.
    Mark,
    /// The group before is synced, and the log goes on in the next segment.
    Seal,
}

/// The head of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What follows.
    pub kind: Kind,
    /// A group's own number; for a mark or a seal, the one of the group before it.
    pub sequence: u64,
    /// Of its records. Bytes.
    pub payload_length: u32,
    payload_crc: u32,
    /// The chain up to and with the group that `sequence` names.
    pub chain: Chain,
}

impl FrameHeader {
    /// The header of a group that follows on `before`.
    ///
    /// # Panics
    /// When the records have 4 GiB or more.
    #[must_use]
    pub fn group(sequence: u64, before: &Chain, payload: &[u8]) -> Self {
        let payload_length = u32::try_from(payload.len()).expect("groups are far below 4 GiB");
        let chain = next_chain(before, sequence, payload);
        Self {
            kind: Kind::Group,
            sequence,
            payload_length,
            payload_crc: crc32c::crc32c(payload),
            chain,
        }
    }

    /// A mark or a seal after the group `sequence`.
    #[must_use]
    pub fn after(kind: Kind, sequence: u64, chain: Chain) -> Self {
        Self { kind, sequence, payload_length: 0, payload_crc: 0, chain }
    }

    /// The bytes of it.
    #[must_use]
    pub fn encode(&self, salt: u64) -> [u8; BLOCK] {
        let mut bytes = [0; BLOCK];
        bytes[0..4].copy_from_slice(&FRAME_MAGIC.to_le_bytes());
        bytes[4] = match self.kind {
            Kind::Group => 1,
            Kind::Mark => 2,
            Kind::Seal => 3,
        };
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.payload_length.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[24..56].copy_from_slice(&self.chain);
        let crc = salted_crc(salt, &bytes[..56]);
        bytes[56..60].copy_from_slice(&crc.to_le_bytes());
        bytes[60..64].copy_from_slice(&FRAME_END.to_le_bytes());
        bytes
    }

    /// Reads a header, if this is one of this segment.
    #[must_use]
    pub fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = bytes.first_chunk::<BLOCK>()?;
        let is_framed = u32_at(bytes, 0) == FRAME_MAGIC && u32_at(bytes, 60) == FRAME_END;
        if !is_framed || salted_crc(salt, &bytes[..56]) != u32_at(bytes, 56) {
            return None;
        }
        let kind = match bytes[4] {
            1 => Kind::Group,
            2 => Kind::Mark,
            3 => Kind::Seal,
            0 | 4.. => return None,
        };
        let (payload_length, payload_crc) = (u32_at(bytes, 16), u32_at(bytes, 20));
        Some(Self {
            kind,
            sequence: u64_at(bytes, 8),
            payload_length,
            payload_crc,
            chain: chain_at(bytes, 24),
        })
    }

    /// Where the group's payload, its trailer and its padding end, counted from the
    /// frame's start.
    #[must_use]
    pub fn extents(&self) -> Extents {
        Extents::of(self.payload_length as usize)
    }

    /// Checks a group's whole frame against its header and the group before it, and gives
    /// its payload.
    ///
    /// # Errors
    /// Says what is wrong with it.
    ///
    /// # Panics
    /// When the frame is shorter than its header says.
    pub fn check<'a>(&self, before: &Chain, frame: &'a [u8]) -> Result<&'a [u8], &'static str> {
        let Extents { payload: payload_end, trailer: trailer_end, .. } = self.extents();
        let payload = &frame[BLOCK..payload_end];
        if crc32c::crc32c(payload) != self.payload_crc {
            Err("the group's records do not match their CRC")
        } else if frame[payload_end..trailer_end] != TRAILER || !is_zero(&frame[trailer_end..]) {
            Err("the group's trailer is not one")
        } else if next_chain(before, self.sequence, payload) != self.chain {
            Err("the group does not follow on the one before it (chain mismatch)")
        } else {
            Ok(payload)
        }
    }
}

/// Where the parts of a group's frame end, counted from its start. Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extents {
    /// Of its records.
    pub payload: usize,
    /// Of the trailer.
    pub trailer: usize,
    /// Of the padding: where the next frame starts.
    pub frame: usize,
}

impl Extents {
    /// Those of a group with so many bytes of records.
    #[must_use]
    pub fn of(payload_length: usize) -> Self {
        let payload = BLOCK + payload_length;
        let trailer = payload + TRAILER.len();
        Self { payload, trailer, frame: trailer.next_multiple_of(BLOCK) }
    }
}

/// Whether there is nothing but zeros: what was preallocated and never written.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|chunk| chunk == &ZEROS[..chunk.len()])
}

/// Makes a frame of a buffer that starts with room for the header and goes on with the
/// payload. Returns the chain with it.
///
/// # Panics
/// When there is no room for the header, or 4 GiB of payload.
pub fn seal_group(buffer: &mut Vec<u8>, salt: u64, sequence: u64, before: &Chain) -> Chain {
    let header = FrameHeader::group(sequence, before, &buffer[BLOCK..]);
    let extents = header.extents();
    buffer[..BLOCK].copy_from_slice(&header.encode(salt));
    buffer.extend_from_slice(&TRAILER);
    buffer.resize(extents.frame, 0);
    header.chain
}

fn next_chain(before: &Chain, sequence: u64, payload: &[u8]) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&(payload.len() as u64).to_le_bytes());
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}

fn salted_crc(salt: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(*bytes[offset..].first_chunk().expect("within a header"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(*bytes[offset..].first_chunk().expect("within a header"))
}

fn chain_at(bytes: &[u8], offset: usize) -> Chain {
    *bytes[offset..].first_chunk().expect("within a header")
}
