//! `synod put`.

use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;

use super::{Condition, Once, Value, sent_with};
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
    #[command(flatten)]
    value: Value,
    /// Bind the key to this lease, with which it goes
    #[arg(long, env = "SYNOD_BIND_LEASE", value_name = "ID")]
    lease: Option<u64>,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    once: Once,
}

/// Stores the value, and prints the revision.
pub(crate) async fn put(args: Put) -> anyhow::Result<ExitCode> {
    let put = args.endpoint.client().put(&args.key, args.value.read()?);
    let put = put.content_type(&args.value.content_type);
    let put = args.lease.into_iter().fold(put, client::Put::lease);
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
