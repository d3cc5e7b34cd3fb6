//! Whether an issuer vouches for somebody by a JWT: its signature and its claims.
//!
//! The signature comes first, so that nothing is told of claims that nobody made. Pure: the
//! time is handed in.

use std::fmt;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::keys::Keys;
use crate::machine::access::policy::PolicyName;
use crate::machine::access::subject::{Author, Subject};
use crate::machine::command::limits;

/// The longest JWT, in bytes.
const MOST_BYTES: usize = 8 << 10;
/// By so much the issuer's clock may differ from this machine's. Seconds.
const LEEWAY_S: u64 = 30;
/// What it may say that it is, where it says so: an ID token, or an access token (RFC 9068).
const TYPES: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

/// A JWT, as it came: nothing of it is told to anybody.
#[derive(Clone, PartialEq, Eq)]
pub struct Jwt(String);

impl Jwt {
    /// Of what stands after `Bearer`, where that is text with two dots.
    #[must_use]
    pub fn of(text: &[u8]) -> Option<Self> {
        let has_two_dots = text.iter().filter(|byte| **byte == b'.').count() == 2;
        let text = std::str::from_utf8(text).ok().filter(|_| has_two_dots)?;
        Some(Self(text.to_owned()))
    }

    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwt({} bytes)", self.0.len())
    }
}

/// What JWTs are held against, beside the keys.
#[derive(Clone, Debug)]
pub struct Told {
    /// Who must have issued them …
    pub issuer: String,
    /// … and for whom.
    pub audience: String,
    /// The claim that names policies.
    pub claim: String,
}

/// Somebody whom the issuer vouches for.
#[derive(Clone, Debug)]
pub struct Vouched {
    /// Who.
    pub subject: Subject,
    /// The policies, in order, each once.
    pub policies: Vec<PolicyName>,
    /// Until when. Seconds since 1970.
    pub expires_s: u64,
    /// Cancelled once the key that has signed it is the issuer's no more.
    pub(super) key_withdrawn: CancellationToken,
}

impl Vouched {
    /// How much is left of its time; none where that is over.
    pub(super) fn left_s(&self, now_s: u64) -> Option<u64> {
        let ends_s = self.expires_s.saturating_add(LEEWAY_S);
        ends_s.checked_sub(now_s).filter(|left| *left > 0)
    }

    /// As it stands in the log.
    pub(crate) fn author(&self) -> Author {
        Author::Issued(self.subject.clone(), self.policies.clone())
    }
}

/// Which check a JWT has failed. Of what it says, nothing is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadJwt {
    /// None is taken here.
    #[error("this replica takes no JWTs: it was started without --jwt-jwks")]
    NotTaken,
    /// It is too long.
    #[error("it has {0} bytes, the limit is {MOST_BYTES}")]
    TooLong(usize),
    /// Its header cannot be read, or asks for what is not understood here.
    #[error(
        "its header is not one of a JWT signed with RS256, RS384, RS512, PS256, PS384, PS512, \
         ES256, ES384 or EdDSA (alg, typ, crit)"
    )]
    Header,
    /// Nobody knows yet what the issuer signs with.
    #[error("this replica could not read the issuer's keys yet, and its log says why")]
    NoKeys,
    /// Its key is not one that signs so.
    #[error("the issuer's key of that name (kid) does not sign with that algorithm (alg)")]
    Algorithm,
    /// It does not say which key has signed it.
    #[error("it names no key (kid), and the issuer has several")]
    NoKid,
    /// The issuer has no such key.
    #[error("the issuer has no key of that name (kid)")]
    UnknownKid,
    /// So many signatures were no good just now that no further one is looked at.
    #[error("too many JWTs with signatures that are not the issuer's came just now")]
    TooManyForged,
    /// It is not what the key has signed.
    #[error("the signature is not the issuer's")]
    Signature,
    /// What was signed are no claims.
    #[error("its claims cannot be read")]
    Claims,
    /// A claim is absent, or not of its type.
    #[error("the claim {0} is absent, or not what it should be")]
    Claim(&'static str),
    /// It is another issuer's.
    #[error("it is of another issuer (iss)")]
    Issuer,
    /// It is for others.
    #[error("it is meant for others (aud)")]
    Audience,
    /// Its time is over.
    #[error("its time is over (exp)")]
    Expired,
    /// Its time has not come.
    #[error("its time has not come (nbf)")]
    NotYet,
    /// Nobody can be called so.
    #[error("its subject (sub) is not 1 to {} visible characters", limits::SUBJECT_BYTES)]
    Subject,
    /// It has more policies than a token may have.
    #[error("it has {0} policies, the limit is {limit}", limit = limits::TOKEN_POLICIES)]
    TooManyPolicies(usize),
    /// It names the policy `root`.
    #[error("it names the policy root, which is in no issuer's gift")]
    Root,
    /// What should be policies are none.
    #[error("its policies are no array of names, and no text of names with blanks between")]
    Policies,
}

