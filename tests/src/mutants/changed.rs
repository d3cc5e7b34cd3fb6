//! What a change is, and which mutants it concerns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::mutant::Mutant;
use super::tree::git;

/// The files that differ from those of a commit, those that are not committed yet
/// included; from the top of the workspace.
///
/// # Errors
/// When git does not know the commit.
pub fn files_changed_since(workspace: &Path, base: &str) -> Result<BTreeSet<PathBuf>> {
    let names = git(workspace, &["diff", "--name-only", "-z", "--merge-base", base, "--"])
        .with_context(|| format!("git knows no difference to {base}"))?;
    Ok(names.split_terminator('\0').map(PathBuf::from).collect())
}

/// The commit that is checked out.
///
/// # Errors
/// When there is none.
pub fn checked_out(workspace: &Path) -> Result<String> {
    Ok(git(workspace, &["rev-parse", "HEAD"])?.trim().to_owned())
}

/// Whether a mutant changes one of these files.
#[must_use]
pub fn concerns(mutant: &Mutant, changed: &BTreeSet<PathBuf>) -> bool {
    mutant.edits.iter().any(|edit| changed.contains(&edit.file))
}
