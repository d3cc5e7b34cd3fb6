//! `synod remove`.

use std::process::ExitCode;

use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Which replica is to be out for good, by its name: `synod status` names them
    replica: String,
}

/// Takes a replica out, and prints who is primary and in which epoch it is out.
pub(crate) async fn remove(args: Remove) -> anyhow::Result<ExitCode> {
    let view = args.endpoint.client().remove_replica(&args.replica).await?;
    let (removed, primary) = (&args.replica, view.primary.as_deref().unwrap_or_default());
    match args.output.format() {
        Format::Plain => output::line(format_args!("{primary}\t{}", view.epoch))?,
        Format::Json => output::json(&view)?,
        Format::Table => output::line(format_args!(
            "{removed} is out from epoch {} on, and its data with it; {primary} is primary",
            view.epoch
        ))?,
    }
    Ok(ExitCode::SUCCESS)
}
