//! Which request a command is, on every replica and however it travels.

use std::fmt;

use serde::{Deserialize, Serialize};
use shared::ids::Accessor;

/// The identity of a request in the replicated log. What comes of it is said of this, and
/// not of a position in a batch or of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RequestIdentity {
    /// Drawn at random by the replica that took the request, so that no other request has
    /// it.
    Drawn([u8; 16]),
    /// Of the `Idempotency-Key` that the client sent: it is executed once however often it
    /// comes, and its first answer is kept.
    Keyed(IdempotencyKey),
}

impl fmt::Display for RequestIdentity {
    /// Hexadecimal, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Drawn(bytes) => write!(f, "{:032x}", u128::from_be_bytes(*bytes)),
            Self::Keyed(key) => write!(f, "key-{key}"),
        }
    }
}

/// The digest (BLAKE3, cut) of an `Idempotency-Key`, and of the token that said it, where one
/// did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IdempotencyKey(pub [u8; 16]);

impl IdempotencyKey {
    /// Of the key as the client wrote it, without quotation marks.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(cut(&blake3::hash(text.as_bytes())))
    }

    /// The same where a token says it: each has keys of its own, so that none takes another's
    /// and none finds out which another has used.
    #[must_use]
    pub fn of_token(self, by: Accessor) -> Self {
        // No text of a client's has such a digest.
        let mut hasher = blake3::Hasher::new_derive_key("synod: an idempotency key of a token");
        hasher.update(&by.0.to_be_bytes()).update(&self.0);
        Self(cut(&hasher.finalize()))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The digest (BLAKE3, cut) of all that a request asks for: two requests by one key are
/// the same exactly where theirs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestDigest(pub [u8; 16]);

impl RequestDigest {
    /// Of something in its encoding.
    #[must_use]
    pub fn of(encoded: &[u8]) -> Self {
        Self(cut(&blake3::hash(encoded)))
    }
}

fn cut(hash: &blake3::Hash) -> [u8; 16] {
    *hash.as_bytes().first_chunk().expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_token_s_own_and_always_the_same() {
        let key = IdempotencyKey::of("order-17");
        let (one, two) = (key.of_token(Accessor(1)), key.of_token(Accessor(2)));
        assert!(one != key && two != key && one != two);
        assert_eq!(IdempotencyKey::of("order-17").of_token(Accessor(1)), one);
        assert!(IdempotencyKey::of("order-18").of_token(Accessor(1)) != one);
    }

    #[test]
    fn keys_of_tokens_never_change() {
        let of_token = IdempotencyKey::of("order-17").of_token(Accessor(7));
        assert_eq!(of_token.to_string(), "16da07dd298c61e7ae56e867da282ae6");
    }
}
