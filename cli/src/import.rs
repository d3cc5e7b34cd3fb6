//! `synod import`: every regular file of a folder becomes a key.
//!
//! A file is sent with plain `PUT`s until one is acknowledged. Sending it again is safe
//! whatever became of the attempt before, as it puts the same bytes under the same key. A
//! file that the cluster refuses is named and the others go on; a cluster that does not
//! answer for the whole patience of one file ends the import.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use client::Client;
use futures::{StreamExt, TryStreamExt, stream};

use crate::endpoint::Endpoint;
use crate::output::Output;
use crate::transfer::{Gone, Tally, Transfer};
use crate::tree::{SourceFile, Walk, walk};
use crate::{console, transfer};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The folder; symbolic links in it are skipped
    folder: PathBuf,
    /// What each key begins with, followed by the file's path in the folder; usually ends
    /// in a slash
    #[arg(long, env = "SYNOD_IMPORT_PREFIX", default_value = "")]
    prefix: String,
    /// Files larger than this are not sent: the cluster's limit on a value
    #[arg(long, env = "SYNOD_MAX_VALUE_BYTES", value_name = "BYTES", default_value_t = 1 << 20)]
    max_value_bytes: u64,
    #[command(flatten)]
    transfer: Transfer,
}

/// Sends all files; succeeds only if all are stored.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let (folder, prefix) = (args.folder.clone(), args.prefix.clone());
    let found = tokio::task::spawn_blocking(move || walk(&folder, &prefix)).await?;
    let Walk { files, symlinks, special, refused } =
        found.with_context(|| format!("cannot read {}", args.folder.display()))?;
    let total_bytes = files.iter().map(|file| file.bytes).sum();
    let tally = Tally::new("imported", transfer::bar_of_bytes(total_bytes));
    refused.iter().for_each(|reason| tally.failed(reason));

    let client = args.endpoint.client().with_timeout(args.transfer.patience());
    let gone = stream::iter(&files)
        .map(Ok)
        .try_for_each_concurrent(args.transfer.parallel(), |file| {
            send(&client, file, &args, &tally)
        })
        .await;

    if symlinks > 0 {
        tally.note(format!("{} skipped", console::counted(symlinks, "symbolic link")));
    }
    if special > 0 {
        tally.note(format!(
            "{} (a socket, pipe or device) skipped",
            console::counted(special, "other file")
        ));
    }
    tally.finish(gone, &args.output)
}

async fn send(client: &Client, file: &SourceFile, args: &Args, tally: &Tally) -> Result<(), Gone> {
    let (path, limit) = (file.path.clone(), args.max_value_bytes);
    let read = tokio::task::spawn_blocking(move || read_value(&path, limit)).await;
    let value = match read.map_err(io::Error::other).and_then(|read| read) {
        Ok(value) => value,
        Err(error) => {
            tally.failed(format_args!("{}: {error}", file.path.display()));
            return Ok(());
        }
    };
    let length = value.len();
    let put = client.put(&file.key, value).content_type("application/octet-stream");
    match put.without_idempotency_key().await {
        Ok(_) => tally.done(length),
        Err(error) if transfer::is_gone(&error) => {
            return Err(Gone { what: file.path.display().to_string(), error });
        }
        Err(error) => tally.failed(format_args!("{}: {error}", file.path.display())),
    }
    Ok(())
}

/// Reads a file that must not be larger than the limit, though it may have grown since it
/// was found.
fn read_value(path: &Path, limit: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= limit) {
        Ok(bytes.into())
    } else {
        Err(io::Error::other(format!(
            "it is larger than the limit on a value, {limit} bytes (--max-value-bytes)"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_the_limit_is_read_and_one_above_is_refused_by_name_of_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_value(&path, 5).unwrap(), "12345");
        let error = read_value(&path, 4).unwrap_err().to_string();
        assert!(error.contains("4 bytes (--max-value-bytes)"), "{error}");
    }
}
