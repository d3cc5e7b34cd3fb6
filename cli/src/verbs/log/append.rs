//! `synod log append`.

use std::process::ExitCode;

use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};
use crate::verbs::{Once, Value, named};

#[derive(clap::Args)]
pub(super) struct Append {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    value: Value,
    #[command(flatten)]
    once: Once,
}

/// Appends it, and prints the slot.
pub(super) async fn append(args: Append) -> anyhow::Result<ExitCode> {
    let append = args.endpoint.client().append(args.value.read()?);
    let append = append.content_type(&args.value.content_type);
    let appended = named!(append, args.once).await?;
    match args.output.format() {
        Format::Plain => output::line(appended.slot)?,
        Format::Json => output::json(&appended)?,
        Format::Table => {
            output::line(format_args!(
                "appended at slot {}, revision {}",
                appended.slot, appended.revision
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
