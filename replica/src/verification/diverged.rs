//! A state that is not what the log says is never served from again: a file beside it says
//! so, whatever starts on that folder.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokio_util::sync::CancellationToken;

/// The name of the file.
const FILE: &str = "diverged";
/// So much of it is read. Bytes.
const MOST_BYTES: usize = 4 << 10;

/// How a replica ends that is the odd one.
#[derive(Debug)]
pub(crate) struct Diverged {
    dir: PathBuf,
    ending: CancellationToken,
    why: OnceLock<String>,
}

impl Diverged {
    /// Of the state in a data directory; `ending` has the process end.
    pub(crate) fn new(dir: &Path, ending: CancellationToken) -> Self {
        Self { dir: dir.to_owned(), ending, why: OnceLock::new() }
    }

    /// Notes it for all later starts, and ends the process.
    pub(super) fn declare(&self, why: &str) {
        tracing::error!("this replica ends: {why}");
        if let Err(error) = note(&self.dir, why) {
            // It ends all the same, and is found out again after its next start.
            tracing::error!(%error, "that could not be noted for the next start");
        }
        // Whoever was first has said the same.
        let _ = self.why.set(why.to_owned());
        self.ending.cancel();
    }

    /// Why, once it is.
    pub(super) fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }
}

fn note(dir: &Path, why: &str) -> io::Result<()> {
    // All of it is there, or nothing.
    let beside = dir.join(format!("{FILE}.new"));
    let mut file = File::create(&beside)?;
    file.write_all(why.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

/// Why the state in a data directory must not be served from, where it was found to be another
/// one than a majority's.
///
/// # Errors
/// When it cannot be read whether it was.
pub fn found(dir: &Path) -> io::Result<Option<String>> {
    match fs::read(dir.join(FILE)) {
        Ok(why) => {
            Ok(Some(String::from_utf8_lossy(&why[..why.len().min(MOST_BYTES)]).into_owned()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_declared_is_found_by_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let ending = CancellationToken::new();
        let diverged = Diverged::new(dir.path(), ending.clone());
        assert_eq!((found(dir.path()).unwrap(), diverged.why()), (None, None));
        diverged.declare("keys differ");
        assert_eq!(found(dir.path()).unwrap().as_deref(), Some("keys differ"));
        assert_eq!((diverged.why(), ending.is_cancelled()), (Some("keys differ"), true));
    }
}
