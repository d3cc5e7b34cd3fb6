//! What documents say of the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The sources in a folder and below, without what was built.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        let is_left_out = path.ends_with("target") || path.ends_with(".git");
        if entry?.is_dir() && !is_left_out {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The names in a document that look like a test's: of several words, in code.
fn tests_named(document: &str) -> BTreeSet<&str> {
    let is_name = |text: &&str| {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        text.matches('_').count() >= 4 && text.bytes().all(is_word) && !text.starts_with("synod_")
    };
    document.split('`').skip(1).step_by(2).filter(is_name).collect()
}

#[test]
fn every_test_that_security_md_names_is_there() -> Result<()> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("a workspace")?;
    let security = fs::read_to_string(top.join("SECURITY.md"))?;
    let named = tests_named(&security);
    ensure!(named.len() > 40, "only {} are found: {named:?}", named.len());
    let mut files = Vec::new();
    sources(top, &mut files)?;
    let texts = files.iter().map(fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let is_there = |name: &&str| texts.iter().any(|text| text.contains(&format!("fn {name}(")));
    let missing: Vec<&str> = named.into_iter().filter(|name| !is_there(name)).collect();
    ensure!(missing.is_empty(), "SECURITY.md names tests that are none: {missing:?}");
    Ok(())
}
