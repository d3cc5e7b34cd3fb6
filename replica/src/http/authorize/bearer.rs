//! What a request comes with: `Authorization: Bearer SECRET` (RFC 6750, section 2.1), or a JWT
//! in the place of the secret, and nothing else.

use std::fmt;

use http::{HeaderMap, header};

use crate::jwt::Jwt;
use crate::machine::access::SecretHash;

/// The longest secret, in bytes: those that are made here have 49.
const SECRET_BYTES: usize = 256;

/// What a secret that is made here begins with, so that people and scanners know one when
/// they see it. What has two dots and does not begin so is a JWT.
pub const PREFIX: &str = "synod_";

/// What a request comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// Nothing.
    Nothing,
    /// The hash of a secret, which itself is not kept.
    Secret(SecretHash),
    /// What an issuer says, or is said to say.
    Jwt(Jwt),
}

/// Why what should be a token is none. Of what it is, nothing is said: it may be nearly a
/// secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBearer {
    /// There is more than one.
    Repeated,
    /// It is of another scheme.
    OtherScheme,
    /// It is not what a secret looks like.
    NoSecret,
}

impl fmt::Display for BadBearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated => f.write_str("Authorization is given more than once"),
            Self::OtherScheme => {
                f.write_str("Authorization is of another scheme: send Authorization: Bearer SECRET")
            }
            Self::NoSecret => write!(
                f,
                "what follows Bearer in Authorization is no secret: that has 1 to {SECRET_BYTES} \
                 of the characters A-Z a-z 0-9 - . _ ~ + / ="
            ),
        }
    }
}

impl Presented {
    /// Reads the header.
    ///
    /// # Errors
    /// Where it is there, and no token.
    pub fn of(headers: &HeaderMap) -> Result<Self, BadBearer> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(Self::Nothing),
            (Some(value), None) => value.as_bytes(),
            (Some(_), Some(_)) => return Err(BadBearer::Repeated),
        };
        let (scheme, secret) = value.split_at(value.len().min("Bearer".len()));
        if !scheme.eq_ignore_ascii_case(b"Bearer") || secret.first().is_some_and(|it| *it != b' ') {
            return Err(BadBearer::OtherScheme);
        }
        let secret = secret.trim_ascii();
        if !secret.starts_with(PREFIX.as_bytes())
            && let Some(jwt) = Jwt::of(secret)
        {
            return Ok(Self::Jwt(jwt));
        }
        if is_secret(secret) {
            Ok(Self::Secret(SecretHash::of(secret)))
        } else {
            Err(BadBearer::NoSecret)
        }
    }

    /// The hash of the secret, where it is one.
    pub(crate) fn secret(self) -> Option<SecretHash> {
        match self {
            Self::Secret(secret) => Some(secret),
            Self::Nothing | Self::Jwt(_) => None,
        }
    }
}

/// Whether it is written as a secret is (`b64token` of RFC 6750).
#[must_use]
pub fn is_secret(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
    (1..=SECRET_BYTES).contains(&text.len()) && text.iter().all(is_part)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&[u8]]) -> Result<Presented, BadBearer> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        Presented::of(&headers)
    }

    #[test]
    fn the_secret_behind_bearer_is_hashed_and_the_scheme_has_no_case() {
        let secret = Presented::Secret(SecretHash::of(b"synod_aB3-_~+/.="));
        for value in
            ["Bearer synod_aB3-_~+/.=", "bearer   synod_aB3-_~+/.= ", "BEARER synod_aB3-_~+/.="]
        {
            assert_eq!(of(&[value.as_bytes()]), Ok(secret.clone()), "{value}");
        }
        assert_eq!(of(&[]), Ok(Presented::Nothing));
    }

    #[test]
    fn what_has_two_dots_is_a_jwt_unless_it_begins_as_a_secret_does() {
        let jwt = Jwt::of(b"e30.e30.c2ln").unwrap();
        assert_eq!(of(&[b"Bearer e30.e30.c2ln"]), Ok(Presented::Jwt(jwt)));
        for text in ["synod_e30.e30.c2ln", "e30.c2ln", "a.b.c.d"] {
            let secret = SecretHash::of(text.as_bytes());
            let value = format!("Bearer {text}");
            assert_eq!(of(&[value.as_bytes()]), Ok(Presented::Secret(secret)), "{text}");
        }
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        let long = format!("Bearer {}", "a".repeat(SECRET_BYTES + 1));
        for (values, expected) in [
            (&[&b"Bearer a"[..], b"Bearer a"][..], BadBearer::Repeated),
            (&[b"Basic dXNlcjpwYXNz"], BadBearer::OtherScheme),
            (&[b"Bearertoken"], BadBearer::OtherScheme),
            (&[b""], BadBearer::OtherScheme),
            (&[b"Bearer"], BadBearer::NoSecret),
            (&[b"Bearer "], BadBearer::NoSecret),
            (&[b"Bearer a b"], BadBearer::NoSecret),
            (&[b"Bearer a,b"], BadBearer::NoSecret),
            (&[b"Bearer \xff"], BadBearer::NoSecret),
            (&[long.as_bytes()], BadBearer::NoSecret),
        ] {
            assert_eq!(of(values), Err(expected), "{values:?}");
        }
        assert!(!BadBearer::NoSecret.to_string().contains("a b"));
    }
}
