//! What import and export share: how many files at a time, how long each is tried,
//! progress on a terminal and the summary.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::Error;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::console;
use crate::output::{self, Format, Output};
use crate::seconds;

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(crate) struct Transfer {
    /// Files under way at the same time
    #[arg(
        long,
        env = "SYNOD_PARALLEL",
        value_name = "N",
        default_value = "16",
        value_parser = parallel,
    )]
    parallel: NonZeroUsize,
    /// How long one file is tried while the cluster does not answer
    #[arg(
        long,
        env = "SYNOD_RETRY_SECONDS",
        value_name = "N",
        default_value_t = 60,
        value_parser = seconds::whole(0, u32::MAX),
    )]
    retry_seconds: u32,
}

/// More than this only queues in the services, which refuse what they cannot take.
const MAX_PARALLEL: usize = 256;

fn parallel(text: &str) -> Result<NonZeroUsize, String> {
    let number: NonZeroUsize = text.parse().map_err(|error| format!("{error}"))?;
    if number.get() <= MAX_PARALLEL { Ok(number) } else { Err(format!("at most {MAX_PARALLEL}")) }
}

impl Transfer {
    pub(crate) fn parallel(&self) -> usize {
        self.parallel.get()
    }

    pub(crate) fn patience(&self) -> Duration {
        Duration::from_secs(self.retry_seconds.into())
    }
}

/// The cluster did not answer for the whole patience: there is no point in going on.
#[derive(Debug)]
pub(crate) struct Gone {
    /// What was tried last.
    pub(crate) what: String,
    pub(crate) error: Error,
}

/// Whether that is what happened, and not that one request was refused.
pub(crate) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. } | Error::UnknownOutcome { .. })
}

/// A bar that counts bytes.
pub(crate) fn bar_of_bytes(bytes: u64) -> ProgressBar {
    styled(ProgressBar::new(bytes), "{bar:32} {bytes}/{total_bytes} {msg} {elapsed}, {eta} left")
}

/// A bar for an amount that is not known before the end.
pub(crate) fn bar_of_unknown() -> ProgressBar {
    styled(ProgressBar::no_length(), "{spinner} {bytes} {msg} {elapsed}")
}

/// What is waited for, where nothing can be counted.
pub(crate) fn spinner() -> ProgressBar {
    let bar = styled(ProgressBar::new_spinner(), "{spinner} {wide_msg} {elapsed}");
    bar.enable_steady_tick(TURN);
    bar
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    // On anything but a terminal a bar draws nothing.
    bar.with_style(ProgressStyle::with_template(template).expect("the template is well-formed"))
}

/// Counts what was done, on one thread.
pub(crate) struct Tally {
    verb: &'static str,
    bar: ProgressBar,
    started: Instant,
    files: Cell<u64>,
    bytes: Cell<u64>,
    failed: Cell<u64>,
    notes: RefCell<Vec<String>>,
}

/// What was done, for scripts.
#[derive(Debug, PartialEq, Serialize)]
struct Report {
    /// Those that are where they belong …
    files: u64,
    bytes: u64,
    /// … and those that are not.
    failed: u64,
    seconds: f64,
    notes: Vec<String>,
}

impl Tally {
    pub(crate) fn new(verb: &'static str, bar: ProgressBar) -> Self {
        let (files, bytes, failed) = Default::default();
        Self { verb, bar, started: Instant::now(), files, bytes, failed, notes: RefCell::default() }
    }

    /// A file is where it belongs.
    pub(crate) fn done(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).expect("a length fits 64 bits");
        self.files.set(self.files.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
        self.bar.inc(bytes);
        self.bar.set_message(console::counted(self.files.get(), "file"));
    }

    /// A file is not, and will not be.
    pub(crate) fn failed(&self, reason: impl Display) {
        self.failed.set(self.failed.get() + 1);
        self.bar.suspend(|| console::warn(format_args!("synod: {reason}")));
    }

    /// Something the summary is to mention.
    pub(crate) fn note(&self, note: String) {
        self.notes.borrow_mut().push(note);
    }

    /// Says what was done; success means all of it.
    pub(crate) fn finish(self, end: Result<(), Gone>, output: &Output) -> anyhow::Result<ExitCode> {
        self.bar.finish_and_clear();
        let elapsed = self.started.elapsed();
        match output.format() {
            Format::Json => output::json(&self.report(elapsed))?,
            Format::Plain | Format::Table => console::say(self.summary(elapsed)),
        }
        if let Err(Gone { what, error }) = &end {
            console::warn(format_args!("synod: gave up at {what}: {error}"));
        }
        let is_all = end.is_ok() && self.failed.get() == 0;
        Ok(if is_all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn report(&self, elapsed: Duration) -> Report {
        Report {
            files: self.files.get(),
            bytes: self.bytes.get(),
            failed: self.failed.get(),
            seconds: elapsed.as_secs_f64(),
            notes: self.notes.borrow().clone(),
        }
    }

    fn summary(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64();
        let (files, bytes) = (
            console::counted(self.files.get(), "file"),
            console::counted(self.bytes.get(), "byte"),
        );
        let mut line = format!("{} {files}, {bytes} in {seconds:.1} s", self.verb);
        for note in self.notes.borrow().iter() {
            line.push_str("; ");
            line.push_str(note);
        }
        if self.failed.get() > 0 {
            line.push_str(&format!("; {} failed", self.failed.get()));
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_summary_tells_files_bytes_seconds_and_what_went_wrong() {
        let tally = Tally::new("imported", ProgressBar::hidden());
        tally.done(1_000);
        tally.done(234);
        assert_eq!(
            tally.summary(Duration::from_millis(1_540)),
            "imported 2 files, 1,234 bytes in 1.5 s"
        );
        tally.note(String::from("3 symbolic links skipped"));
        tally.failed("a: too large");
        let line = "imported 2 files, 1,234 bytes in 1.5 s; 3 symbolic links skipped; 1 failed";
        assert_eq!(tally.summary(Duration::from_millis(1_540)), line);
        let expected = json!({
            "files": 2, "bytes": 1_234, "failed": 1, "seconds": 1.5,
            "notes": ["3 symbolic links skipped"],
        });
        let report = tally.report(Duration::from_millis(1_500));
        assert_eq!(serde_json::to_value(&report).unwrap(), expected);
        assert_eq!(tally.finish(Ok(()), &Output::default()).unwrap(), ExitCode::FAILURE);
    }

    #[test]
    fn a_bound_on_parallelism_is_kept() {
        assert!(parallel("1").is_ok() && parallel("256").is_ok());
        assert!(parallel("0").is_err() && parallel("257").is_err() && parallel("x").is_err());
    }
}
