//! What is kept of history, and of the log.

use std::time::Duration;

use clap::value_parser;

use super::HOUR_MS;
use crate::replica::config::Retention;

/// What is kept of history: the bound that keeps least counts.
#[derive(Clone, Debug, clap::Args)]
pub struct RetentionArgs {
    /// Revisions of history kept before the present one; 0 keeps all. What the primary was
    /// told counts
    #[arg(
        long,
        env = "SYNOD_RETAIN_REVISIONS",
        value_name = "N",
        default_value = "1000000",
        value_parser = value_parser!(u64).range(..=i64::MAX.cast_unsigned()),
    )]
    pub retain_revisions: u64,

    /// Time for which history is kept at most, such as 500ms, 30s, 90m, 24h or 7d; 0 keeps
    /// it for as long as --retain-revisions does. What the primary was told counts
    #[arg(
        long,
        env = "SYNOD_RETAIN",
        value_name = "DURATION",
        default_value = "0",
        value_parser = duration,
    )]
    pub retain: Duration,

    /// Bytes of history kept whatever else there is; beyond them the oldest goes until it takes
    /// no more than a third of the database. 0 keeps all that --retain-revisions does. What the
    /// primary was told counts
    #[arg(
        long,
        env = "SYNOD_RETAIN_BYTES",
        value_name = "BYTES",
        default_value = "1073741824",
        value_parser = value_parser!(u64).range(..=i64::MAX.cast_unsigned()),
    )]
    pub retain_bytes: u64,

    /// Slots of the log kept below what all replicas of the view have durably; 0 keeps all
    /// that --retain-revisions does. A replica that lacks what is not kept begins with the
    /// state of another one
    #[arg(
        long,
        env = "SYNOD_RETAIN_LOG",
        value_name = "SLOTS",
        default_value = "200000",
        value_parser = value_parser!(u64).range(..=i64::MAX.cast_unsigned()),
    )]
    pub retain_log: u64,
}

impl RetentionArgs {
    /// The same, for the core.
    pub(super) fn config(&self) -> Retention {
        Retention {
            revisions: (self.retain_revisions > 0).then_some(self.retain_revisions),
            time: (!self.retain.is_zero()).then_some(self.retain),
            bytes: (self.retain_bytes > 0).then_some(self.retain_bytes),
        }
    }

    /// How many slots of the log are kept, where not all are.
    pub(super) fn slots(&self) -> Option<u64> {
        (self.retain_log > 0).then_some(self.retain_log)
    }
}

/// Reads a time, which may be none.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", HOUR_MS), ("d", 24 * HOUR_MS)];
    const MOST_MS: u64 = 3_650 * 24 * HOUR_MS;
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let wanted = || "a number and ms, s, m, h or d, up to 3650d".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..]);
    let ms = unit.and_then(|(_, ms)| digits.parse::<u64>().ok()?.checked_mul(*ms));
    ms.filter(|ms| *ms <= MOST_MS && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .map(Duration::from_millis)
        .ok_or_else(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_keep_history_has_a_unit_or_is_none() {
        let read = |text| duration(text).ok().map(|time| time.as_millis());
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("500ms"), Some(500));
        assert_eq!(read("90m"), Some(90 * 60_000));
        assert_eq!(read("7d"), Some(7 * 86_400_000));
        for wrong in [
            "",
            "7",
            "d",
            "-1s",
            "+1s",
            "1.5h",
            "1 s",
            "1w",
            "3651d",
            "1S",
            "99999999999999999999s",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
