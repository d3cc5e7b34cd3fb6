//! `synod put`.

use std::path::PathBuf;
use std::process::ExitCode;

use bytes::Bytes;
use clap::builder::NonEmptyStringValueParser;

use super::{Condition, Once, read_input, sent_with};
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Put {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The key
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
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
    condition: Condition,
    #[command(flatten)]
    once: Once,
}

/// Stores the value, and prints the revision.
pub(crate) async fn put(args: Put) -> anyhow::Result<ExitCode> {
    let value = match args.value {
        Some(value) => Bytes::from(value),
        None => read_input(args.file.as_deref())?,
    };
    let put = args.endpoint.client().put(&args.key, value).content_type(&args.content_type);
    let stored = sent_with!(put, args.condition, args.once).await?;
    match args.output.format() {
        Format::Plain => output::line(stored.revision)?,
        Format::Json => output::json(&stored)?,
        Format::Table => {
            let what = if stored.version == 1 { "created" } else { "replaced" };
            let key = output::printable(&stored.key);
            output::line(format_args!(
                "{what} {key} at revision {} (version {})",
                stored.revision, stored.version
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
