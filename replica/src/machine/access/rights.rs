//! What there is to be allowed: rights at keys, and rights in the cluster.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What may be done with keys whose beginning a rule names. A format: it stands in logs as
/// its bit, and a right is only ever added at the end.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Right {
    /// See the value of a key.
    Read,
    /// Change, create and delete a key.
    Write,
    /// See that a key exists, in a list.
    List,
    /// Be told of a key's changes.
    Watch,
    /// Take, give up and see a lock of this name.
    Lock,
    /// See what a key was.
    History,
}

/// What may be done with the cluster itself. A format, as [`Right`] is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ClusterRight {
    /// See how the cluster is.
    Read,
    /// Change what it is made of, and who may do what.
    Operate,
}

/// Something that a set of rights holds or does not.
pub trait Flag: Copy + 'static {
    /// All there are, each at the place of its bit.
    const ALL: &'static [Self];

    /// The name of it in JSON.
    fn name(self) -> &'static str;

    /// The bit that stands for it.
    fn bit(self) -> u8;
}

impl Flag for Right {
    const ALL: &'static [Self] =
        &[Self::Read, Self::Write, Self::List, Self::Watch, Self::Lock, Self::History];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Lock => "lock",
            Self::History => "history",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Flag for ClusterRight {
    const ALL: &'static [Self] = &[Self::Read, Self::Operate];

    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for ClusterRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the rights at keys.
pub type Rights = Set<Right>;

/// Some of the rights in the cluster.
pub type ClusterRights = Set<ClusterRight>;

/// A set of rights: a list of names in JSON, and its bits in logs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set<F>(u8, PhantomData<F>);

impl<F: Flag> Set<F> {
    /// None of them.
    pub const NONE: Self = Self(0, PhantomData);

    /// Every one.
    #[must_use]
    pub fn all() -> Self {
        Self::of(F::ALL)
    }

    /// These.
    #[must_use]
    pub fn of(flags: &[F]) -> Self {
        Self(flags.iter().fold(0, |bits, flag| bits | flag.bit()), PhantomData)
    }

    /// Those that either has.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0, PhantomData)
    }

    /// Whether it holds all that the other does.
    #[must_use]
    pub fn has_all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it holds one.
    #[must_use]
    pub fn has(self, flag: F) -> bool {
        self.0 & flag.bit() != 0
    }

    /// Those that it holds, in their order.
    pub fn iter(self) -> impl Iterator<Item = F> {
        F::ALL.iter().copied().filter(move |flag| self.has(*flag))
    }

    fn from_bits(bits: u8) -> Option<Self> {
        (bits & !Self::all().0 == 0).then_some(Self(bits, PhantomData))
    }
}

impl<F: Flag> Default for Set<F> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<F: Flag> fmt::Display for Set<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, flag) in self.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            f.write_str(flag.name())?;
        }
        Ok(())
    }
}

impl<F: Flag> fmt::Debug for Set<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl<F: Flag> Serialize for Set<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_seq(self.iter().map(Flag::name))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de, F: Flag + Deserialize<'de>> Deserialize<'de> for Set<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_seq(Names(PhantomData));
        }
        let bits = u8::deserialize(deserializer)?;
        Self::from_bits(bits)
            .ok_or_else(|| D::Error::custom(format!("the bits {bits:#010b} are no set of rights")))
    }
}

struct Names<F>(PhantomData<F>);

impl<'de, F: Flag + Deserialize<'de>> Visitor<'de> for Names<F> {
    type Value = Set<F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of rights: ")?;
        write!(f, "{}", Set::<F>::all())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Set<F>, A::Error> {
        let mut rights = Set::NONE;
        while let Some(flag) = names.next_element::<F>()? {
            rights = rights.and(Set::of(&[flag]));
        }
        Ok(rights)
    }
}

impl<F: JsonSchema> JsonSchema for Set<F> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("{}s", F::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<F>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_names_in_json_and_one_byte_in_logs() {
        let rights = Rights::of(&[Right::History, Right::Read, Right::Write]);
        assert_eq!(serde_json::to_string(&rights).unwrap(), r#"["read","write","history"]"#);
        let read: Rights = serde_json::from_str(r#"["history","read","write","read"]"#).unwrap();
        assert_eq!(read, rights);
        assert_eq!(postcard::to_allocvec(&rights).unwrap(), [0b10_0011]);
        assert_eq!(postcard::from_bytes::<Rights>(&[0b10_0011]).unwrap(), rights);
        assert_eq!(postcard::to_allocvec(&ClusterRights::all()).unwrap(), [0b11]);
    }

    #[test]
    fn what_is_no_set_of_rights_is_refused() {
        for bad in [r#"["reads"]"#, r#""read""#, "{}", "3", "null", r#"["operate"]"#, "[1]"] {
            assert!(serde_json::from_str::<Rights>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<ClusterRights>(r#"["write"]"#).is_err());
        assert!(postcard::from_bytes::<Rights>(&[0b100_0000]).is_err());
        assert!(postcard::from_bytes::<ClusterRights>(&[0b100]).is_err());
    }
}
