//! Policies: rules with a name, which tokens are made with.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::bounded;

pub use super::rights::{ClusterRight, ClusterRights, Right, Rights};
use crate::machine::command::{Unreadable, limits, within};

/// The name of a policy: 1 to [`limits::POLICY_NAME_BYTES`] of `A-Z a-z 0-9 . _ -`, and not
/// only dots, which no path can name.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, extend("minLength" = 1, "maxLength" = limits::POLICY_NAME_BYTES))]
pub struct PolicyName(String);

/// A text is no name of a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no name of a policy: it has 1 to {} bytes of A-Z a-z 0-9 . _ - and is not only \
     dots",
    limits::POLICY_NAME_BYTES
)]
pub struct NotAPolicyName {
    text: String,
}

/// What tokens that have it may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What they may do with keys and locks. Of the rules whose prefix a key starts with, the
    /// one with the longest decides; what no rule speaks of is denied.
    #[serde(default, deserialize_with = "bounded::list")]
    #[schemars(length(max = limits::POLICY_RULES))]
    pub rules: Vec<Rule>,
    /// What they may do with the cluster.
    #[serde(default)]
    pub cluster: ClusterRights,
}

/// What may be done with all keys and locks that start so, where no longer prefix speaks of
/// them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The beginning of the keys; all keys where it is empty.
    #[schemars(extend("maxLength" = limits::KEY_BYTES))]
    pub prefix: String,
    /// What may be done. Nothing where it is empty.
    pub rights: Rights,
}

impl PolicyName {
    /// The policy that is always there, allows everything, and can be neither put nor deleted.
    pub const ROOT: &str = "root";

    /// The name of it.
    #[must_use]
    pub fn root() -> Self {
        Self(Self::ROOT.to_owned())
    }

    /// Whether it is that name.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0 == Self::ROOT
    }

    /// The text of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PolicyName {
    type Error = NotAPolicyName;

    fn try_from(text: String) -> Result<Self, NotAPolicyName> {
        let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let has_length = (1..=limits::POLICY_NAME_BYTES).contains(&text.len());
        if has_length && text.bytes().all(is_fine) && text.bytes().any(|byte| byte != b'.') {
            Ok(Self(text))
        } else {
            let text = text.chars().take(limits::POLICY_NAME_BYTES).collect();
            Err(NotAPolicyName { text })
        }
    }
}

impl std::str::FromStr for PolicyName {
    type Err = NotAPolicyName;

    fn from_str(text: &str) -> Result<Self, NotAPolicyName> {
        Self::try_from(text.to_owned())
    }
}

impl From<PolicyName> for String {
    fn from(name: PolicyName) -> Self {
        name.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Policy {
    /// The one of [`PolicyName::ROOT`]: everything.
    #[must_use]
    pub fn root() -> Self {
        let rules = vec![Rule { prefix: String::new(), rights: Rights::all() }];
        Self { rules, cluster: ClusterRights::all() }
    }

    /// Holds it to the limits of the format.
    ///
    /// # Errors
    /// When there are too many rules, or a prefix is too long.
    pub fn check(&self) -> Result<(), Unreadable> {
        within("a policy's number of rules", self.rules.len(), limits::POLICY_RULES)?;
        let mut lengths = self.rules.iter().map(|rule| rule.prefix.len());
        lengths.try_for_each(|length| within("the prefix of a rule", length, limits::KEY_BYTES))
    }

    /// About how many bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 32;
        FIXED + self.rules.iter().map(|rule| FIXED + rule.prefix.len()).sum::<usize>()
    }

    /// About how many bytes it adds at most where it is joined with others: so much is gone
    /// through to do so.
    pub(super) fn joined_size(&self) -> usize {
        const FIXED: usize = 64;
        self.rules.iter().map(|rule| FIXED + rule.prefix.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: &str, rights: &[Right]) -> Rule {
        Rule { prefix: prefix.to_owned(), rights: Rights::of(rights) }
    }

    #[test]
    fn a_policy_is_what_the_contract_shows() {
        let json = r#"{"rules":[{"prefix":"app/","rights":["read","list"]},{"prefix":"","rights":[]}],"cluster":["read"]}"#;
        let policy = Policy {
            rules: vec![rule("app/", &[Right::Read, Right::List]), rule("", &[])],
            cluster: ClusterRights::of(&[ClusterRight::Read]),
        };
        assert_eq!(serde_json::from_str::<Policy>(json).unwrap(), policy);
        assert_eq!(serde_json::to_string(&policy).unwrap(), json);
        let bytes = postcard::to_allocvec(&policy).unwrap();
        assert_eq!(postcard::from_bytes::<Policy>(&bytes).unwrap(), policy);
        assert_eq!(serde_json::from_str::<Policy>("{}").unwrap(), Policy::default());
    }

    #[test]
    fn a_policy_beyond_a_limit_is_refused_with_both_numbers() {
        let many =
            |rules: usize| Policy { rules: vec![rule("a", &[]); rules], ..Policy::default() };
        assert_eq!(many(limits::POLICY_RULES).check(), Ok(()));
        let refused = many(limits::POLICY_RULES + 1).check().unwrap_err().to_string();
        assert_eq!(refused, "a policy's number of rules is 65, above the limit of 64");
        let long = |bytes: usize| Policy { rules: vec![rule(&"p".repeat(bytes), &[])], ..many(0) };
        assert_eq!(long(limits::KEY_BYTES).check(), Ok(()));
        let refused = long(limits::KEY_BYTES + 1).check().unwrap_err().to_string();
        assert_eq!(refused, "the prefix of a rule is 8193, above the limit of 8192");
    }

    #[test]
    fn a_name_is_short_and_plain() {
        let longest = "n".repeat(limits::POLICY_NAME_BYTES);
        for fine in ["a", "root", "team-1.reader_x", ".hidden", longest.as_str()] {
            assert_eq!(fine.parse::<PolicyName>().unwrap().as_str(), fine);
        }
        let too_long = "n".repeat(limits::POLICY_NAME_BYTES + 1);
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\n", too_long.as_str()] {
            let refused = bad.parse::<PolicyName>().unwrap_err().to_string();
            assert!(refused.contains("1 to 128 bytes of A-Z a-z 0-9 . _ -"), "{refused}");
        }
        let bytes = postcard::to_allocvec("a b").unwrap();
        assert!(postcard::from_bytes::<PolicyName>(&bytes).is_err());
    }
}
