//! The copy of the source tree that mutants are applied to.
//!
//! Files keep their time stamps as long as their contents stay the same, and get a new
//! one whenever those change, back to what they were included: cargo goes by them, so
//! nothing is built twice, and never is a mutant's build taken for the original's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::mutant::Mutant;

/// A copy of a workspace.
#[derive(Debug)]
pub struct Tree {
    original: PathBuf,
    copy: PathBuf,
}

impl Tree {
    /// Makes the copy the same as the workspace: all files that git tracks or would.
    ///
    /// # Errors
    /// When there is no git, or a file can't be copied.
    pub fn copy(original: &Path, copy: &Path) -> Result<Self> {
        let files = files(original)?;
        remove_others(copy, copy, &files)?;
        for file in &files {
            let to = copy.join(file);
            std::fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
            copy_if_changed(&original.join(file), &to)?;
        }
        Ok(Self { original: original.to_owned(), copy: copy.to_owned() })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.copy
    }

    /// Applies a mutant.
    ///
    /// # Errors
    /// When it does not fit the sources, or a file can't be written.
    pub fn apply(&self, mutant: &Mutant) -> Result<()> {
        for (file, text) in mutant.changed_files(&self.original)? {
            let path = self.copy.join(file);
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Takes a mutant back.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn restore(&self, mutant: &Mutant) -> Result<()> {
        mutant
            .files()
            .iter()
            .try_for_each(|file| copy_if_changed(&self.original.join(file), &self.copy.join(file)))
    }
}

fn files(workspace: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("git")
        .current_dir(workspace)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .stderr(Stdio::inherit())
        .output()
        .context("running git ls-files")?;
    ensure!(output.status.success(), "git ls-files failed in {}", workspace.display());
    let names = String::from_utf8(output.stdout).context("names of files are UTF-8")?;
    let files = names.split_terminator('\0').map(PathBuf::from);
    // What was deleted and not yet committed is still listed.
    Ok(files.filter(|file| workspace.join(file).is_file()).collect())
}

fn remove_others(copy: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let relative = path.strip_prefix(copy)?;
        let is_needed = files
            .range(relative.to_owned()..)
            .next()
            .is_some_and(|file| file.starts_with(relative));
        match (path.is_dir(), is_needed) {
            (true, true) => remove_others(copy, &path, files)?,
            (true, false) if relative == Path::new("target") => {}
            (true, false) => std::fs::remove_dir_all(&path)?,
            (false, true) => {}
            (false, false) => std::fs::remove_file(&path)?,
        }
    }
    Ok(())
}

fn copy_if_changed(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if std::fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Err(error) = std::fs::write(to, bytes) {
        bail!("writing {}: {error}", to.display());
    }
    // The mode too: scripts are run.
    std::fs::set_permissions(to, std::fs::metadata(from)?.permissions())?;
    Ok(())
}
