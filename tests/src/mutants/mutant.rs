//! A mutant as an entry of a file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::matching::{MatchError, replace_once};
use super::suite::Suite;

/// The folder of the entries, from the top of the workspace.
pub const FOLDER: &str = "tests/mutants";

/// A small wrong version of Synod.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mutant {
    /// What is wrong, in a few words. No other has this name.
    pub name: String,
    /// What is taken out, and what would go wrong.
    pub why: String,
    /// Each of these must fail.
    pub caught_by: Vec<Suite>,
    /// In these, the mutant is caught by their running out of time.
    #[serde(default)]
    pub hangs_in: Vec<Suite>,
    /// What it changes.
    #[serde(rename = "edit")]
    pub edits: Vec<Edit>,
}

/// One place that a mutant changes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// From the top of the workspace.
    pub file: PathBuf,
    /// What stands there exactly once.
    pub find: String,
    /// What takes its place.
    pub replace: String,
}

/// The file, as it is read: `[[mutant]]`, with `[[mutant.edit]]` below each.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    mutant: Vec<Mutant>,
}

/// Why there are no mutants, or one does not fit the sources.
#[derive(Debug, thiserror::Error)]
pub enum MutantError {
    /// A file or the folder can't be read.
    #[error("cannot read {path}: {cause}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// It holds no entries as this module has them.
    #[error("{path}: {cause}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: Box<toml::de::Error>,
    },
    /// An entry leaves something out.
    #[error("{mutant}: it does not say {what}")]
    Incomplete {
        /// Which.
        mutant: String,
        /// What is missing.
        what: &'static str,
    },
    /// Two mutants have one name.
    #[error("{0}: there are two mutants of this name")]
    Twice(String),
    /// An edit can't be made.
    #[error("{mutant}: in {file}: {cause}")]
    Match {
        /// Of which mutant.
        mutant: String,
        /// Where.
        file: PathBuf,
        /// Why.
        cause: MatchError,
    },
}

impl Mutant {
    /// All of them, in the order of the files that they change: one after another, they
    /// then leave most of a build in place.
    ///
    /// # Errors
    /// When a file has no entries, one is incomplete, or two have one name.
    pub fn all(workspace: &Path) -> Result<Vec<Self>, MutantError> {
        let folder = workspace.join(FOLDER);
        let mut mutants = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable(&folder))? {
            let path = entry.map_err(unreadable(&folder))?.path();
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            mutants.extend(Self::parse(&path, &text)?);
        }
        mutants.sort_by_cached_key(|mutant| (mutant.files(), mutant.name.clone()));
        let mut names = BTreeSet::new();
        match mutants.iter().find(|mutant| !names.insert(&mutant.name)) {
            Some(mutant) => Err(MutantError::Twice(mutant.name.clone())),
            None => Ok(mutants),
        }
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// When it has no entries, or one is incomplete.
    pub fn parse(path: &Path, text: &str) -> Result<Vec<Self>, MutantError> {
        let malformed =
            |cause| MutantError::Malformed { path: path.to_owned(), cause: Box::new(cause) };
        let mutants = toml::from_str::<Entries>(text).map_err(malformed)?.mutant;
        mutants.iter().try_for_each(Self::check_complete)?;
        Ok(mutants)
    }

    fn check_complete(&self) -> Result<(), MutantError> {
        let what = if self.name.is_empty() {
            "what it is called"
        } else if self.why.is_empty() {
            "what is taken out and what goes wrong then"
        } else if self.caught_by.is_empty() {
            "which suite catches it"
        } else if self.edits.is_empty() {
            "what it changes"
        } else {
            return Ok(());
        };
        Err(MutantError::Incomplete { mutant: self.name.clone(), what })
    }

    /// The files it changes, from the top of the workspace.
    #[must_use]
    pub fn files(&self) -> BTreeSet<PathBuf> {
        self.edits.iter().map(|edit| edit.file.clone()).collect()
    }

    /// The files it changes as they would be with it.
    ///
    /// # Errors
    /// When a file can't be read, or what an edit is to find is not there exactly once.
    pub fn changed_files(&self, workspace: &Path) -> Result<Vec<(PathBuf, String)>, MutantError> {
        let changed = |file: PathBuf| {
            let path = workspace.join(&file);
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            let edits = self.edits.iter().filter(|edit| edit.file == file);
            let places = edits.map(|edit| (edit.find.as_str(), edit.replace.as_str()));
            match replace_once(&text, places) {
                Ok(text) => Ok((file, text)),
                Err(cause) => Err(MutantError::Match { mutant: self.name.clone(), file, cause }),
            }
        };
        self.files().into_iter().map(changed).collect()
    }
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> MutantError {
    move |cause| MutantError::Unreadable { path: path.to_owned(), cause }
}
