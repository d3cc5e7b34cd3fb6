//! The vocabulary: one newtype for each thing that is counted or named.
//!
//! Watermarks (`chosen_below`, `executed_below`, `trimmed_below`, `voted_below`) are
//! [`Slot`]s and always exclusive: everything *below* the mark, and nothing at or above
//! it, is meant.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone,
            Copy,
            Debug,
            Default,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            Serialize,
            Deserialize,
            JsonSchema,
        )]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this one.
            ///
            /// # Panics
            /// When 2^64 of them were used up.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect(concat!(stringify!($name), " space exhausted")))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// A position in the log. The first slot is 0.
    Slot
}
counter! {
    /// The number of a view: who is primary. 0 means that no view has been executed yet.
    Epoch
}
counter! {
    /// The client's counter of executed mutations.
    Revision
}
counter! {
    /// A lease: the revision that granted it, so that no other ever has the same.
    LeaseId
}
counter! {
    /// Which of a cluster's rosters: 0 is the one that it formed with.
    Generation
}
counter! {
    /// The number of a batch within its epoch. The first batch of an epoch is 0.
    BatchNumber
}

/// The format of the log: how its values are encoded and what executing them means. It is
/// part of the replicated state and only ever raised, by a [`View`](crate::message::View),
/// once every member of the view can read the next one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
#[schemars(inline)]
pub struct LogFormat(pub u16);

impl LogFormat {
    /// What every log begins with, and every replica can read.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! nonce {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = NonceError;

            fn from_str(text: &str) -> Result<Self, NonceError> {
                parse_nonce(text).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "pattern": "^[0-9a-f]{16}$"})
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_u64(self.0) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    u64::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

nonce! {
    /// A coordinator's identity, drawn at random at each start, so that no ballot is ever
    /// used twice and nothing need be stored. In JSON sixteen hexadecimal digits.
    CoordinatorId
}
nonce! {
    /// An acceptor's identity, drawn at random when its data directory is made and kept
    /// there: an acceptor that lost its disk is another acceptor.
    AcceptorId
}
nonce! {
    /// One life of a process, drawn at random at each start: tells a service from what it
    /// was before a restart.
    Instance
}
nonce! {
    /// What an acceptor draws with its identity, for the cluster that it will help to
    /// form: see [`Roster::form`](crate::message::Roster::form).
    Draw
}
nonce! {
    /// A cluster's identity. It is made of its acceptors' [`Draw`]s when it forms, stands
    /// in every roster that follows, and never changes.
    ClusterId
}
nonce! {
    /// What a token is called, which is no secret: it is made of a digest of its secret's
    /// digest.
    Accessor
}

impl Accessor {
    /// No token's: what a cluster does by itself stands in the log under it. No digest is
    /// zero.
    pub const CLUSTER: Self = Self(0);
}

/// A text is not the sixteen hexadecimal digits of an identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an identity of 16 hexadecimal digits")]
pub struct NonceError {
    text: String,
}

/// Reads a random number that was written with all its digits: one that lost some is
/// another.
pub(crate) fn parse_nonce(text: &str) -> Result<u64, NonceError> {
    let well_formed = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let parsed = if well_formed { u64::from_str_radix(text, 16).ok() } else { None };
    parsed.ok_or_else(|| NonceError { text: text.chars().take(64).collect() })
}

/// A ballot number, totally ordered by round, then by coordinator (Lamport, *Paxos Made
/// Simple*, section 2.2: different proposers choose their numbers from disjoint sets).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Ballot {
    /// Compared first; a coordinator that wants to lead picks one above every round it
    /// has seen.
    pub round: u64,
    /// Whose ballot it is.
    pub coordinator: CoordinatorId,
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.round, self.coordinator)
    }
}

/// The name that an operator gives a service: 1 to 64 of `a-z`, `0-9` and `-`, for
/// instance `replica-2`.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, extend("pattern" = "^[a-z0-9-]{1,64}$"))]
pub struct Name(String);

impl Name {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text is not a [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a service name: 1 to {} of a-z, 0-9 and '-'", Name::MAX_LEN)]
pub struct NameError {
    text: String,
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let in_length = (1..=Self::MAX_LEN).contains(&text.len());
        let in_alphabet = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if in_length && in_alphabet {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError { text: text.chars().take(2 * Self::MAX_LEN).collect() })
        }
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballots_are_ordered_by_round_then_by_coordinator() {
        let ballot = |round, coordinator| Ballot { round, coordinator: CoordinatorId(coordinator) };
        assert!(ballot(1, 9) < ballot(2, 1));
        assert!(ballot(2, 1) < ballot(2, 2));
    }

    #[test]
    fn an_identity_is_hex_text_in_json_and_a_number_in_binary() {
        let id = CoordinatorId(0x00ab_cdef_0123_4567);
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"00abcdef01234567\"");
        assert_eq!(serde_json::from_str::<CoordinatorId>("\"00abcdef01234567\"").unwrap(), id);
        let bytes = postcard::to_allocvec(&id).unwrap();
        assert_eq!(postcard::from_bytes::<CoordinatorId>(&bytes).unwrap(), id);
        assert!(serde_json::from_str::<CoordinatorId>("\"+0abcdef01234567\"").is_err());
    }

    #[test]
    fn a_name_is_short_and_plain() {
        assert!("replica-2".parse::<Name>().is_ok());
        for bad in ["", "Replica", "a b", "a/b", &"x".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }
}
