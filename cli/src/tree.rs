//! Files and keys: which key a file gets, and which file a key may become.
//!
//! A key is the prefix followed by the file's path relative to the folder, joined as they
//! are: `--prefix inc/` and `sys/time.h` make `inc/sys/time.h`. The way back must never
//! leave the folder, whatever keys others have written.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// A regular file to import.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) key: String,
    pub(crate) bytes: u64,
}

/// What a walk over a folder found.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    /// In the order of their paths.
    pub(crate) files: Vec<SourceFile>,
    /// Symbolic links; they are not followed, and a key cannot be one.
    pub(crate) symlinks: u64,
    /// Sockets, pipes and devices.
    pub(crate) special: u64,
    /// What cannot become a key, with the reason, in the order it was found.
    pub(crate) refused: Vec<String>,
}

/// Finds all regular files below the folder.
///
/// # Errors
/// When the folder itself cannot be read. What fails further down is in
/// [`Walk::refused`].
pub(crate) fn walk(folder: &Path, prefix: &str) -> io::Result<Walk> {
    let mut found = Walk::default();
    let mut folders = vec![folder.to_path_buf()];
    let mut at_top = true;
    while let Some(current) = folders.pop() {
        match fs::read_dir(&current).and_then(Iterator::collect::<io::Result<Vec<fs::DirEntry>>>) {
            Ok(entries) => {
                entries.iter().for_each(|entry| found.take(folder, prefix, entry, &mut folders))
            }
            Err(error) if at_top => return Err(error),
            Err(error) => found.refused.push(format!("{}: {error}", current.display())),
        }
        at_top = false;
    }
    found.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

impl Walk {
    fn take(
        &mut self,
        folder: &Path,
        prefix: &str,
        entry: &fs::DirEntry,
        folders: &mut Vec<PathBuf>,
    ) {
        let path = entry.path();
        // `symlink_metadata`, as what a link leads to is not wanted.
        let metadata = match fs::symlink_metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return self.refused.push(format!("{}: {error}", path.display())),
        };
        if metadata.is_dir() {
            folders.push(path);
        } else if metadata.is_symlink() {
            self.symlinks += 1;
        } else if metadata.is_file() {
            match key_of(folder, &path, prefix) {
                Ok(key) => self.files.push(SourceFile { path, key, bytes: metadata.len() }),
                Err(reason) => self.refused.push(format!("{}: {reason}", path.display())),
            }
        } else {
            self.special += 1;
        }
    }
}

/// The key of a file in the folder.
fn key_of(folder: &Path, path: &Path, prefix: &str) -> Result<String, String> {
    let relative = path.strip_prefix(folder).map_err(|error| error.to_string())?;
    let relative = relative.to_str().ok_or("its name is not UTF-8, and keys are")?;
    Ok(format!("{prefix}{relative}"))
}

/// Why a key cannot become a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not begin with the prefix.
    #[error("it does not begin with the prefix {0:?}")]
    OtherPrefix(String),
    /// Nothing follows the prefix.
    #[error("nothing follows the prefix, so the file would have no name")]
    NoName,
    /// It would be an absolute path.
    #[error("it would be an absolute path; end the prefix with the slash to leave it out")]
    Absolute,
    /// A part of the path is empty.
    #[error("a part of the path is empty (two slashes in a row, or one at the end)")]
    EmptyPart,
    /// A part is `.` or `..`.
    #[error("{0:?} is a step in the tree, not a name")]
    Step(&'static str),
    /// No file name holds a NUL byte.
    #[error("a file name cannot hold a NUL byte")]
    Nul,
    /// Another key is the file that would be its folder.
    #[error("the key {0:?} is a file, and cannot be a folder too")]
    BelowFile(String),
}

/// The path, relative to the folder, of the file that a key becomes.
///
/// # Errors
/// When it cannot be the name of a file below the folder.
///
/// # Panics
/// When it would leave the folder all the same: a defect.
pub fn relative_path(prefix: &str, key: &str) -> Result<PathBuf, Refusal> {
    let rest = key.strip_prefix(prefix).ok_or_else(|| Refusal::OtherPrefix(prefix.to_owned()))?;
    if rest.is_empty() {
        return Err(Refusal::NoName);
    }
    if rest.starts_with('/') {
        return Err(Refusal::Absolute);
    }
    if rest.contains('\0') {
        return Err(Refusal::Nul);
    }
    for part in rest.split('/') {
        match part {
            "" => return Err(Refusal::EmptyPart),
            "." => return Err(Refusal::Step(".")),
            ".." => return Err(Refusal::Step("..")),
            _name => {}
        }
    }
    let path = PathBuf::from(rest);
    // Said twice on purpose: whatever the platform calls a path, it stays below the
    // folder.
    assert!(
        path.components().all(|part| matches!(part, Component::Normal(_))),
        "{path:?} would leave the folder"
    );
    Ok(path)
}

