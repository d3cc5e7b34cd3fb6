//! `synod compact`.

use std::process::ExitCode;

use super::{Once, named};
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Compact {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The oldest revision whose state is to be readable
    revision: u64,
    #[command(flatten)]
    once: Once,
}

/// Drops the history before a revision, and prints from which one on it is kept.
pub(crate) async fn compact(args: Compact) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    let done = named!(client.compact(args.revision), args.once).await?;
    let below = done.compacted_below;
    match args.output.format() {
        Format::Plain => output::line(format_args!("{below}"))?,
        Format::Json => output::json(&done)?,
        Format::Table => output::line(format_args!("history is kept from revision {below} on"))?,
    }
    Ok(ExitCode::SUCCESS)
}
