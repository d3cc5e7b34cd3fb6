//! A file that is not whole yet, and what it is a part of.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use client::Download;
use replica::snapshot::file::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// So much is read at once. Bytes.
const PIECE: usize = 64 << 10;

/// Which snapshot something is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Source {
    pub(super) etag: String,
    pub(super) revision: u64,
    pub(super) bytes: u64,
    /// Of all of it, in hexadecimal.
    pub(super) sha256: String,
}

impl Source {
    pub(super) fn of(download: &Download) -> Self {
        let &Download { revision, bytes, sha256, .. } = download;
        Self { etag: download.etag.clone(), revision, bytes, sha256: hex(&sha256) }
    }

    /// Holds what came against the digest that the replica said.
    pub(super) fn check(&self, digest: &[u8; 32]) -> anyhow::Result<()> {
        let found = hex(digest);
        ensure!(
            found == self.sha256,
            "what came is damaged: its digest is sha-256 {found}, and the replica said {}",
            self.sha256
        );
        Ok(())
    }
}

/// `FILE.part`, and `FILE.part.json` beside it.
#[derive(Debug)]
pub(super) struct PartFile {
    path: PathBuf,
    about: PathBuf,
    file: File,
    source: Option<Source>,
    bytes: u64,
}

impl PartFile {
    /// The part of a file: what is left of a command that was cut off, or an empty one.
    pub(super) fn open(of: &Path) -> anyhow::Result<Self> {
        let (path, about) = (beside(of, ".part"), beside(of, ".part.json"));
        let opened = OpenOptions::new().append(true).read(true).create(true).open(&path);
        let file = opened.with_context(|| format!("cannot write {}", path.display()))?;
        let locked = file.try_lock();
        locked.with_context(|| format!("another backup writes {}", path.display()))?;
        // Of what cannot be read nothing is known, and it is begun anew.
        let source: Option<Source> =
            fs::read(&about).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let bytes = file.metadata()?.len();
        let source = source.filter(|source| bytes <= source.bytes);
        let mut part = Self { path, about, file, source, bytes };
        if part.source.is_none() {
            part.cut(0)?;
        }
        Ok(part)
    }

    pub(super) fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        self.bytes
    }

    pub(super) fn is_whole(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.bytes == self.bytes)
    }

    /// What comes now is of this snapshot, from this byte on.
    pub(super) fn begin(&mut self, source: &Source, from: u64) -> anyhow::Result<()> {
        let is_rest = self.source.as_ref() == Some(source) && from == self.bytes;
        ensure!(is_rest || from == 0, "what comes begins at byte {from}, not at {}", self.bytes);
        if from != self.bytes {
            self.cut(0)?;
        }
        if self.source.as_ref() != Some(source) {
            let written = fs::write(&self.about, serde_json::to_vec(source)?);
            written.with_context(|| format!("cannot write {}", self.about.display()))?;
            self.source = Some(source.clone());
        }
        Ok(())
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = self.file.write_all(bytes);
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn cut(&mut self, to: u64) -> anyhow::Result<()> {
        let cut = self.file.set_len(to);
        cut.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.bytes = to;
        Ok(())
    }

    /// Makes the file of it, durably, once its digest is right. A damaged one is removed:
    /// nothing can be gone on with.
    pub(super) fn finish(self, file: &Path) -> anyhow::Result<Source> {
        let source = self.source.clone().context("nothing came")?;
        let checked = digest_of(&self.path).map_err(Into::into).and_then(|it| source.check(&it));
        if checked.is_err() {
            self.remove();
        }
        checked?;
        let finish = || -> io::Result<()> {
            self.file.sync_all()?;
            fs::rename(&self.path, file)?;
            let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
        };
        finish().with_context(|| format!("cannot make {}", file.display()))?;
        self.remove();
        Ok(source)
    }

    /// What is not there any more need not be removed.
    fn remove(&self) {
        for path in [&self.about, &self.path] {
            let _gone = fs::remove_file(path);
        }
    }
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn digest_of(path: &Path) -> io::Result<[u8; 32]> {
    let (mut file, mut hasher) = (File::open(path)?, Sha256::new());
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(etag: &str, content: &[u8]) -> Source {
        let digest: [u8; 32] = Sha256::digest(content).into();
        Source {
            etag: etag.to_owned(),
            revision: 7,
            bytes: content.len() as u64,
            sha256: hex(&digest),
        }
    }

    #[test]
    fn a_part_is_gone_on_with_and_becomes_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("backup");
        let it = source("\"a.1\"", b"hello world");
        let mut part = PartFile::open(&file).unwrap();
        part.begin(&it, 0).unwrap();
        part.write(b"hello ").unwrap();
        let second = PartFile::open(&file).unwrap_err();
        assert!(second.to_string().starts_with("another backup writes"), "{second}");
        drop(part);
        let mut part = PartFile::open(&file).unwrap();
        assert_eq!((part.len(), part.source(), part.is_whole()), (6, Some(&it), false));
        part.begin(&it, 6).unwrap();
        part.write(b"world").unwrap();
        assert!(part.is_whole());
        assert_eq!(part.finish(&file).unwrap(), it);
        assert_eq!(fs::read(&file).unwrap(), b"hello world");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn a_part_of_another_snapshot_is_begun_anew() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("backup");
        let mut part = PartFile::open(&file).unwrap();
        part.begin(&source("\"a.1\"", b"hello world"), 0).unwrap();
        part.write(b"hello ").unwrap();
        let other = source("\"b.2\"", b"other");
        assert!(part.begin(&other, 6).is_err(), "the rest of another one is none of this");
        part.begin(&other, 0).unwrap();
        part.write(b"other").unwrap();
        part.finish(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"other");
    }

    #[test]
    fn what_is_damaged_never_becomes_the_file() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("backup");
        let mut part = PartFile::open(&file).unwrap();
        part.begin(&source("\"a.1\"", b"hello"), 0).unwrap();
        part.write(b"hellp").unwrap();
        let error = part.finish(&file).unwrap_err().to_string();
        assert!(error.contains("what came is damaged"), "{error}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn a_part_of_which_nothing_is_known_is_begun_anew() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("backup");
        for about in ["", "{}", "no JSON"] {
            fs::write(beside(&file, ".part"), "rubbish").unwrap();
            fs::write(beside(&file, ".part.json"), about).unwrap();
            let part = PartFile::open(&file).unwrap();
            assert_eq!((part.len(), part.source()), (0, None), "{about:?}");
        }
    }
}
