//! Which mutants a change concerns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::mutant::Mutant;

/// The files that differ from those of a commit, those that are not committed yet
/// included; from the top of the workspace.
///
/// # Errors
/// When git does not know the commit.
pub fn files_changed_since(workspace: &Path, base: &str) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("git")
        .current_dir(workspace)
        .args(["diff", "--name-only", "-z", "--merge-base", base, "--"])
        .stderr(Stdio::inherit())
        .output()
        .context("running git diff")?;
    ensure!(output.status.success(), "git knows no difference to {base}");
    let names = String::from_utf8(output.stdout).context("names of files are UTF-8")?;
    Ok(names.split_terminator('\0').map(PathBuf::from).collect())
}

/// Whether a mutant changes one of these files.
#[must_use]
pub fn concerns(mutant: &Mutant, changed: &BTreeSet<PathBuf>) -> bool {
    mutant.edits.iter().any(|edit| changed.contains(&edit.file))
}
