//! `synod lease`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;

use super::{Common, Once, named};
use crate::console::counted;
use crate::output::{self, Format};
use crate::seconds;

#[derive(clap::Args)]
pub(crate) struct Lease {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Grant a lease, which expires so long after it was renewed last
    Grant {
        #[command(flatten)]
        common: Common,
        /// In seconds; parts of one are taken too
        #[arg(value_parser = seconds::parts)]
        ttl: Duration,
        #[command(flatten)]
        once: Once,
    },
    /// Show how long a lease lasts, and its keys
    Show {
        #[command(flatten)]
        common: Common,
        /// The lease
        #[arg(value_parser = id)]
        id: u64,
    },
    /// Renew a lease
    Renew {
        #[command(flatten)]
        common: Common,
        /// The lease
        #[arg(value_parser = id)]
        id: u64,
    },
    /// End a lease: its keys are deleted, and its locks released
    Revoke {
        #[command(flatten)]
        common: Common,
        /// The lease
        #[arg(value_parser = id)]
        id: u64,
        #[command(flatten)]
        once: Once,
    },
}

/// Reads the number of a lease.
fn id(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| String::from("a lease is named by the number that `synod lease grant` prints"))
}

/// Does it; prints the lease's number, or how many milliseconds are left of it, or how many
/// keys went with it.
pub(crate) async fn lease(args: Lease) -> anyhow::Result<ExitCode> {
    match args.action {
        Action::Grant { common, ttl, once } => {
            let grant = common.endpoint.client().grant_lease(ttl);
            print(&common, &named!(grant, once).await?, |lease| lease.id)?;
        }
        Action::Show { common, id } => {
            let lease = common.endpoint.client().lease(id).await?;
            print(&common, &lease, |lease| lease.remaining_ms.unwrap_or_default())?;
        }
        Action::Renew { common, id } => {
            let lease = common.endpoint.client().renew_lease(id).await?;
            print(&common, &lease, |lease| lease.remaining_ms.unwrap_or(lease.ttl_ms))?;
        }
        Action::Revoke { common, id, once } => {
            let revoke = common.endpoint.client().revoke_lease(id);
            let deleted = named!(revoke, once).await?;
            match common.output.format() {
                Format::Plain => output::line(deleted.deleted)?,
                Format::Json => output::json(&deleted)?,
                Format::Table => {
                    let keys = counted(deleted.deleted, "key");
                    output::line(format_args!("lease {id} is ended, and {keys} with it"))?;
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(
    common: &Common,
    lease: &client::Lease,
    plain: impl Fn(&client::Lease) -> u64,
) -> anyhow::Result<()> {
    match common.output.format() {
        Format::Plain => output::line(plain(lease)),
        Format::Json => output::json(lease),
        Format::Table => output::line(shown(lease)),
    }
}

fn shown(lease: &client::Lease) -> String {
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
    let left = lease.remaining_ms.map(|ms| format!(", {:.1} s left", seconds(ms)));
    let keys = lease.keys.iter().flatten().map(|key| format!("\n  {}", output::printable(key)));
    format!(
        "lease {} of {} s{}{}",
        lease.id,
        seconds(lease.ttl_ms),
        left.unwrap_or_default(),
        keys.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_told_with_its_keys() {
        let keys = Some(vec![String::from("a"), String::from("b")]);
        let lease = client::Lease { id: 7, ttl_ms: 5_000, remaining_ms: Some(3_210), keys };
        assert_eq!(shown(&lease), "lease 7 of 5 s, 3.2 s left\n  a\n  b");
    }
}
