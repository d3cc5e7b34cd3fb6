//! Those whom an outside issuer vouches for (by a JWT), or an authority of the cluster (by a
//! certificate), and who has something done.
//!
//! The state knows nothing of them: each operation that one of them has done says who it is
//! and which policies the issuer gave it. Whether the issuer says so is looked at where the
//! request arrives, by whom the log takes commands from; what the policies allow is looked at
//! when it is executed, in the state as it is then.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use shared::ids::Accessor;
use shared::tls::ServiceId;

use super::policy::PolicyName;
use crate::machine::command::{Unreadable, limits, within};

/// Somebody whom an issuer vouches for.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Subject {
    /// Who vouches: 1 to [`limits::ISSUER_BYTES`] visible characters.
    pub issuer: String,
    /// For whom: 1 to [`limits::SUBJECT_BYTES`] visible characters.
    pub subject: String,
}

impl Subject {
    /// Whoever has a certificate of the cluster: its trust domain vouches for it.
    #[must_use]
    pub fn of_certificate(id: &ServiceId) -> Self {
        let issuer = format!("spiffe://{}", id.domain);
        Self { issuer, subject: format!("{}/{}", id.role.as_str(), id.name) }
    }

    /// What it is called by, as a token is: so a lease is its own also when it comes with
    /// another JWT.
    #[must_use]
    pub fn accessor(&self) -> Accessor {
        let mut digest = Sha256::new();
        // No secret's digest begins so: those have 32 bytes and nothing else.
        digest.update(b"synod: somebody whom an issuer vouches for");
        digest.update((self.issuer.len() as u64).to_be_bytes());
        digest.update(&self.issuer);
        digest.update(&self.subject);
        let digest: [u8; 32] = digest.finalize().into();
        let first = digest.first_chunk().expect("a digest has 32 bytes");
        // Zero is the cluster's own.
        Accessor(u64::from_be_bytes(*first).max(1))
    }

    /// Checks it against the limits of the format.
    ///
    /// # Errors
    /// When something is empty, too long, or not visible.
    pub fn check(&self) -> Result<(), Unreadable> {
        within("the issuer", self.issuer.len(), limits::ISSUER_BYTES)?;
        within("the subject", self.subject.len(), limits::SUBJECT_BYTES)?;
        if is_visible(&self.issuer) && is_visible(&self.subject) {
            Ok(())
        } else {
            Err(Unreadable::Subject)
        }
    }

    pub(in crate::machine) fn size(&self) -> usize {
        self.issuer.len() + self.subject.len()
    }
}

/// Whether there is something in it, and all of it can be seen (ASCII).
fn is_visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Who has something done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A token.
    Token(Accessor),
    /// Somebody whom an issuer vouches for, with these policies.
    Issued(Subject, Vec<PolicyName>),
    /// Whoever has a certificate of the cluster, where no token is required.
    Certified(Subject),
}

/// Checks policies that an issuer gives: in order, each once, not too many, and not `root`.
pub(in crate::machine) fn check_given(policies: &[PolicyName]) -> Result<(), Unreadable> {
    within("the number of a subject's policies", policies.len(), limits::TOKEN_POLICIES)?;
    if !policies.is_sorted_by(|one, next| one < next) {
        return Err(Unreadable::PoliciesOutOfOrder);
    }
    if policies.iter().any(PolicyName::is_root) {
        return Err(Unreadable::RootIssued);
    }
    Ok(())
}
