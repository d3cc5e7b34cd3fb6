//! What a replica is told of access control, when it starts.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::builder::BoolishValueParser;
use shared::service::{Misconfigured, Running};

use crate::http::authorize::bearer::is_secret;
use crate::http::{Auth, BeforeBootstrap, Refusals, Services, TELL_APART};
use crate::jwt::{Jwt, JwtArgs, KeyCounts};
use crate::machine::access::SecretHash;

/// The shortest secret of a bootstrap file, in bytes: as many as 128 random bits have in
/// hexadecimal.
const LEAST_SECRET_BYTES: usize = 32;

/// Flags of access control.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct AuthArgs {
    /// Require tokens also while the cluster has no first one: then only that can be made.
    /// Once it has one, every replica requires them
    #[arg(long, env = "SYNOD_AUTH", value_parser = BoolishValueParser::new())]
    pub auth: bool,

    /// File with the secret of the first token, which whoever has it may make from anywhere
    #[arg(long, env = "SYNOD_BOOTSTRAP_FILE", value_name = "FILE")]
    pub bootstrap_file: Option<PathBuf>,

    /// Who else says who asks.
    #[command(flatten)]
    pub jwt: JwtArgs,
}

impl AuthArgs {
    /// The same, for handlers.
    ///
    /// # Errors
    /// When the file has no secret, an issuer is not told of whole, or what services ask each
    /// other would be open to those whom a token is required of.
    pub(crate) fn told(&self, running: &mut Running) -> anyhow::Result<Auth> {
        let bound = running.listener.local_addr().context("the address that was bound")?;
        let is_apart = running.internal.is_some();
        let knows = running.tls.as_ref().is_some_and(|tls| tls.knows_services());
        let services = if is_apart || knows || bound.ip().is_loopback() {
            Services::Apart
        } else {
            Services::Together
        };
        if self.auth {
            keeps_services_apart(services, bound)?;
        }
        let bootstrap = self.bootstrap_file.as_deref().map(secret_of).transpose()?;
        let before = if self.auth { BeforeBootstrap::Closed } else { BeforeBootstrap::Open };
        let counts = KeyCounts::register(&mut running.metrics);
        let issuer = self.jwt.issuer(counts)?.map(Arc::new);
        let refusals = Refusals::register(&mut running.metrics);
        let hosts = running.hosts.clone();
        Ok(Auth { before, bootstrap, issuer, services, hosts, refusals })
    }
}

/// What services ask each other takes no token.
fn keeps_services_apart(services: Services, bound: SocketAddr) -> Result<(), Misconfigured> {
    match services {
        Services::Apart => Ok(()),
        Services::Together => Err(Misconfigured(format!(
            "--auth (SYNOD_AUTH) with {bound}, which others reach, and no token is asked of what \
             services ask each other there: {TELL_APART}"
        ))),
    }
}

fn secret_of(file: &Path) -> Result<SecretHash, Misconfigured> {
    let wrong = |why: &str| {
        let file = file.display();
        Misconfigured(format!("--bootstrap-file (SYNOD_BOOTSTRAP_FILE) {file}: {why}"))
    };
    let text = std::fs::read(file).map_err(|error| wrong(&error.to_string()))?;
    let secret = text.trim_ascii();
    if secret.len() < LEAST_SECRET_BYTES || !is_secret(secret) || Jwt::of(secret).is_some() {
        let bytes = secret.len();
        return Err(wrong(&format!(
            "it has {bytes} bytes that are to be a secret of {LEAST_SECRET_BYTES} to 256 random \
             characters A-Z a-z 0-9 - . _ ~ + / =, and not with two dots, as JWTs have"
        )));
    }
    Ok(SecretHash::of(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_file_has_one_secret_and_its_line_end_is_none_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let secret = "0123456789abcdef0123456789abcdef";
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        assert_eq!(secret_of(&file).unwrap(), SecretHash::of(secret.as_bytes()));
        for bad in [
            "",
            "short",
            "0123456789abcdef 0123456789abcdef",
            &"x".repeat(257),
            "0123456789abcdef.0123456789.abcdef",
        ] {
            std::fs::write(&file, bad).unwrap();
            let refused = secret_of(&file).unwrap_err().to_string();
            let names = refused.contains("--bootstrap-file") && refused.contains("32 to 256");
            assert!(names && !refused.contains("0123456789"), "{refused}");
        }
        assert!(secret_of(&dir.path().join("none")).is_err());
    }

    #[test]
    fn beyond_this_machine_services_must_be_told_apart() {
        let bound = "0.0.0.0:8301".parse().unwrap();
        assert!(keeps_services_apart(Services::Apart, bound).is_ok());
        let refused = keeps_services_apart(Services::Together, bound).unwrap_err();
        let said = refused.to_string();
        assert!(said.contains("--tls-client-ca") && said.contains("--listen-internal"), "{said}");
    }
}
