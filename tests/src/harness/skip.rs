//! Scenarios that a machine does not let run: said aloud, and an error where they must
//! run.

use std::io::Write as _;

use anyhow::{Result, bail};

/// Set where everything must run that can: a machine that is meant to have root, strace
/// and iproute2.
pub const MUST_RUN: &str = "SYNOD_FAULTS_MUST_RUN";

/// Set where old and new programs must be tried together: there must be an old one.
pub const UPGRADE_MUST_RUN: &str = "SYNOD_UPGRADE_MUST_RUN";

/// Says that a scenario cannot run here, and why.
///
/// # Errors
/// When [`MUST_RUN`] is set.
pub fn skipped(reason: &str) -> Result<()> {
    skipped_unless(MUST_RUN, reason)
}

/// Says that a scenario cannot run here, and why.
///
/// # Errors
/// When this variable of the environment is set.
pub fn skipped_unless(must_run: &str, reason: &str) -> Result<()> {
    if std::env::var_os(must_run).is_some_and(|value| !value.is_empty() && value != "0") {
        bail!("{must_run} is set, and yet a scenario cannot run: {reason}");
    }
    left_out(reason)
}

/// Says that a scenario is left out, wherever that is, and why.
///
/// # Errors
/// When nothing can be said.
pub fn left_out(reason: &str) -> Result<()> {
    // Not by `println!`: of a test that passes, nobody would see it.
    writeln!(std::io::stderr(), "SKIPPED: {reason}")?;
    Ok(())
}
