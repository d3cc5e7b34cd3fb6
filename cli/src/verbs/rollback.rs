//! `synod rollback`.

use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use client::{Preview, UndoneKind};

use super::{Once, named};
use crate::console::counted;
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Rollback {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The keys that begin with this; the empty prefix is that of all
    prefix: String,
    /// What they are to be again
    revision: u64,
    /// Only show what would change
    #[arg(
        long,
        env = "SYNOD_DRY_RUN",
        value_parser = BoolishValueParser::new(),
        conflicts_with_all = ["idempotency_key", "fence"],
    )]
    dry_run: bool,
    #[command(flatten)]
    once: Once,
}

/// Rolls back, and prints how many keys were restored and deleted.
pub(crate) async fn rollback(args: Rollback) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    if args.dry_run {
        let preview = client.rollback_preview(&args.prefix, args.revision).await?;
        return show(&preview, args.output.format());
    }
    let done = named!(client.rollback(&args.prefix, args.revision), args.once).await?;
    match args.output.format() {
        Format::Plain => output::line(format_args!("{}\t{}", done.restored, done.deleted))?,
        Format::Json => output::json(&done)?,
        Format::Table => {
            output::line(format_args!(
                "restored {} and deleted {} at revision {}",
                counted(done.restored, "key"),
                counted(done.deleted, "key"),
                done.revision
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(preview: &Preview, format: Format) -> anyhow::Result<ExitCode> {
    match format {
        Format::Json => output::json(preview)?,
        Format::Plain | Format::Table => {
            for undone in &preview.changes {
                let (name, key) = (kind(undone.change), &undone.key);
                match format {
                    Format::Table => {
                        output::line(format_args!("would be {name}: {}", output::printable(key)))?;
                    }
                    Format::Plain | Format::Json => output::line(format_args!("{name}\t{key}"))?,
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn kind(kind: UndoneKind) -> &'static str {
    match kind {
        UndoneKind::Restored => "restored",
        UndoneKind::Deleted => "deleted",
    }
}
