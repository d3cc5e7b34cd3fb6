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
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::Subcommand;
use serde::Serialize;
use shared::ids::Name;
use shared::tls::{Role, ServiceId, identity};

use self::authority::Names;
pub(crate) use self::authority::{Authority, DOMAIN};
use crate::output::{self, Format, Output};

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

/// Where the authority is, and how it is told what was made.
#[derive(clap::Args)]
struct Folder {
    /// Folder of the authority and of what it issues
    #[arg(long, env = "SYNOD_PKI_DIR", value_name = "DIR", default_value = "synod-pki")]
    dir: PathBuf,
    #[command(flatten)]
    output: Output,
}

/// What was made.
#[derive(Serialize)]
struct Made {
    certificate: PathBuf,
    key: PathBuf,
}

impl Folder {
    fn say(&self, certificate: PathBuf) -> anyhow::Result<()> {
        match self.output.format() {
            Format::Table | Format::Plain => output::line(certificate.display()),
            Format::Json => output::json(&Made { key: key_beside(&certificate), certificate }),
        }
    }
}

fn key_beside(certificate: &Path) -> PathBuf {
    certificate.with_extension("key")
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
        Command::Init(Init { folder, domain }) => {
            let authority = Authority::create(&folder.dir, &domain)?;
            folder.say(authority.certificate())?;
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
            issue.folder.say(authority.certificate_of(&id.name))?;
        }
        Command::Renew(renew) => {
            let authority = Authority::open(&renew.folder.dir)?;
            let names = if renew.names.is_empty() { authority.names()? } else { renew.names };
            for name in &names {
                authority.renew(name, renew.lifetime.days)?;
                renew.folder.say(authority.certificate_of(name))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_is_told_is_the_one_that_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(dir.path(), DOMAIN).unwrap();
        assert!(key_beside(&authority.certificate()).exists());
        let name: Name = "ada".parse().unwrap();
        let id = authority.id(Role::Operator, name.clone());
        authority.issue(&id, &Names::of_loopback(), 1).unwrap();
        assert_eq!(key_beside(&authority.certificate_of(&name)), authority.key_of(&name));
        assert!(authority.key_of(&name).exists());
    }
}
