//! What happened, in order: always as a running digest, and as text when somebody wants
//! to read it.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// The longest line.
const LINE_BYTES: usize = 600;

/// The record of a run.
#[derive(Debug, Default)]
pub struct Trace {
    digest: u64,
    lines: u64,
    text: Option<String>,
}

impl Trace {
    /// A trace that keeps its text.
    #[must_use]
    pub fn with_text() -> Self {
        Self { text: Some(String::new()), ..Self::default() }
    }

    /// Whether text is kept, so that none need be made otherwise.
    #[must_use]
    pub fn is_text_kept(&self) -> bool {
        self.text.is_some()
    }

    /// Notes an event by its time and two numbers that identify it.
    pub fn mark(&mut self, now: Duration, what: u64, detail: u64) {
        let time = u64::try_from(now.as_nanos()).expect("simulated times are below 500 years");
        for number in [time, what, detail] {
            // FNV-1a's step, a word at a time: any change of order or content changes all
            // that follows.
            self.digest =
                (self.digest ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        self.lines += 1;
    }

    /// Notes a line of text, if any is kept. The end of a very long one is left out:
    /// values are long and say little.
    pub fn line(&mut self, now: Duration, line: fmt::Arguments<'_>) {
        if let Some(text) = &mut self.text {
            let start = text.len();
            write!(text, "{:>13.6} {line}", now.as_secs_f64())
                .expect("writing into memory does not fail");
            if text.len() - start > LINE_BYTES {
                text.truncate(text.floor_char_boundary(start + LINE_BYTES));
                text.push('…');
            }
            text.push('\n');
        }
    }

    /// The digest of everything so far.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many events were noted.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.lines
    }

    /// The text, if any was kept.
    #[must_use]
    pub fn into_text(self) -> Option<String> {
        self.text
    }
}
