//! A mutant as a file: a header for people, then a diff.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::suite::{Suite, UnknownSuite};

/// The folder of the patches, from the top of the workspace.
pub const FOLDER: &str = "tests/mutants";

/// A small wrong version of Synod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// What is wrong, in a few words: the name of the file.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// What is taken out, and what would go wrong.
    pub about: String,
    /// Each of these must fail.
    pub caught_by: Vec<Suite>,
    /// In these, the mutant is caught by their running out of time.
    pub hangs_in: Vec<Suite>,
    /// The files it changes, from the top of the workspace.
    pub files: BTreeSet<PathBuf>,
}

/// Why a file is no mutant.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// The folder or the file can't be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The header says nothing of what is wrong.
    #[error("{0}: no sentence above the diff says what is taken out")]
    NoAbout(PathBuf),
    /// Nothing is to catch it.
    #[error("{0}: no line `Caught-by: SUITE[, SUITE…]` above the diff")]
    NoSuite(PathBuf),
    /// There is no such suite.
    #[error("{path}: {cause}")]
    Suite {
        /// Where.
        path: PathBuf,
        /// What it is called.
        cause: UnknownSuite,
    },
    /// It is no diff as `git diff` prints it.
    #[error("{0}: it changes no file (no line `+++ b/PATH`)")]
    NoDiff(PathBuf),
}

impl Mutant {
    /// All of them, in the order of the crates that they change: one after another, they
    /// then leave most of a build in place.
    ///
    /// # Errors
    /// When a file is no mutant.
    pub fn all(workspace: &Path) -> Result<Vec<Self>, PatchError> {
        let folder = workspace.join(FOLDER);
        let unreadable = |cause| PatchError::Unreadable { path: folder.clone(), cause };
        let mut mutants = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "patch") {
                mutants.push(Self::read(&path)?);
            }
        }
        mutants.sort_by(|one, other| (&one.files, &one.name).cmp(&(&other.files, &other.name)));
        Ok(mutants)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When the file is no mutant.
    pub fn read(path: &Path) -> Result<Self, PatchError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| PatchError::Unreadable { path: path.to_owned(), cause })?;
        Self::parse(path, &text)
    }

    /// Makes a mutant of a file's text.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(path: &Path, text: &str) -> Result<Self, PatchError> {
        let (header, diff) = text.split_at(text.find("diff --git ").unwrap_or(text.len()));
        let suites = |label: &str| {
            let named = header
                .lines()
                .filter_map(|line| line.strip_prefix(label))
                .flat_map(|names| names.split(','));
            named.map(|name| name.trim().parse()).collect::<Result<Vec<Suite>, UnknownSuite>>()
        };
        let unknown = |cause| PatchError::Suite { path: path.to_owned(), cause };
        let (caught_by, hangs_in) =
            (suites(CAUGHT_BY).map_err(unknown)?, suites(HANGS_IN).map_err(unknown)?);
        let is_about = |line: &&str| !line.starts_with(CAUGHT_BY) && !line.starts_with(HANGS_IN);
        let about = header
            .lines()
            .filter(is_about)
            .map(str::trim)
            .collect::<Vec<_>>()
            .join(" ")
            .trim()
            .to_owned();
        let files: BTreeSet<PathBuf> = diff
            .lines()
            .filter_map(|line| line.strip_prefix("+++ b/"))
            .map(PathBuf::from)
            .collect();
        if about.is_empty() {
            return Err(PatchError::NoAbout(path.to_owned()));
        }
        if caught_by.is_empty() {
            return Err(PatchError::NoSuite(path.to_owned()));
        }
        if files.is_empty() {
            return Err(PatchError::NoDiff(path.to_owned()));
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, path: path.to_owned(), about, caught_by, hangs_in, files })
    }
}

const CAUGHT_BY: &str = "Caught-by:";
const HANGS_IN: &str = "Hangs-in:";
