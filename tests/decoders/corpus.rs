//! The committed corpus, `fuzz/corpus/<decoder>/…`.

use std::fs;
use std::path::{Path, PathBuf};

use tests::decoders::Decoder;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// The inputs of a decoder, in order of their files' names.
pub(crate) fn of(decoder: &Decoder) -> Vec<Vec<u8>> {
    let folder = fuzz().join("corpus").join(decoder.name);
    names(&folder).into_iter().map(|name| fs::read(folder.join(name)).unwrap()).collect()
}

/// Adds an input, unless it is there under any name.
pub(crate) fn add(decoder: &Decoder, name: &str, bytes: &[u8]) {
    let folder = fuzz().join("corpus").join(decoder.name);
    fs::create_dir_all(&folder).unwrap();
    if !of(decoder).iter().any(|known| known == bytes) {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// The decoders that have one.
pub(crate) fn folders() -> Vec<String> {
    names(&fuzz().join("corpus"))
}

/// The decoders that have a fuzz target.
pub(crate) fn targets() -> Vec<String> {
    names(&fuzz().join("targets"))
        .into_iter()
        .map(|name| name.strip_suffix(".rs").unwrap().to_owned())
        .collect()
}

/// The fuzz targets that are built.
pub(crate) fn declared() -> Vec<String> {
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let paths = manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/"));
    let mut names: Vec<String> =
        paths.map(|path| path.strip_suffix(".rs\"").unwrap().to_owned()).collect();
    names.sort_unstable();
    names
}
