//! How one of the replicas that are fittest for a read is chosen. Each policy is a pure
//! function in a file of its own; what is random is handed in.
//!
//! A policy sees candidates alone: who may be asked at all is for [`super::Pool`] to say.

mod consistent_hash;
mod least_in_flight;
mod random;
mod round_robin;

pub use self::consistent_hash::{consistent_hash, hash};
pub use self::least_in_flight::least_in_flight;
pub use self::random::random;
pub use self::round_robin::round_robin;
use super::EndpointId;

/// How reads are shared out.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    clap::ValueEnum,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "BalancingPolicy")]
pub enum Policy {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// By chance, by weight.
    Random,
    /// Of two by chance, the one that works on less.
    LeastInFlight,
    /// The same key to the same replica, while that is not overloaded.
    ConsistentHash,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::RoundRobin, Self::Random, Self::LeastInFlight, Self::ConsistentHash];

    /// Its name in flags and answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastInFlight => "least-in-flight",
            Self::ConsistentHash => "consistent-hash",
        }
    }
}

/// An endpoint as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: EndpointId,
    /// Its share of the requests, in hundredths of the operator's unit; at least 1.
    pub weight: u32,
    /// Requests that it has not answered yet.
    pub in_flight: u64,
    /// The hash of its name.
    pub name: u64,
    /// What round-robin owes it, in units of weight; negative: it had more than its share.
    pub owed: i64,
}

/// The sum of all weights.
fn whole(candidates: &[Candidate]) -> u64 {
    candidates.iter().map(|candidate| u64::from(candidate.weight)).sum()
}

/// Spreads a number over all 64 bits: the finalizer of `SplitMix64` (Steele, Lea and Flood,
/// "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
