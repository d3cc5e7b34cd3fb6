//! A mutation that its sender may send again when the answer was lost.
//!
//! The balancer names each mutation that has no `Idempotency-Key`, in the header
//! `Synod-Request`, and says up to where the log was executed then. So the mutation can
//! only be executed at that slot or above; and replicas that know what was executed from
//! there on know whether it was, and answer a repeat as the first was, or would have been,
//! answered. They know of the last thousands of requests: what is older they refuse, and
//! then nobody knows.

use std::fmt;
use std::str::FromStr;

use crate::ids::Slot;

/// The header that names a mutation: `HEX;since=SLOT`.
pub const HEADER: &str = "synod-request";

/// The name of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeatable {
    /// Drawn at random by whoever sends it.
    pub identity: [u8; 16],
    /// Every slot below was executed before it was sent for the first time.
    pub since: Slot,
}

/// A text names no mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not 32 hexadecimal digits, `;since=` and a slot")]
pub struct NoName;

impl fmt::Display for Repeatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x};since={}", u128::from_be_bytes(self.identity), self.since)
    }
}

impl FromStr for Repeatable {
    type Err = NoName;

    fn from_str(text: &str) -> Result<Self, NoName> {
        let is_number = |text: &str, digits: fn(&u8) -> bool| text.bytes().all(|b| digits(&b));
        let (identity, since) = text.split_once(";since=").ok_or(NoName)?;
        if identity.len() != 32
            || !is_number(identity, u8::is_ascii_hexdigit)
            || !is_number(since, u8::is_ascii_digit)
        {
            return Err(NoName);
        }
        let identity = u128::from_str_radix(identity, 16).map_err(|_| NoName)?.to_be_bytes();
        Ok(Self { identity, since: Slot(since.parse().map_err(|_| NoName)?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let name = Repeatable { identity: [0xab; 16], since: Slot(42) };
        assert_eq!(name.to_string(), format!("{};since=42", "ab".repeat(16)));
        assert_eq!(name.to_string().parse(), Ok(name));
        let identity = "0".repeat(32);
        for bad in [
            "",
            ";since=1",
            &identity,
            &format!("{identity};since="),
            &format!("{identity};since=+1"),
            &format!("{identity};since=18446744073709551616"),
            &format!("+{};since=1", "0".repeat(31)),
            &format!("{identity}0;since=1"),
        ] {
            assert_eq!(bad.parse::<Repeatable>(), Err(NoName), "{bad:?}");
        }
    }
}
