//! `synod log`: the slots.

use std::process::ExitCode;

use client::{Author, Command, LogEntry};
use futures::TryStreamExt;

use super::described;
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(super) struct Show {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Begin at this slot; at the oldest that is kept where it is not given
    #[arg(long, env = "SYNOD_FROM_SLOT", value_name = "SLOT")]
    from: Option<u64>,
    /// Show at most so many slots
    #[arg(long, env = "SYNOD_LIMIT", value_name = "N")]
    limit: Option<u64>,
    /// Show only what this one did: the accessor of a token, the subject of a JWT, or the
    /// role and name of a certificate, such as operator/ada
    #[arg(long, env = "SYNOD_BY", value_name = "WHO")]
    by: Option<String>,
}

/// Prints a line for each slot.
pub(super) async fn show(args: Show) -> anyhow::Result<ExitCode> {
    let mut log = args.endpoint.client().log();
    if let Some(from) = args.from {
        log = log.from(from);
    }
    let format = args.output.format();
    let mut entries = log.limit(PAGE).stream();
    let mut count = 0;
    while args.limit != Some(count)
        && let Some(mut entry) = entries.try_next().await?
    {
        if let Some(by) = &args.by {
            entry.commands.retain(|command| is_by(command, by));
            if entry.commands.is_empty() {
                continue;
            }
        }
        count += 1;
        match format {
            Format::Table => output::line(shown(&entry))?,
            Format::Plain | Format::Json => output::json(&entry)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn is_by(command: &Command, by: &str) -> bool {
    let is_subject = |who: &Author| who.subject == by;
    command.by.as_deref() == Some(by) || command.subject.as_ref().is_some_and(is_subject)
}

/// So many slots are read at once.
const PAGE: u32 = 200;

fn shown(entry: &LogEntry) -> String {
    let epoch = entry.epoch.map_or_else(String::new, |epoch| format!(" of epoch {epoch}"));
    let hash = entry.hash.to_string();
    let mut lines = vec![format!(
        "slot {}: {}{epoch}, revision {}, hash {}…",
        entry.slot,
        entry.kind,
        entry.revision,
        &hash[..12]
    )];
    for command in &entry.commands {
        lines.push(format!("    {}", described(command)));
    }
    lines.join("\n")
}
