//! Which request a command is, on every replica and however it travels.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The identity of a request in the replicated log. What comes of it is said of this, and
/// not of a position in a batch or of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RequestIdentity {
    /// Drawn at random by the replica that took the request, so that no other request has
    /// it.
    Drawn([u8; 16]),
}

impl fmt::Display for RequestIdentity {
    /// Hexadecimal, for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Drawn(bytes) = self;
        write!(f, "{:032x}", u128::from_be_bytes(*bytes))
    }
}
