//! `synod ready`.

use std::process::ExitCode;
use std::slice::from_ref;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use client::{Client, parse_url};
use serde_json::json;
use url::Url;

use crate::output::{self, Format, Output};
use crate::seconds;

/// One question may take this long.
const ONCE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Ready {
    #[command(flatten)]
    output: Output,
    /// The service to ask
    #[arg(env = "SYNOD_URL", default_value = "http://127.0.0.1:8000", value_parser = parse_url)]
    url: Url,
    /// Ask only whether it runs (`/livez`), though it may wait for others: for whoever ends what
    /// does not answer
    #[arg(long, env = "SYNOD_ALIVE", value_parser = BoolishValueParser::new())]
    alive: bool,
    /// Ask again for this long before giving up
    #[arg(
        long,
        env = "SYNOD_WAIT_SECONDS",
        value_name = "N",
        default_value_t = 0,
        value_parser = seconds::whole(0, u32::MAX),
    )]
    wait_seconds: u32,
}

/// Succeeds once `GET /readyz` does, or `GET /livez`.
pub(crate) async fn ready(args: Ready) -> anyhow::Result<ExitCode> {
    let client = Client::of_urls(from_ref(&args.url))?;
    let client = match args.wait_seconds {
        0 => client.with_timeout(ONCE).without_retries(),
        seconds => client.with_timeout(Duration::from_secs(seconds.into())),
    };
    let (path, state) = if args.alive { ("/livez", "alive") } else { ("/readyz", "ready") };
    client.fetch(path).await?;
    // The exit code says it to everybody else.
    match args.output.format() {
        Format::Json => output::json(&json!({"url": args.url.as_str(), state: true}))?,
        Format::Plain | Format::Table => {}
    }
    Ok(ExitCode::SUCCESS)
}
