//! How much memory a decoder takes: measured on the whole process, so one decoder runs at
//! a time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use peak_alloc::PeakAlloc;
use tests::decoders::Decoder;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The bytes of memory that a byte of input may take at most, with everything that the
/// checks do: a record of two bytes in a log is 56 in memory, and a list that grows is
/// copied into one of twice the room.
const FACTOR: usize = 80;

/// What a decoder takes for any input, in bytes: less than a single element that an
/// announced length would have set aside for.
const FIXED: usize = 1 << 20;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Nothing else runs that takes memory.
pub(crate) struct Alone(
    #[expect(dead_code, reason = "held until it is dropped")] MutexGuard<'static, ()>,
);

impl Alone {
    pub(crate) fn wait() -> Self {
        Self(ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs a decoder on an input.
    pub(crate) fn examine(&self, decoder: &Decoder, bytes: &[u8]) {
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        let outcome = catch_unwind(AssertUnwindSafe(|| (decoder.decode)(bytes)));
        let taken = HEAP.peak_usage().saturating_sub(before);
        if outcome.is_err() {
            // What it says of itself has been printed.
            let shown = bytes[..bytes.len().min(2_000)].escape_ascii();
            panic!("{} panicked over {} bytes: b\"{shown}\"", decoder.name, bytes.len());
        }
        let most = FIXED + FACTOR * bytes.len();
        let shown = bytes[..bytes.len().min(200)].escape_ascii();
        assert!(
            taken <= most,
            "{} took {taken} bytes of memory over {} bytes: b\"{shown}\"",
            decoder.name,
            bytes.len()
        );
    }
}
