//! `synod put`.

use std::process::ExitCode;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};

use super::{Condition, Once, Value, sent_with, trace};
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
    /// Have the write recorded, and show its way, as `synod trace` does
    #[arg(long, env = "SYNOD_TRACE", value_parser = BoolishValueParser::new())]
    trace: bool,
}

/// Stores the value, and prints the revision.
pub(crate) async fn put(args: Put) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    let put = client.put(&args.key, args.value.read()?);
    let traced = args.trace.then(trace::Drawn::new);
    let put = traced.iter().fold(put, |put, drawn| put.traceparent(&drawn.traceparent()));
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
    if let Some(drawn) = traced {
        trace::print(&trace::settled(&client, &drawn.trace_id).await?, args.output.format())?;
    }
    Ok(ExitCode::SUCCESS)
}
