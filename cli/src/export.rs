//! `synod export`: every key with a prefix becomes a file, all as of one revision.
//!
//! The first page of the listing fixes the revision, and each value is read at that
//! revision, so that a folder holds one state of the store however long the export takes
//! and whatever is written meanwhile. A file appears whole or not at all: it is written
//! beside its place and renamed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use bytes::Bytes;
use clap::builder::BoolishValueParser;
use client::{Client, Page};
use futures::{TryStreamExt, stream};

use crate::endpoint::Endpoint;
use crate::output::Output;
use crate::transfer::{self, Gone, Tally, Transfer};
use crate::tree::Layout;

/// So many keys are listed at once: the default of the limit on a page.
const PAGE_ITEMS: u32 = 1_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Keys that begin with this; the rest of the key becomes the file's path
    prefix: String,
    /// The folder to write into; made where it is missing
    folder: PathBuf,
    /// Replace files that hold something else
    #[arg(long, env = "SYNOD_FORCE", value_parser = BoolishValueParser::new())]
    force: bool,
    #[command(flatten)]
    transfer: Transfer,
}

/// Writes all files; succeeds only if all are there.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    fs::create_dir_all(&args.folder)
        .with_context(|| format!("cannot make {}", args.folder.display()))?;
    let client = args.endpoint.client().with_timeout(args.transfer.patience());
    let tally = Tally::new("exported", transfer::bar_of_unknown());
    let end = export(&client, &args, &tally).await;
    tally.finish(end, &args.output)
}

async fn export(client: &Client, args: &Args, tally: &Tally) -> Result<(), Gone> {
    let mut layout = Layout::default();
    let mut cursor: Option<String> = None;
    loop {
        let mut list = client.list(&args.prefix).keys_only().limit(PAGE_ITEMS);
        if let Some(cursor) = &cursor {
            list = list.cursor(cursor);
        }
        let Page { items, revision, next } = list.await.map_err(|error| {
            let what = format!("listing the keys that begin with {:?}", args.prefix);
            Gone { what, error }
        })?;
        let placed =
            items.into_iter().filter_map(|item| match layout.place(&args.prefix, &item.key) {
                Ok(path) => Some(Ok((item.key, path))),
                Err(refusal) => {
                    tally.failed(format_args!("key {:?}: {refusal}", item.key));
                    None
                }
            });
        let fetch = |(key, path)| fetch(client, key, path, revision, args, tally);
        stream::iter(placed.collect::<Vec<_>>())
            .try_for_each_concurrent(args.transfer.parallel(), fetch)
            .await?;
        cursor = next;
        if cursor.is_none() {
            return Ok(());
        }
    }
}

async fn fetch(
    client: &Client,
    key: String,
    path: PathBuf,
    revision: u64,
    args: &Args,
    tally: &Tally,
) -> Result<(), Gone> {
    let value = match client.get(&key).revision(revision).await {
        Ok(item) => item.value.unwrap_or_default(),
        Err(error) if transfer::is_gone(&error) => {
            return Err(Gone { what: format!("key {key:?}"), error });
        }
        Err(error) => {
            tally.failed(format_args!("key {key:?}: {error}"));
            return Ok(());
        }
    };
    let (folder, length) = (args.folder.clone(), value.len());
    let overwrite = if args.force { Overwrite::Always } else { Overwrite::OnlyTheSame };
    let written =
        tokio::task::spawn_blocking(move || write_file(&folder, &path, &value, overwrite)).await;
    match written.map_err(io::Error::other).and_then(|written| written) {
        Ok(()) => tally.done(length),
        Err(error) => tally.failed(format_args!("key {key:?}: {error}")),
    }
    Ok(())
}

/// What may happen to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overwrite {
    Always,
    /// It stays, and that is fine only if it holds the same bytes: so that an export that
    /// was cut short can be run again.
    OnlyTheSame,
}

