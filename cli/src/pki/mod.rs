//! `synod pki`: a small authority in a folder, for clusters that have no other one.
//!
//! ```text
//! DIR/ca.pem  ca.key            the authority; whoever has its key can be any service
//! DIR/NAME.pem  NAME.key        a service, by its name in the cluster
//! ```
//!
//! In reading order: `folder` (files, whole or not there), `authority` (what certificates say
//! and how long they count), and here the commands.

mod authority;
mod folder;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::Subcommand;
use shared::ids::Name;
use shared::tls::{Role, ServiceId, identity};

use self::authority::Names;
pub(crate) use self::authority::{Authority, DOMAIN};
use crate::output;

/// Keys and certificates of a cluster.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make an authority in a folder
    Init(Init),
    /// Issue the certificate of a service, or of an operator
    Issue(Issue),
    /// Issue certificates anew, for the names that they have, with new keys
    Renew(Renew),
}

/// Where the authority is.
#[derive(clap::Args)]
struct Folder {
    /// Folder of the authority and of what it issues
    #[arg(long, env = "SYNOD_PKI_DIR", value_name = "DIR", default_value = "synod-pki")]
    dir: PathBuf,
}

/// How long a certificate counts.
#[derive(clap::Args)]
struct Lifetime {
    /// Days for which certificates count
    #[arg(
        long,
        env = "SYNOD_PKI_DAYS",
        value_name = "N",
        default_value_t = authority::DAYS,
        value_parser = clap::value_parser!(u32).range(1..=authority::MAX_DAYS),
    )]
    days: u32,
}

#[derive(clap::Args)]
struct Init {
    #[command(flatten)]
    folder: Folder,
    /// Trust domain: services of one believe each other; a-z, 0-9, '.', '-' and '_'
    #[arg(
        long,
        env = "SYNOD_PKI_DOMAIN",
        value_name = "DOMAIN",
        default_value = authority::DOMAIN,
        value_parser = domain,
    )]
    domain: String,
}

fn domain(text: &str) -> Result<String, String> {
    if identity::is_domain(text) {
        Ok(text.to_owned())
    } else {
        Err(String::from("a trust domain has 1 to 255 of a-z, 0-9, '.', '-' and '_'"))
    }
}

#[derive(clap::Args)]
struct Issue {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    lifetime: Lifetime,
    /// acceptor, coordinator, replica, balancer or operator
    role: Role,
    /// Name of the service in the cluster (its --id), or of the operator
    name: Name,
    /// Names of hosts by which it is reached
    #[arg(long, env = "SYNOD_PKI_DNS", value_name = "HOST,HOST", value_delimiter = ',')]
    dns: Vec<String>,
    /// Addresses by which it is reached
    #[arg(long, env = "SYNOD_PKI_IP", value_name = "IP,IP", value_delimiter = ',')]
    ip: Vec<IpAddr>,
}

#[derive(clap::Args)]
struct Renew {
    #[command(flatten)]
    folder: Folder,
    #[command(flatten)]
    lifetime: Lifetime,
    /// Names of those to renew; all of the folder where none is given
    names: Vec<Name>,
}

/// Carries out a command.
pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Init(Init { folder: Folder { dir }, domain }) => {
            let authority = Authority::create(&dir, &domain)?;
            output::line(authority.certificate().display())?;
        }
        Command::Issue(issue) => {
            let authority = Authority::open(&issue.folder.dir)?;
            let names = Names { dns: issue.dns, ip: issue.ip };
            ensure!(
                issue.role == Role::Operator || !names.is_empty(),
                "--dns or --ip must say where {} is reached: those who call it check that",
                issue.name
            );
            if authority.has(&issue.name) {
                bail!(
                    "{} is there already: `synod pki renew {}` renews it",
                    authority.certificate_of(&issue.name).display(),
                    issue.name
                );
            }
            let id = authority.id(issue.role, issue.name);
            authority.issue(&id, &names, issue.lifetime.days)?;
            output::line(authority.certificate_of(&id.name).display())?;
        }
        Command::Renew(renew) => {
            let authority = Authority::open(&renew.folder.dir)?;
            let names = if renew.names.is_empty() { authority.names()? } else { renew.names };
            for name in &names {
                authority.renew(name, renew.lifetime.days)?;
                output::line(authority.certificate_of(name).display())?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Says whose a certificate is to be.
impl Authority {
    pub(crate) fn id(&self, role: Role, name: Name) -> ServiceId {
        ServiceId { domain: self.domain().to_owned(), role, name }
    }
}
