//! Digests of rows: in an order that they have everywhere, or in any.

use shared::chain::ChainHash;

/// Rows in an order that they have everywhere, and how many they are.
#[derive(Default)]
pub(super) struct Counted {
    hasher: blake3::Hasher,
    rows: u64,
}

impl Counted {
    pub(super) fn row(&mut self, bytes: &[u8]) {
        self.hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        self.rows += 1;
    }

    pub(super) fn finish(mut self) -> ChainHash {
        self.hasher.update(&self.rows.to_le_bytes());
        finished(&self.hasher)
    }
}

/// The sum of the digests of rows, and how many they are: the same in whatever order they
/// come, and what was added can be taken out again.
#[derive(Default)]
pub(super) struct RowSum {
    lanes: [u64; 4],
    rows: u64,
}

impl RowSum {
    pub(super) fn add(&mut self, row: &[u8]) {
        self.each(row, u64::wrapping_add);
        self.rows = self.rows.wrapping_add(1);
    }

    pub(super) fn remove(&mut self, row: &[u8]) {
        self.each(row, u64::wrapping_sub);
        self.rows = self.rows.wrapping_sub(1);
    }

    fn each(&mut self, row: &[u8], change: fn(u64, u64) -> u64) {
        let digest = blake3::hash(row);
        let (words, _) = digest.as_bytes().as_chunks::<8>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            *lane = change(*lane, u64::from_le_bytes(*word));
        }
    }

    pub(super) fn finish(&self) -> ChainHash {
        let mut hasher = blake3::Hasher::new();
        for number in self.lanes.iter().chain([&self.rows]) {
            hasher.update(&number.to_le_bytes());
        }
        finished(&hasher)
    }
}

pub(super) fn encoded(key: &[u8], number: u64, rest: &[u8]) -> Vec<u8> {
    [&(key.len() as u64).to_le_bytes(), key, &number.to_le_bytes(), rest].concat()
}

pub(super) fn finished(hasher: &blake3::Hasher) -> ChainHash {
    ChainHash(*hasher.finalize().as_bytes())
}
