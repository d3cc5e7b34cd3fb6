//! `synod delete`.

use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;

use super::{Condition, Once, named, sent_with};
use crate::console::counted;
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The key
    #[arg(
        value_parser = NonEmptyStringValueParser::new(),
        required_unless_present = "prefix",
        conflicts_with = "prefix",
    )]
    key: Option<String>,
    /// Delete every key that begins with this; the empty prefix deletes all
    #[arg(long, env = "SYNOD_DELETE_PREFIX", conflicts_with_all = ["if_revision", "if_absent"])]
    prefix: Option<String>,
    #[command(flatten)]
    condition: Condition,
    #[command(flatten)]
    once: Once,
}

/// Deletes, and prints how many keys that were.
pub(crate) async fn delete(args: Delete) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    let deleted = match (&args.key, &args.prefix) {
        (Some(key), _) => sent_with!(client.delete(key), args.condition, args.once).await?,
        (None, prefix) => {
            let prefix = prefix.as_deref().expect("a key or a prefix is required");
            named!(client.delete_prefix(prefix), args.once).await?
        }
    };
    match args.output.format() {
        Format::Plain => output::line(deleted.deleted)?,
        Format::Json => output::json(&deleted)?,
        Format::Table => {
            let (keys, revision) = (counted(deleted.deleted, "key"), deleted.revision);
            output::line(format_args!("deleted {keys} at revision {revision}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
