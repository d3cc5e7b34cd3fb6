//! `synod log append`.

use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;

use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};
use crate::verbs::{Once, named, read_input};

#[derive(clap::Args)]
pub(super) struct Append {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The value; standard input where neither a value nor a file is given
    #[arg(conflicts_with = "file")]
    value: Option<String>,
    /// Take the value from a file
    #[arg(long, env = "SYNOD_FILE", value_name = "FILE")]
    file: Option<PathBuf>,
    /// What the value is, kept with it
    #[arg(
        long,
        env = "SYNOD_CONTENT_TYPE",
        value_name = "TYPE",
        default_value = "application/octet-stream"
    )]
    content_type: String,
    #[command(flatten)]
    once: Once,
}

/// Appends it, and prints the slot.
pub(super) async fn append(args: Append) -> anyhow::Result<ExitCode> {
    let value = match args.value {
        Some(value) => Bytes::from(value),
        None => read_input(args.file.as_deref())?,
    };
    let append = args.endpoint.client().append(value).content_type(&args.content_type);
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
