//! `synod primary`.

use std::process::ExitCode;

use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Primary {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Which replica is to be primary, by its name: `synod status` names them
    replica: String,
}

/// Moves the primary role, and prints who is primary and in which epoch.
pub(crate) async fn primary(args: Primary) -> anyhow::Result<ExitCode> {
    let view = args.endpoint.client().switch_over(&args.replica).await?;
    let primary = view.primary.as_deref().unwrap_or_default();
    match args.output.format() {
        Format::Plain => output::line(format_args!("{primary}\t{}", view.epoch))?,
        Format::Json => output::json(&view)?,
        Format::Table => {
            output::line(format_args!("{primary} is primary in epoch {}", view.epoch))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
