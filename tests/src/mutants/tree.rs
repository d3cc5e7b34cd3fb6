//! The source tree that mutants are applied to: a copy, or a checkout itself.
//!
//! Files of a copy keep their time stamps as long as their contents stay the same, and get a new
//! one whenever those change, back to what they were included: cargo goes by them, so
//! nothing is built twice, and never is a mutant's build taken for the original's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use super::mutant::Mutant;

/// A workspace that may be changed.
#[derive(Debug)]
pub struct Tree {
    folder: PathBuf,
    /// What files held before a mutant was applied.
    before: Vec<(PathBuf, String)>,
}

impl Tree {
    /// Makes a copy the same as the workspace: all files that git tracks or would.
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
        Ok(Self { folder: copy.to_owned(), before: Vec::new() })
    }

    /// The workspace itself: what ends this process without warning leaves a mutant in it,
    /// so git must be able to take that back.
    ///
    /// # Errors
    /// When there is no git, or something is not committed.
    pub fn here(workspace: &Path) -> Result<Self> {
        let changed = git(workspace, &["status", "--porcelain", "--untracked-files=no"])?;
        ensure!(changed.is_empty(), "mutants want a checkout without changes:\n{changed}");
        Ok(Self { folder: workspace.to_owned(), before: Vec::new() })
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Applies a mutant, where none is.
    ///
    /// # Errors
    /// When it does not fit the sources, or a file can't be written.
    pub fn apply(&mut self, mutant: &Mutant) -> Result<()> {
        for (file, text) in mutant.changed_files(&self.folder)? {
            let path = self.folder.join(file);
            self.before.push((path.clone(), std::fs::read_to_string(&path)?));
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Takes the mutant back.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn restore(&mut self) -> Result<()> {
        self.before.drain(..).try_for_each(|(path, text)| {
            std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
        })
    }
}

/// What git says of the workspace.
pub(super) fn git(workspace: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(workspace)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("running git")?;
    ensure!(output.status.success(), "git {arguments:?} failed in {}", workspace.display());
    String::from_utf8(output.stdout).context("names of files are UTF-8")
}

fn files(workspace: &Path) -> Result<BTreeSet<PathBuf>> {
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let names = git(workspace, &listed)?;
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
