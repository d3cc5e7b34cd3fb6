//! A token that was made: its secret, which is told once, and the answer that tells it.

use std::fmt;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::{Accessor, Revision};
use shared::problem::REVISION;
use shared::random;
use shared::wire;

use crate::http::authorize::bearer::PREFIX;
use crate::http::mutation::{Mutated, Performed};
use crate::http::refused::Refused;
use crate::machine::access::SecretHash;
use crate::machine::access::outcome::AccessDone;
use crate::machine::access::policy::PolicyName;

/// A secret, until it is told.
pub(super) struct Secret(pub(super) String);

impl Secret {
    /// 256 random bits.
    pub(super) fn draw() -> Self {
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random::secret())))
    }

    pub(super) fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A token that was made.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "TokenMade")]
pub(super) struct Made<'a> {
    accessor: Accessor,
    /// Told this once. None: it is the one that the request came with.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    policies: &'a [PolicyName],
    /// When it ends at the earliest, in seconds since 1970; none: it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    revision: Revision,
}

impl Made<'static> {
    /// One for the contract.
    pub(super) fn example() -> Self {
        let (accessor, revision) = (Accessor(0xaa), Revision(42));
        let secret = Some("synod_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        Self { accessor, secret, policies: &[], expires: Some(1_800_000_000), revision }
    }
}

pub(super) fn made(
    performed: Performed,
    secret: Option<&Secret>,
    policies: &[PolicyName],
    expires: Option<u64>,
) -> Result<Response, Refused> {
    let Mutated::Access {
        revision,
        done: AccessDone::Bootstrapped { accessor } | AccessDone::TokenCreated { accessor, .. },
    } = performed.mutated
    else {
        unreachable!("{:?} is no token that was made", performed.mutated)
    };
    let secret = secret.map(|secret| secret.0.as_str());
    let mut response = wire::json(&Made { accessor, secret, policies, expires, revision });
    *response.status_mut() = StatusCode::CREATED;
    let location = HeaderValue::try_from(format!("/v1/tokens/{accessor}"));
    let location = location.expect("a path and digits are safe in a header");
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(REVISION, HeaderValue::from(revision.0));
    Ok(response)
}