impl BadJwt {
    /// Whether it may be good by keys that the issuer has by now.
    pub(crate) fn may_be_of_new_key(&self) -> bool {
        matches!(self, Self::NoKeys | Self::UnknownKid)
    }
}

impl Told {
    /// Whom a JWT is of, at a time, in seconds since 1970.
    ///
    /// # Errors
    /// Which check it has failed.
    pub fn check(&self, keys: &Keys, jwt: &Jwt, now_s: u64) -> Result<Vouched, BadJwt> {
        let Jwt(text) = jwt;
        if text.len() > MOST_BYTES {
            return Err(BadJwt::TooLong(text.len()));
        }
        let header = decode_header(text).map_err(|_| BadJwt::Header)?;
        let is_type = |of: &String| TYPES.iter().any(|known| known.eq_ignore_ascii_case(of));
        let is_understood = header.crit.is_none() && header.typ.as_ref().is_none_or(is_type);
        if !is_understood || !is_asymmetric(header.alg) {
            return Err(BadJwt::Header);
        }
        let key = keys.find(header.kid.as_deref(), header.alg)?;
        let mut only = Validation::new(header.alg);
        // All that claims say is looked at below, by the time that is handed in.
        (only.validate_exp, only.validate_aud) = (false, false);
        only.required_spec_claims.clear();
        let decoded = decode::<Value>(text, &key.public, &only).map_err(|error| {
            let is_json = matches!(error.kind(), jsonwebtoken::errors::ErrorKind::Json(_));
            if is_json { BadJwt::Claims } else { BadJwt::Signature }
        })?;
        let Value::Object(claims) = decoded.claims else { return Err(BadJwt::Claims) };
        self.check_claims(&claims, key.withdrawn.clone(), now_s)
    }

    fn check_claims(
        &self,
        claims: &Map<String, Value>,
        key_withdrawn: CancellationToken,
        now_s: u64,
    ) -> Result<Vouched, BadJwt> {
        let text = |name: &'static str| {
            claims.get(name).and_then(Value::as_str).ok_or(BadJwt::Claim(name))
        };
        if text("iss")? != self.issuer {
            return Err(BadJwt::Issuer);
        }
        let audience = claims.get("aud").ok_or(BadJwt::Claim("aud"))?;
        let is_ours = |one: &Value| one.as_str() == Some(&self.audience);
        let is_meant = audience.as_array().map_or(is_ours(audience), |all| all.iter().any(is_ours));
        if !is_meant {
            return Err(BadJwt::Audience);
        }
        let subject = Subject { issuer: self.issuer.clone(), subject: text("sub")?.to_owned() };
        subject.check().map_err(|_| BadJwt::Subject)?;
        let expires_s = claims.get("exp").and_then(seconds).ok_or(BadJwt::Claim("exp"))?;
        if let Some(not_before) = claims.get("nbf") {
            let not_before_s = seconds(not_before).ok_or(BadJwt::Claim("nbf"))?;
            if not_before_s > now_s.saturating_add(LEEWAY_S) {
                return Err(BadJwt::NotYet);
            }
        }
        let policies = policies_of(claims.get(&self.claim))?;
        let vouched = Vouched { subject, policies, expires_s, key_withdrawn };
        vouched.left_s(now_s).ok_or(BadJwt::Expired)?;
        Ok(vouched)
    }
}

/// Who has the key for the others can both check and make a JWT.
fn is_asymmetric(algorithm: Algorithm) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA].contains(&algorithm)
}

/// A time of a claim, which may have a fraction.
fn seconds(claim: &Value) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    let whole = |number: f64| number as u64;
    claim.as_u64().or_else(|| claim.as_f64().map(whole))
}

/// The policies of a claim, in order, each once; none where there is no such claim.
fn policies_of(claim: Option<&Value>) -> Result<Vec<PolicyName>, BadJwt> {
    let names: Vec<&str> = match claim {
        None => Vec::new(),
        Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
        Some(Value::Array(all)) => {
            let names: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            names.ok_or(BadJwt::Policies)?
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return Err(BadJwt::Policies);
        }
    };
    if names.len() > limits::TOKEN_POLICIES {
        return Err(BadJwt::TooManyPolicies(names.len()));
    }
    let policies: Result<Vec<PolicyName>, _> = names.into_iter().map(str::parse).collect();
    let mut policies = policies.map_err(|_| BadJwt::Policies)?;
    if policies.iter().any(PolicyName::is_root) {
        return Err(BadJwt::Root);
    }
    policies.sort();
    policies.dedup();
    Ok(policies)
}
