//! `synod ready`.

use std::process::ExitCode;
use std::time::Duration;

use client::{Client, parse_url};
use url::Url;

/// One question may take this long.
const ONCE: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(crate) struct Ready {
    /// The service to ask
    #[arg(env = "SYNOD_URL", default_value = "http://127.0.0.1:8000", value_parser = parse_url)]
    url: Url,
    /// Ask again for this long before giving up
    #[arg(long, env = "SYNOD_WAIT_SECONDS", value_name = "N", default_value_t = 0)]
    wait_seconds: u32,
}

/// Succeeds once `GET /readyz` does.
pub(crate) async fn ready(args: Ready) -> anyhow::Result<ExitCode> {
    let client = Client::of_urls(&[args.url])?;
    let client = match args.wait_seconds {
        0 => client.with_timeout(ONCE).without_retries(),
        seconds => client.with_timeout(Duration::from_secs(seconds.into())),
    };
    client.fetch("/readyz").await?;
    Ok(ExitCode::SUCCESS)
}
