//! The keys of an issuer (RFC 7517), and what was checked by them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse, RSAKeyParameters,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::check::{BadJwt, Jwt, Told, Vouched};
use super::forged::Forged;

/// The most keys of an issuer.
const MOST_KEYS: usize = 64;
/// The most JWTs that are remembered to be good: each request with one is looked at twice.
const MOST_CHECKED: usize = 1_024;
/// How much is said of what is no set of keys.
const SHOWN_CHARS: usize = 256;
/// The lengths of an RSA key's modulus that are taken, in bytes: 2048 to 4096 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Keys, and what was checked by them: with others, all is checked anew.
#[derive(Debug, Default)]
pub struct Keys {
    keys: Vec<Key>,
    /// What they are of.
    text: Vec<u8>,
    /// By the digest of the JWT, which itself is not kept.
    checked: Mutex<BTreeMap<[u8; 32], Arc<Vouched>>>,
}

/// One that can be used.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    /// What it may have signed with, by what it is.
    pub(super) allowed: Vec<Algorithm>,
    pub(super) public: DecodingKey,
    /// What it is, whatever else is said of it.
    material: AlgorithmParameters,
    /// Cancelled once the issuer has it no more.
    pub(super) withdrawn: CancellationToken,
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

impl Keys {
    /// Reads a set of keys. What cannot be used of it is passed over (RFC 7517, section 5).
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn of(text: &[u8]) -> Result<Self, String> {
        let Set { keys } = serde_json::from_slice(text).map_err(|error| {
            // It repeats what it has found, however long that is.
            let said: String = error.to_string().chars().take(SHOWN_CHARS).collect();
            format!("it is no set of keys (JWKS): {said}")
        })?;
        let count = keys.len();
        if count > MOST_KEYS {
            return Err(format!("it has {count} keys, the limit is {MOST_KEYS}"));
        }
        let keys: Vec<Key> = keys.into_iter().filter_map(Key::of).collect();
        if keys.is_empty() {
            return Err(format!(
                "none of its {count} keys can be used: RSA of 2048 to 4096 bits, P-256, P-384 or \
                 Ed25519, to verify"
            ));
        }
        Ok(Self { keys, text: text.to_vec(), checked: Mutex::default() })
    }

    /// Takes the place of these: who is vouched for by a key that is here too still is, and
    /// nobody by one that is not, once these are [withdrawn](Self::withdraw).
    pub(super) fn succeeding(mut self, former: &Self) -> Self {
        for key in &mut self.keys {
            if let Some(same) = former.keys.iter().find(|former| key.is_same(former)) {
                key.withdrawn = same.withdrawn.clone();
            }
        }
        self
    }

    /// Those who are vouched for by one of these that is not among their successors are so no
    /// more.
    pub(super) fn withdraw(&self, successors: &Self) {
        let stays = |key: &Key| successors.keys.iter().any(|successor| successor.is_same(key));
        self.keys.iter().filter(|key| !stays(key)).for_each(|key| key.withdrawn.cancel());
    }

    /// Whether none are known yet.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many can be used.
    #[must_use]
    pub fn count(&self) -> i64 {
        i64::try_from(self.keys.len()).unwrap_or(i64::MAX)
    }

    /// Whether they are of the same text.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.text == other.text
    }

    /// The one that has signed: by its name, or the only one there is.
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, BadJwt> {
        if self.is_empty() {
            return Err(BadJwt::NoKeys);
        }
        let named: Vec<&Key> = match (kid, self.keys.as_slice()) {
            (Some(kid), keys) => {
                keys.iter().filter(|key| key.kid.as_deref() == Some(kid)).collect()
            }
            (None, [only]) => vec![only],
            (None, _) => return Err(BadJwt::NoKid),
        };
        if named.is_empty() {
            return Err(BadJwt::UnknownKid);
        }
        let of_algorithm = named.into_iter().find(|key| key.allowed.contains(&algorithm));
        of_algorithm.ok_or(BadJwt::Algorithm)
    }

    /// Whom a JWT is of, at a time. One that was good is good until it ends.
    pub(super) fn check(
        &self,
        told: &Told,
        jwt: &Jwt,
        forged: &Forged,
        now_s: u64,
    ) -> Result<Arc<Vouched>, BadJwt> {
        let digest = jwt.digest();
        let known = self.lock().get(&digest).cloned();
        let vouched = match known {
            Some(vouched) if vouched.left_s(now_s).is_none() => return Err(BadJwt::Expired),
            Some(vouched) => return Ok(vouched),
            None => Arc::new(forged.bounded(now_s, || told.check(self, jwt, now_s))?),
        };
        let mut checked = self.lock();
        if checked.len() >= MOST_CHECKED {
            checked.clear();
        }
        checked.insert(digest, Arc::clone(&vouched));
        Ok(vouched)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 32], Arc<Vouched>>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Keys {
    /// Their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.keys.iter().map(|key| key.kid.as_deref().unwrap_or("(no kid)"));
        f.debug_list().entries(names).finish()
    }
}

impl Key {
    fn is_same(&self, other: &Self) -> bool {
        self.kid == other.kid && self.material == other.material
    }

    /// None: it is of a kind that is not taken, or for something else.
    fn of(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let common = &jwk.common;
        let is_to_sign =
            common.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
        let operations = common.key_operations.as_ref();
        let is_to_verify = operations.is_none_or(|all| all.contains(&KeyOperations::Verify));
        if !is_to_sign || !is_to_verify {
            return None;
        }
        let mut allowed = algorithms_of(&jwk.algorithm)?;
        if let Some(only) = common.key_algorithm {
            let only = Algorithm::try_from(only).ok()?;
            allowed.retain(|allowed| *allowed == only);
        }
        let public = DecodingKey::from_jwk(&jwk).ok().filter(|_| !allowed.is_empty())?;
        let (kid, material) = (jwk.common.key_id, jwk.algorithm);
        Some(Self { kid, allowed, public, material, withdrawn: CancellationToken::new() })
    }
}

/// What a key can sign with, none where it is not taken at all. What both sides know (`oct`)
/// is no key of an issuer.
fn algorithms_of(parameters: &AlgorithmParameters) -> Option<Vec<Algorithm>> {
    let has = |text: &String, bytes: usize| length_of(text) == Some(bytes);
    if let AlgorithmParameters::RSA(RSAKeyParameters { n, .. }) = parameters {
        let taken = length_of(n).is_some_and(|bytes| RSA_BYTES.contains(&bytes));
        return taken.then(|| {
            use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
            vec![RS256, RS384, RS512, PS256, PS384, PS512]
        });
    }
    if let AlgorithmParameters::EllipticCurve(point) = parameters {
        let curves = [
            (EllipticCurve::P256, 32, Algorithm::ES256),
            (EllipticCurve::P384, 48, Algorithm::ES384),
        ];
        let (_, bytes, algorithm) = curves.into_iter().find(|(curve, ..)| *curve == point.curve)?;
        return (has(&point.x, bytes) && has(&point.y, bytes)).then(|| vec![algorithm]);
    }
    if let AlgorithmParameters::OctetKeyPair(point) = parameters {
        let taken = point.curve == EllipticCurve::Ed25519 && has(&point.x, 32);
        return taken.then(|| vec![Algorithm::EdDSA]);
    }
    None
}

/// The length of what is encoded, in bytes.
fn length_of(text: &str) -> Option<usize> {
    URL_SAFE_NO_PAD.decode(text).ok().map(|bytes| bytes.len())
}
