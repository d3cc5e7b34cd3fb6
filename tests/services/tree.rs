//! A folder of thousands of files, such as people keep source in, goes in and comes out
//! byte for byte, while the primary and the leading coordinator die.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tests::harness::cluster::{Cluster, Size, until_reached};

use crate::synod;

/// Enough to take several seconds.
const FILES: usize = 4_000;
/// Most files have fewer bytes than this, and one in [`LARGE`] up to sixteen times as many.
const USUAL_BYTES: usize = 12 << 10;
const LARGE: usize = 50;
/// The default limit on a value, in bytes.
const MAX_VALUE: usize = 1 << 20;
/// Names of folders: what has to be encoded in a URL, and what looks as if it was.
const FOLDERS: [&str; 8] =
    ["src", "with space", "100%", "%2Fnot", "a+b", "what?", "#include", "gr\u{f6}\u{df}e"];

/// Writes that many files, among them the smallest and the largest that can be stored.
fn make_tree(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut files = BTreeMap::new();
    files.insert("sizes/nothing".into(), Vec::new());
    files.insert("sizes/the limit".into(), (0..MAX_VALUE).map(|at| (at % 251) as u8).collect());
    for number in files.len()..FILES {
        let folders = (0..random.random_range(1..4)).map(|_| FOLDERS[random.random_range(0..8)]);
        let mut path: PathBuf = folders.collect();
        path.push(format!("file-{number}.h"));
        let most = if number % LARGE == 0 { 16 * USUAL_BYTES } else { USUAL_BYTES };
        let mut bytes = vec![0; random.random_range(1..most)];
        random.fill_bytes(&mut bytes);
        files.insert(path, bytes);
    }
    for (path, bytes) in &files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        fs::write(path, bytes)?;
    }
    Ok(files)
}

fn files_below(root: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.insert(entry.path().strip_prefix(root)?.to_owned(), fs::read(entry.path())?);
            }
        }
    }
    Ok(found)
}

async fn synod_verb(front: &str, args: &[&str]) -> Result<std::process::Output> {
    let output = tokio::process::Command::new(synod())
        .args(args)
        .env("SYNOD_URL", front)
        .stdin(Stdio::null())
        .output()
        .await
        .context("running the synod command")?;
    ensure!(
        output.status.success(),
        "synod {args:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_tree_of_files_survives_import_failover_and_export() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let source = scratch.path().join("tree");
    let expected = make_tree(&source)?;
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let front = cluster.front().to_owned();

    let source = source.to_str().context("a UTF-8 path")?.to_owned();
    let import =
        tokio::spawn(
            async move { synod_verb(&front, &["import", &source, "--prefix", "tree/"]).await },
        );
    wait_for_keys(&cluster, expected.len() / 3).await?;
    let primary = cluster.primary().await?;
    cluster.service(&primary).kill()?;
    wait_for_keys(&cluster, expected.len() / 2).await?;
    ensure!(!import.is_finished(), "the import was over before the coordinator was killed");
    let leader = cluster.leader().await?;
    cluster.service(&leader).kill()?;
    import.await??;

    let target = scratch.path().join("exported");
    synod_verb(cluster.front(), &["export", "tree/", target.to_str().context("a UTF-8 path")?])
        .await?;
    let actual = files_below(&target)?;
    ensure!(
        actual.len() == expected.len(),
        "{} files came out of {}",
        actual.len(),
        expected.len()
    );
    for (path, bytes) in &expected {
        ensure!(actual.get(path) == Some(bytes), "{} differs", path.display());
    }
    cluster.service(&primary).start()?;
    cluster.service(&leader).start()?;
    cluster.wait_until_equal().await?;
    Ok(())
}

/// Waits until that many keys are written, as the revision of any replica tells.
async fn wait_for_keys(cluster: &Cluster, count: usize) -> Result<()> {
    until_reached("keys imported", count, async || {
        let mut highest = 0;
        for replica in cluster.names("replica") {
            if let Ok(status) = cluster.json(&replica, "/v1/status").await {
                highest = highest.max(status["revision"].as_u64().unwrap_or(0));
            }
        }
        usize::try_from(highest).unwrap_or(usize::MAX)
    })
    .await
}
