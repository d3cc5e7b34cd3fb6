//! `synod backup`: the whole state as one file, made by a replica while it goes on.
//!
//! What has come is in `FILE.part`, and `FILE.part.json` says of which snapshot it is, so
//! that a command that was cut off goes on where it was for as long as a replica keeps the
//! snapshot. `FILE` appears once all of it is there, its digest is right and it is synced.

mod part;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use clap::builder::BoolishValueParser;
use client::{Client, Download, Error};
use indicatif::ProgressBar;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use self::part::{PartFile, Source};
use crate::console;
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};
use crate::transfer;

/// Pause before one that was cut off is gone on with.
const PAUSE: Duration = Duration::from_millis(200);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The file to make; - is standard output
    file: PathBuf,
    /// Replace the file where there is one
    #[arg(long, env = "SYNOD_FORCE", value_parser = BoolishValueParser::new())]
    force: bool,
}

/// What was fetched.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    /// The revision of the state in it.
    revision: u64,
    bytes: u64,
    sha256: String,
    /// How many of the bytes were there already.
    resumed_after: u64,
}

impl Report {
    fn new(file: &Path, source: &Source, resumed_after: u64) -> Self {
        let file = file.display().to_string();
        let Source { revision, bytes, sha256, .. } = source.clone();
        Self { file, revision, bytes, sha256, resumed_after }
    }

    fn sentence(&self) -> String {
        format!(
            "{}: the state at revision {}, {}, sha-256 {}",
            self.file,
            self.revision,
            console::counted(self.bytes, "byte"),
            self.sha256
        )
    }
}

/// Fetches it.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    if args.file.as_os_str() == "-" {
        let report = to_stdout(&client).await?;
        console::warn(report.sentence());
        return Ok(ExitCode::SUCCESS);
    }
    if args.file.exists() && !args.force {
        bail!("{} is there already; --force replaces it", args.file.display());
    }
    let report = to_file(&client, &args.file).await?;
    match args.output.format() {
        Format::Json => output::json(&report)?,
        Format::Plain => output::line(format_args!(
            "{}\t{}\t{}\t{}",
            report.file, report.revision, report.bytes, report.sha256
        ))?,
        Format::Table => output::line(report.sentence())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The next piece, or what there is to do instead.
enum Step {
    Piece(Bytes),
    End,
    /// It was cut off.
    Cut(Error),
}

async fn step(download: &mut Download) -> anyhow::Result<Step> {
    match download.next().await {
        Ok(Some(bytes)) => Ok(Step::Piece(bytes)),
        Ok(None) => Ok(Step::End),
        Err(error @ Error::Unavailable { .. }) => Ok(Step::Cut(error)),
        Err(error) => Err(error.into()),
    }
}

/// How long nothing has come.
struct Patience {
    limit: Duration,
    heard: Instant,
}

impl Patience {
    fn of(client: &Client) -> Self {
        Self { limit: client.timeout(), heard: Instant::now() }
    }

    fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits a moment, unless it is over.
    async fn lost(&self, error: Error) -> anyhow::Result<()> {
        if self.heard.elapsed() > self.limit {
            return Err(error.into());
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

async fn to_file(client: &Client, file: &Path) -> anyhow::Result<Report> {
    let mut part = PartFile::open(file)?;
    let resumed_after = part.len();
    let bar = transfer::bar_of_bytes(0);
    let mut patience = Patience::of(client);
    let mut resumed = None;
    while !part.is_whole() {
        let mut download = begin(client, &mut part).await?;
        resumed.get_or_insert(if download.from > 0 { resumed_after } else { 0 });
        bar.set_length(download.bytes);
        bar.set_position(download.from);
        loop {
            match step(&mut download).await? {
                Step::Piece(bytes) => {
                    patience.heard();
                    part.write(&bytes)?;
                    bar.inc(bytes.len() as u64);
                }
                Step::End => break,
                Step::Cut(error) => {
                    patience.lost(error).await?;
                    break;
                }
            }
        }
    }
    bar.finish_and_clear();
    let source = part.finish(file)?;
    Ok(Report::new(file, &source, resumed.unwrap_or(resumed_after)))
}

/// Goes on with a part where its snapshot is still kept, or begins anew.
async fn begin(client: &Client, part: &mut PartFile) -> anyhow::Result<Download> {
    let mut asked = client.snapshot();
    if let Some(source) = part.source().filter(|_| part.len() > 0) {
        asked = asked.resume(&source.etag, part.len());
    }
    let download = match asked.await {
        // What is here is of no use, whatever it is.
        Err(Error::Refused(problem)) if problem.status == 416 => client.snapshot().await?,
        download => download?,
    };
    part.begin(&Source::of(&download), download.from)?;
    Ok(download)
}

/// Standard output cannot be taken back: it goes on with the same snapshot or not at all.
async fn to_stdout(client: &Client) -> anyhow::Result<Report> {
    let mut hasher = Sha256::new();
    let mut download = client.snapshot().await?;
    let source = Source::of(&download);
    let bar: ProgressBar = transfer::bar_of_bytes(source.bytes);
    let (mut written, mut patience) = (0, Patience::of(client));
    loop {
        match step(&mut download).await? {
            Step::Piece(bytes) => {
                patience.heard();
                output::bytes(&bytes)?;
                hasher.update(&bytes);
                written += bytes.len() as u64;
                bar.inc(bytes.len() as u64);
            }
            Step::End => break,
            Step::Cut(error) => {
                patience.lost(error).await?;
                download = client.snapshot().resume(&source.etag, written).await?;
                let (from, etag) = (download.from, &download.etag);
                ensure!(
                    (from, etag) == (written, &source.etag),
                    "cut off after {written} bytes, and the snapshot is not kept any more"
                );
            }
        }
    }
    bar.finish_and_clear();
    io::stdout().flush().context("cannot write the result")?;
    source.check(&hasher.finalize().into())?;
    Ok(Report::new(Path::new("-"), &source, 0))
}
