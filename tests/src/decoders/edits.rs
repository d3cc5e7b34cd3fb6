//! Damage done to bytes on purpose.

use serde::{Deserialize, Serialize};

/// A changed byte.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Edit {
    /// Where; taken modulo the length.
    at: u32,
    /// How: these bits are flipped.
    flip: u8,
}

impl Edit {
    pub(super) fn new(at: u32, flip: u8) -> Self {
        Self { at, flip }
    }
}

/// Makes the changes. Returns how many bytes are different afterwards.
pub(super) fn apply(edits: &[Edit], bytes: &mut [u8]) -> usize {
    let before = bytes.to_vec();
    if bytes.is_empty() {
        return 0;
    }
    for Edit { at, flip } in edits {
        let at = *at as usize % bytes.len();
        bytes[at] ^= flip;
    }
    before.iter().zip(bytes).filter(|(before, after)| *before != *after).count()
}