/// Writes a file below the folder, whole or not at all.
fn write_file(
    folder: &Path,
    relative: &Path,
    value: &Bytes,
    overwrite: Overwrite,
) -> io::Result<()> {
    let parent = make_folders(folder, relative.parent().unwrap_or(Path::new("")))?;
    let name = relative.file_name().ok_or_else(|| io::Error::other("it has no file name"))?;
    let path = parent.join(name);
    let in_place =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match fs::symlink_metadata(&path) {
        Ok(there) if there.is_dir() => {
            return Err(in_place(io::Error::other("a folder of that name is there")));
        }
        Ok(there) if overwrite == Overwrite::OnlyTheSame => {
            let same = there.is_file() && fs::read(&path).map_err(in_place)? == value.as_ref();
            let differs = || {
                in_place(io::Error::other(
                    "it is there and holds something else (--force replaces it)",
                ))
            };
            return if same { Ok(()) } else { Err(differs()) };
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(in_place(error)),
    }
    let draft = parent.join(draft_name());
    let write = || {
        let mut file = File::options().write(true).create_new(true).open(&draft)?;
        file.write_all(value)?;
        fs::rename(&draft, &path)
    };
    write().inspect_err(|_| drop(fs::remove_file(&draft))).map_err(in_place)
}

/// A name for a file that is not whole yet, unlike any other draft's; a key's own last
/// part may already be as long as a name can be.
fn draft_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(".synod-export-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Makes the folders on the way, one by one: a symbolic link among them would lead the
/// file elsewhere.
fn make_folders(folder: &Path, relative: &Path) -> io::Result<PathBuf> {
    let mut path = folder.to_path_buf();
    for part in relative {
        path.push(part);
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !fs::symlink_metadata(&path)?.is_dir() {
                    return Err(io::Error::other(format!(
                        "{} is there and is not a folder",
                        path.display()
                    )));
                }
            }
            Err(error) => {
                return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
            }
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(
        folder: &Path,
        path: &str,
        value: &'static str,
        overwrite: Overwrite,
    ) -> Result<(), String> {
        write_file(folder, Path::new(path), &Bytes::from(value), overwrite)
            .map_err(|error| error.to_string())
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_written_whole_with_the_folders_on_its_way() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/b/c", "value", Overwrite::OnlyTheSame).unwrap();
        write(folder.path(), "a/b/empty", "", Overwrite::OnlyTheSame).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a/b/c")).unwrap(), "value");
        assert_eq!(names(&folder.path().join("a/b")), ["c", "empty"]);
    }

    #[test]
    fn only_force_replaces_a_file_that_holds_something_else() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a", "old", Overwrite::OnlyTheSame).unwrap();
        write(folder.path(), "a", "old", Overwrite::OnlyTheSame).expect("the same bytes are fine");
        assert!(
            write(folder.path(), "a", "new", Overwrite::OnlyTheSame)
                .unwrap_err()
                .contains("--force")
        );
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "old");
        write(folder.path(), "a", "new", Overwrite::Always).unwrap();
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "new");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn files_and_folders_of_one_name_are_told_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(
            write(folder.path(), "folder", "", Overwrite::Always)
                .unwrap_err()
                .contains("a folder of that name")
        );
        assert!(
            write(folder.path(), "file/below", "", Overwrite::Always)
                .unwrap_err()
                .contains("not a folder")
        );
        assert_eq!(names(folder.path()), ["file", "folder"]);
    }

    #[test]
    fn a_symbolic_link_leads_no_file_elsewhere() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(elsewhere.path().join("kept"), "kept").unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(elsewhere.path().join("kept"), folder.path().join("file"))
            .unwrap();
        assert!(
            write(folder.path(), "link/new", "", Overwrite::Always)
                .unwrap_err()
                .contains("not a folder")
        );
        assert!(write(folder.path(), "file", "kept", Overwrite::OnlyTheSame).is_err());
        write(folder.path(), "file", "replaced", Overwrite::Always)
            .expect("the link itself is replaced");
        assert_eq!(fs::read_to_string(elsewhere.path().join("kept")).unwrap(), "kept");
        assert_eq!(names(elsewhere.path()), ["kept"]);
    }
}
