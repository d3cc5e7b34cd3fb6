//! Files that change, and certificates that end.
#![expect(clippy::disallowed_methods, reason = "a shell: it reads clocks and files")]

use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::load::now;
use super::{Files, Tls, TlsError};

/// How often it is looked whether a file has changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// A certificate that ends so soon is warned of, in seconds …
const WARN_BEFORE: i64 = 14 * 24 * 3_600;
/// … so often, …
const WARN_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// … and one that has ended is an error so often.
const ERROR_EVERY: Duration = Duration::from_secs(600);

/// By what a changed file is known: its time, length and inode, through links.
type Stamp = Vec<Option<(i64, i64, u64, u64)>>;

/// Reads the files again whenever one of them changes, and on SIGHUP, until `shutdown`; says
/// when a certificate is about to end.
///
/// # Errors
/// Where the process cannot listen for SIGHUP.
pub async fn keep_current(tls: Arc<Tls>, shutdown: CancellationToken) -> std::io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut endings) = (stamp(&tls.files), Endings::default());
    // What was wrong with files that are not taken yet.
    let mut refused: Option<String> = None;
    loop {
        let is_told = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            told = hangup.recv() => told.is_some(),
            _ = ticks.tick() => false,
        };
        // Taken before the files are read: what changes meanwhile is read once more.
        let found = stamp(&tls.files);
        // Those that were refused are tried again: a certificate may not have counted yet.
        if is_told || found != seen || refused.is_some() {
            seen = found;
            refused = say(&tls, tls.reload(), refused.filter(|_| !is_told));
        }
        endings.look(&tls.ends(), now());
    }
}

fn stamp(files: &Files) -> Stamp {
    let of = |path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.mtime(), file.mtime_nsec(), file.len(), file.ino()))
    };
    files.all().map(of).collect()
}

/// Says what came of it, a refusal once; and what was wrong.
fn say(tls: &Tls, reloaded: Result<(), TlsError>, said: Option<String>) -> Option<String> {
    let Err(error) = reloaded else {
        tracing::info!(ends = ?tls.ends(), "new certificates are used from now on");
        return None;
    };
    let error = error.to_string();
    if said.as_ref() != Some(&error) {
        // Of two files that are replaced one is the first.
        tracing::warn!("the former certificates stay in use: {error}");
    }
    Some(error)
}

/// What was said of certificates that end.
#[derive(Debug, Default)]
struct Endings(Option<(Stage, Instant)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Far,
    Soon,
    Over,
}

impl Stage {
    fn of(ends: i64, now: i64) -> Self {
        match ends - now {
            ..0 => Self::Over,
            0..WARN_BEFORE => Self::Soon,
            _ => Self::Far,
        }
    }
}

impl Endings {
    fn look(&mut self, ends: &[(&'static str, i64)], now: i64) {
        let first = ends.iter().min_by_key(|(_, ends)| *ends);
        let Some((what, ends)) = first else { return };
        let stage = Stage::of(*ends, now);
        let every = match stage {
            Stage::Far => {
                self.0 = None;
                return;
            }
            Stage::Soon => WARN_EVERY,
            Stage::Over => ERROR_EVERY,
        };
        if self.0.is_some_and(|(said, at)| said == stage && at.elapsed() < every) {
            return;
        }
        self.0 = Some((stage, Instant::now()));
        let hours = (ends - now).abs() / 3_600;
        if stage == Stage::Over {
            tracing::error!("the {what} of TLS ended {hours} hours ago: others refuse it");
        } else {
            tracing::warn!("the {what} of TLS ends in {hours} hours: renew it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_two_weeks_before_its_end_and_an_error_after() {
        assert_eq!(Stage::of(WARN_BEFORE, 0), Stage::Far);
        assert_eq!(Stage::of(WARN_BEFORE - 1, 0), Stage::Soon);
        assert_eq!(Stage::of(0, 0), Stage::Soon);
        assert_eq!(Stage::of(0, 1), Stage::Over);
    }

    #[test]
    fn what_is_said_is_said_again_only_once_it_changes() {
        let mut endings = Endings::default();
        endings.look(&[("certificate", 10), ("authority", WARN_BEFORE * 2)], 0);
        let (stage, at) = endings.0.unwrap();
        assert_eq!(stage, Stage::Soon);
        endings.look(&[("certificate", 10)], 1);
        assert_eq!(endings.0, Some((Stage::Soon, at)));
        endings.look(&[("certificate", 10)], 11);
        assert_eq!(endings.0.unwrap().0, Stage::Over);
        endings.look(&[("certificate", WARN_BEFORE * 2)], 11);
        assert_eq!(endings.0, None);
    }
}
