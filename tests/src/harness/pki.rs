//! An authority, and the certificates of a cluster's services: as `synod pki` makes them, which
//! `synod up --tls` does too.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The trust domain of what is issued here.
pub const DOMAIN: &str = "synod.internal";

/// An authority in a folder.
#[derive(Clone, Debug)]
pub struct Pki {
    synod: PathBuf,
    folder: PathBuf,
}

impl Pki {
    /// Makes one.
    ///
    /// # Errors
    /// What `synod pki init` says.
    pub fn create(synod: &Path, folder: &Path) -> Result<Self> {
        let pki = Self { synod: synod.to_owned(), folder: folder.to_owned() };
        pki.run(&["init", "--domain", DOMAIN])?;
        Ok(pki)
    }

    /// Issues the certificate of a service that is reached there, or of an operator.
    ///
    /// # Errors
    /// What `synod pki issue` says.
    pub fn issue(&self, role: &str, name: &str, ip: IpAddr) -> Result<()> {
        self.run(&["issue", role, name, "--dns", "localhost", "--ip", &ip.to_string()])
    }

    /// Where the authority's certificate is.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Where the authority's key is.
    #[must_use]
    pub fn authority_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// Where the certificate of that name is.
    #[must_use]
    pub fn certificate(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.pem"))
    }

    /// Where the key of that name is.
    #[must_use]
    pub fn key(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.key"))
    }

    /// What a service of that name is told, to speak TLS and to know the others by theirs.
    #[must_use]
    pub fn flags(&self, name: &str) -> [String; 6] {
        let path = |path: PathBuf| path.to_string_lossy().into_owned();
        [
            "--tls-cert".into(),
            path(self.certificate(name)),
            "--tls-key".into(),
            path(self.key(name)),
            "--tls-client-ca".into(),
            path(self.authority()),
        ]
    }

    fn run(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.synod);
        command.arg("pki").args(args).arg("--dir").arg(&self.folder);
        let ended = command.output().context("running synod pki")?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(ended.status.success(), "synod pki {}: {said}", args.join(" "));
        Ok(())
    }
}