/// Remembers which keys became files, as a file cannot also be a folder. A key stands
/// before all that it is a prefix of, so in the order of a listing the shorter one
/// becomes the file.
#[derive(Debug, Default)]
pub struct Layout {
    files: BTreeSet<PathBuf>,
}

impl Layout {
    /// Finds the place of the next key.
    ///
    /// # Errors
    /// When it cannot become a file, or its folder is a file already.
    pub fn place(&mut self, prefix: &str, key: &str) -> Result<PathBuf, Refusal> {
        let path = relative_path(prefix, key)?;
        let taken = path.ancestors().skip(1).find(|ancestor| self.files.contains(*ancestor));
        if let Some(file) = taken {
            return Err(Refusal::BelowFile(format!("{prefix}{}", file.display())));
        }
        self.files.insert(path.clone());
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_becomes_the_path_after_its_prefix() {
        assert_eq!(relative_path("inc/", "inc/sys/time.h"), Ok(PathBuf::from("sys/time.h")));
        assert_eq!(relative_path("", "a"), Ok(PathBuf::from("a")));
        assert_eq!(relative_path("in", "inc/a"), Ok(PathBuf::from("c/a")));
        assert_eq!(
            relative_path("", "...hidden/..b/c\\d"),
            Ok(PathBuf::from("...hidden/..b/c\\d"))
        );
    }

    #[test]
    fn no_key_leads_out_of_the_folder() {
        assert_eq!(relative_path("", "/etc/passwd"), Err(Refusal::Absolute));
        assert_eq!(relative_path("p", "p/a"), Err(Refusal::Absolute));
        assert_eq!(relative_path("", "../a"), Err(Refusal::Step("..")));
        assert_eq!(relative_path("", "a/../../b"), Err(Refusal::Step("..")));
        assert_eq!(relative_path("", "a/.."), Err(Refusal::Step("..")));
        assert_eq!(relative_path("", "a/./b"), Err(Refusal::Step(".")));
        assert_eq!(relative_path("", "a//b"), Err(Refusal::EmptyPart));
        assert_eq!(relative_path("", "a/"), Err(Refusal::EmptyPart));
        assert_eq!(relative_path("", "a\0b"), Err(Refusal::Nul));
        assert_eq!(relative_path("p/", "p/"), Err(Refusal::NoName));
        assert_eq!(relative_path("p/", "q/a"), Err(Refusal::OtherPrefix("p/".into())));
    }

    #[test]
    fn a_key_below_a_file_is_refused_wherever_it_comes_in_the_listing() {
        let mut layout = Layout::default();
        assert_eq!(layout.place("p/", "p/a"), Ok(PathBuf::from("a")));
        assert_eq!(layout.place("p/", "p/a.b"), Ok(PathBuf::from("a.b")));
        assert_eq!(layout.place("p/", "p/a/b/c"), Err(Refusal::BelowFile("p/a".into())));
        assert_eq!(layout.place("p/", "p/b/c"), Ok(PathBuf::from("b/c")));
    }

    #[test]
    fn a_walk_finds_regular_files_and_counts_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("b/empty")).unwrap();
        fs::write(folder.path().join("b/two"), "22").unwrap();
        fs::write(folder.path().join("a one"), "1").unwrap();
        std::os::unix::fs::symlink("a one", folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("b/loop")).unwrap();
        let walk = walk(folder.path(), "p/").unwrap();
        let found: Vec<(&str, u64)> =
            walk.files.iter().map(|file| (file.key.as_str(), file.bytes)).collect();
        assert_eq!(found, [("p/a one", 1), ("p/b/two", 2)]);
        assert_eq!((walk.symlinks, walk.special, walk.refused.len()), (2, 0, 0));
    }

    #[test]
    fn a_name_that_is_not_utf8_is_refused_and_the_others_go_on() {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"bad\xff")), "").unwrap();
        fs::write(folder.path().join("good"), "").unwrap();
        let found = walk(folder.path(), "").unwrap();
        assert_eq!(found.files.len(), 1);
        assert!(found.refused[0].contains("not UTF-8"), "{:?}", found.refused);
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_an_error() {
        assert!(walk(Path::new("/nowhere/at/all"), "").is_err());
    }
}
