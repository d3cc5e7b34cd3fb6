//! `synod lock`: a lock that is held while a command runs.

mod hold;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;

use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};
use crate::seconds;

#[derive(clap::Args)]
pub(crate) struct Lock {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The lock
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    name: String,
    /// How long the lock is kept when nothing is heard of this command
    #[arg(
        long,
        env = "SYNOD_TTL_SECONDS",
        value_name = "SECONDS",
        default_value = "10",
        value_parser = seconds::parts,
    )]
    ttl_seconds: Duration,
    /// How long to wait while another one holds it
    #[arg(
        long,
        env = "SYNOD_LOCK_WAIT_SECONDS",
        value_name = "SECONDS",
        default_value = "0",
        value_parser = seconds::parts,
    )]
    wait_seconds: Duration,
    /// What to run while the lock is held, behind `--`; without one, who holds it is shown.
    /// SYNOD_FENCE is in its environment, with which other commands do only what they do while
    /// the lock is held, SYNOD_LOCK, its name, and SYNOD_LEASE
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command and ends as it does; without one, prints the lease and the fence of who
/// holds the lock.
pub(crate) async fn lock(args: Lock) -> anyhow::Result<ExitCode> {
    if let Some((program, rest)) = args.command.split_first() {
        let lock = args.endpoint.client().lock(&args.name);
        let guard = lock.ttl(args.ttl_seconds).wait(args.wait_seconds).await?;
        return hold::run(guard, program, rest).await;
    }
    let holder = args.endpoint.client().holder(&args.name).await?;
    match args.output.format() {
        Format::Plain => output::line(format_args!("{}\t{}", holder.lease, holder.fence))?,
        Format::Json => output::json(&holder)?,
        Format::Table => {
            let waiting = holder.waiters.filter(|count| *count > 0);
            let waiting = waiting.map(|count| format!(", and {count} wait for it"));
            output::line(format_args!(
                "lease {} holds {} since revision {}{}",
                holder.lease,
                output::printable(&holder.name),
                holder.fence,
                waiting.unwrap_or_default()
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
