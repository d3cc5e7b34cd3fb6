//! What a replica is told of an issuer of JWTs, when it starts.

use std::path::PathBuf;

use shared::service::Misconfigured;

use super::check::Told;
use super::source::Source;
use super::{Issuer, KeyCounts};
use crate::machine::access::subject::Subject;

/// Flags of JWTs.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct JwtArgs {
    /// Take JWTs of an issuer, beside tokens: a file or URL (https://, or http:// on this
    /// machine) with its keys (JWKS). A file is read again when it changes, a URL every five
    /// minutes
    #[arg(long, env = "SYNOD_JWT_JWKS", value_name = "FILE|URL")]
    pub jwt_jwks: Option<String>,

    /// The issuer, as its JWTs name it (iss)
    #[arg(long, env = "SYNOD_JWT_ISSUER", value_name = "ISSUER")]
    pub jwt_issuer: Option<String>,

    /// Whom JWTs must be meant for (aud)
    #[arg(long, env = "SYNOD_JWT_AUDIENCE", value_name = "AUDIENCE")]
    pub jwt_audience: Option<String>,

    /// The claim of a JWT that names its policies: an array, or a text with blanks between
    #[arg(
        long,
        env = "SYNOD_JWT_POLICIES_CLAIM",
        value_name = "CLAIM",
        default_value = "synod_policies"
    )]
    pub jwt_policies_claim: String,

    /// Authorities whose certificates are believed of the URL (PEM)
    #[arg(long, env = "SYNOD_JWT_CA", value_name = "FILE")]
    pub jwt_ca: Option<PathBuf>,
}

impl JwtArgs {
    /// The issuer, where one is told of.
    ///
    /// # Errors
    /// When something is lacking or makes no sense.
    pub(crate) fn issuer(&self, counts: KeyCounts) -> Result<Option<Issuer>, Misconfigured> {
        let Some(jwks) = &self.jwt_jwks else {
            let others = [
                ("--jwt-issuer", self.jwt_issuer.is_some()),
                ("--jwt-audience", self.jwt_audience.is_some()),
                ("--jwt-ca", self.jwt_ca.is_some()),
            ];
            return match others.iter().find(|(_, is_given)| *is_given) {
                Some((flag, _)) => Err(Misconfigured(format!(
                    "{flag} says something of JWTs, and without --jwt-jwks (SYNOD_JWT_JWKS) none \
                     is taken"
                ))),
                None => Ok(None),
            };
        };
        let needed = |flag: &str, value: &Option<String>| {
            value.clone().filter(|value| !value.is_empty()).ok_or_else(|| {
                Misconfigured(format!("--jwt-jwks (SYNOD_JWT_JWKS) takes {flag} as well"))
            })
        };
        let issuer = needed("--jwt-issuer (SYNOD_JWT_ISSUER)", &self.jwt_issuer)?;
        let audience = needed("--jwt-audience (SYNOD_JWT_AUDIENCE)", &self.jwt_audience)?;
        let anybody = Subject { issuer: issuer.clone(), subject: "anybody".to_owned() };
        anybody.check().map_err(|error| {
            Misconfigured(format!("--jwt-issuer (SYNOD_JWT_ISSUER) {issuer:?}: {error}"))
        })?;
        let source = Source::of(jwks, self.jwt_ca.as_deref())
            .map_err(|why| Misconfigured(format!("--jwt-jwks (SYNOD_JWT_JWKS) {jwks}: {why}")))?;
        let claim = self.jwt_policies_claim.clone();
        Ok(Some(Issuer::new(Told { issuer, audience, claim }, source, counts)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn issuer(args: &JwtArgs) -> Result<Option<Issuer>, Misconfigured> {
        args.issuer(KeyCounts::default())
    }

    #[test]
    fn an_issuer_takes_its_keys_its_name_and_an_audience() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("jwks.json");
        std::fs::write(&file, "{}").unwrap();
        let whole = JwtArgs {
            jwt_jwks: Some(file.to_string_lossy().into_owned()),
            jwt_issuer: Some("https://issuer".to_owned()),
            jwt_audience: Some("synod".to_owned()),
            ..JwtArgs::default()
        };
        assert!(issuer(&whole).unwrap().is_some());
        assert!(issuer(&JwtArgs::default()).unwrap().is_none());
        let with = |jwks: &str, ca: Option<&str>| {
            let (jwt_jwks, jwt_ca) = (Some(jwks.to_owned()), ca.map(PathBuf::from));
            JwtArgs { jwt_jwks, jwt_ca, ..whole.clone() }
        };
        for (args, word) in [
            (JwtArgs { jwt_issuer: None, ..whole.clone() }, "takes --jwt-issuer"),
            (JwtArgs { jwt_audience: None, ..whole.clone() }, "takes --jwt-audience"),
            (JwtArgs { jwt_jwks: None, ..whole.clone() }, "without --jwt-jwks"),
            (JwtArgs { jwt_issuer: Some("a b".to_owned()), ..whole.clone() }, "not visible"),
            (with("/no/such/file", None), "No such file"),
            (with("http://issuer.example/jwks", None), "not of this machine"),
            (with("https://issuer.example/jwks", None), "--jwt-ca"),
            (with("https://issuer.example/jwks", Some("/no/such/file")), "/no/such/file"),
        ] {
            let said = issuer(&args).unwrap_err().to_string();
            assert!(said.contains(word), "{args:?}: {said}");
        }
        assert!(issuer(&with("http://127.0.0.1:1/jwks", None)).is_ok());
        assert!(issuer(&with("http://localhost:1/jwks?of=synod", None)).is_ok());
    }
}
