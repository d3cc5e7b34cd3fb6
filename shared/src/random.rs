//! The one place where randomness is drawn. Cores are handed what they need of it.
#![expect(clippy::disallowed_methods, reason = "drawing at random is what this module is for")]

use std::time::Duration;

use crate::ids::{AcceptorId, CoordinatorId, Draw, Instance};

/// 64 random bits.
#[must_use]
pub fn nonce() -> u64 {
    rand::random()
}

/// An identity for a request.
#[must_use]
pub fn identity() -> [u8; 16] {
    rand::random()
}

/// What nobody guesses: 256 random bits, of the operating system's seeding.
#[must_use]
pub fn secret() -> [u8; 32] {
    rand::random()
}

/// An identity for a new acceptor's data directory.
#[must_use]
pub fn acceptor_id() -> AcceptorId {
    AcceptorId(nonce())
}

/// An acceptor's part in the identity of the cluster that it will help to form.
#[must_use]
pub fn draw() -> Draw {
    Draw(nonce())
}

/// An identity for one life of a coordinator.
#[must_use]
pub fn coordinator_id() -> CoordinatorId {
    CoordinatorId(nonce())
}

/// An identity for one life of a process.
#[must_use]
pub fn instance() -> Instance {
    Instance(nonce())
}

/// A delay in `0..=longest`, so that services which failed together do not try again
/// together.
#[must_use]
pub fn jitter(longest: Duration) -> Duration {
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(rand::random_range(0..=nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_range() {
        let longest = Duration::from_millis(3);
        assert!((0..1_000).all(|_| jitter(longest) <= longest));
        assert_eq!(jitter(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn two_lives_differ() {
        assert_ne!(instance(), instance());
    }
}
