//! Whom a command believes where a URL begins with `https://`, and by what it is known there.

use std::path::PathBuf;

use anyhow::bail;
use shared::tls::{Calls, Trust};

/// Flags of all commands that ask a cluster.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Certificates of the authorities that are believed of addresses that begin with https://
    /// (PEM); those of the system are in a file such as /etc/ssl/certs/ca-certificates.crt
    #[arg(long, env = "SYNOD_CA", value_name = "FILE", global = true)]
    ca: Option<PathBuf>,
    /// Own certificate, of an operator (PEM): for `log verify --recompute` alone
    #[arg(long, env = "SYNOD_CERT", value_name = "FILE", global = true)]
    cert: Option<PathBuf>,
    /// Private key of that certificate (PEM)
    #[arg(long, env = "SYNOD_CERT_KEY", value_name = "FILE", global = true)]
    cert_key: Option<PathBuf>,
}

impl Args {
    /// Has all that this process calls called so.
    pub(crate) fn apply(&self) -> anyhow::Result<()> {
        let own = match (&self.cert, &self.cert_key) {
            (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => bail!("--cert and --cert-key come together"),
        };
        match &self.ca {
            Some(authorities) => Calls::AsSaid(Trust::of_files(authorities, own)?).set_of_process(),
            None if own.is_some() => bail!("--cert takes --ca, too"),
            None => {}
        }
        Ok(())
    }
}
