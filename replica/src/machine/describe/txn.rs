//! A transaction as people see it: as it was asked for, but for the values, of which only
//! their lengths are shown.

use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::LeaseId;

use crate::machine::txn::{Comparison, Relation, Txn, TxnGuard, TxnOp, TxnPut};

/// A transaction, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogTxn")]
pub struct TxnDescription {
    /// What must hold.
    #[serde(rename = "if")]
    pub guards: Vec<GuardDescription>,
    /// What is done where it does …
    pub then: Vec<TxnOpDescription>,
    /// … and where it does not.
    #[serde(rename = "else")]
    pub otherwise: Vec<TxnOpDescription>,
}

/// A guard, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogGuard")]
pub struct GuardDescription {
    /// The key.
    pub key: String,
    /// What must hold of it.
    #[serde(flatten)]
    pub comparison: ComparisonDescription,
}

/// What must hold of a key, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogComparison")]
#[serde(rename_all = "snake_case")]
pub enum ComparisonDescription {
    /// Whether it exists.
    Exists(bool),
    /// Its modification revision.
    Revision(RelationDescription),
    /// Its version.
    Version(RelationDescription),
    /// Its value is compared with one of so many bytes.
    ValueBytes(RelationDescription),
}

/// A relation and a number, for JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogRelation")]
#[serde(rename_all = "snake_case")]
pub enum RelationDescription {
    /// Equal.
    Eq(u64),
    /// Not equal.
    Ne(u64),
    /// Less.
    Lt(u64),
    /// Greater.
    Gt(u64),
}

/// An operation, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogTxnOperation")]
#[serde(rename_all = "snake_case")]
pub enum TxnOpDescription {
    /// A value is put.
    Put {
        /// Under this key.
        key: String,
        /// The length of the value in bytes.
        value_bytes: usize,
        /// What it is said to be.
        content_type: Option<String>,
        /// The lease that it goes with.
        #[serde(skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseId>,
    },
    /// Keys are deleted.
    Delete(SubjectDescription),
    /// Keys are read.
    Get(SubjectDescription),
}

/// Which keys, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogSubject")]
#[serde(untagged)]
pub enum SubjectDescription {
    /// One.
    Key {
        /// Which.
        key: String,
    },
    /// Those that start so.
    Prefix {
        /// How.
        prefix: String,
        /// How many, where that is limited.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
}

impl From<Txn> for TxnDescription {
    fn from(txn: Txn) -> Self {
        let Txn { guards, then, otherwise } = txn;
        Self {
            guards: guards.into_iter().map(GuardDescription::from).collect(),
            then: then.into_iter().map(TxnOpDescription::from).collect(),
            otherwise: otherwise.into_iter().map(TxnOpDescription::from).collect(),
        }
    }
}

impl From<TxnGuard> for GuardDescription {
    fn from(guard: TxnGuard) -> Self {
        let TxnGuard { key, comparison } = guard;
        let comparison = match comparison {
            Comparison::Exists(exists) => ComparisonDescription::Exists(exists),
            Comparison::Revision(relation, revision) => {
                ComparisonDescription::Revision(described(relation, revision.0))
            }
            Comparison::Version(relation, version) => {
                ComparisonDescription::Version(described(relation, version))
            }
            Comparison::Value(relation, value) => {
                ComparisonDescription::ValueBytes(described(relation, value.len() as u64))
            }
        };
        Self { key, comparison }
    }
}

fn described(relation: Relation, number: u64) -> RelationDescription {
    match relation {
        Relation::Equal => RelationDescription::Eq(number),
        Relation::NotEqual => RelationDescription::Ne(number),
        Relation::Less => RelationDescription::Lt(number),
        Relation::Greater => RelationDescription::Gt(number),
    }
}

impl From<TxnOp> for TxnOpDescription {
    fn from(op: TxnOp) -> Self {
        let lease = op.lease();
        match op {
            TxnOp::Put(put) | TxnOp::LeasedPut(_, put) => {
                let TxnPut { key, value, content_type } = *put;
                Self::Put { key, value_bytes: value.len(), content_type, lease }
            }
            TxnOp::Delete { key } => Self::Delete(SubjectDescription::Key { key }),
            TxnOp::DeletePrefix { prefix } => {
                Self::Delete(SubjectDescription::Prefix { prefix, limit: None })
            }
            TxnOp::Get { key } => Self::Get(SubjectDescription::Key { key }),
            TxnOp::GetPrefix { prefix, limit } => {
                Self::Get(SubjectDescription::Prefix { prefix, limit: Some(limit) })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use shared::ids::Revision;

    use super::*;

    #[test]
    fn a_transaction_shows_its_guards_and_operations_but_no_values() {
        let guard = |comparison| TxnGuard { key: "k".to_owned(), comparison };
        let value = Bytes::from_static(b"secret");
        let put = TxnPut { key: "p".to_owned(), value: value.clone(), content_type: None };
        let txn = Txn {
            guards: vec![
                guard(Comparison::Exists(true)),
                guard(Comparison::Revision(Relation::NotEqual, Revision(3))),
                guard(Comparison::Version(Relation::Less, 4)),
                guard(Comparison::Value(Relation::Greater, value)),
            ],
            then: vec![TxnOp::Put(Box::new(put)), TxnOp::Delete { key: "d".to_owned() }],
            otherwise: vec![
                TxnOp::DeletePrefix { prefix: "p/".to_owned() },
                TxnOp::Get { key: "g".to_owned() },
                TxnOp::GetPrefix { prefix: "g/".to_owned(), limit: 5 },
            ],
        };
        let expected = json!({
            "if": [
                {"key": "k", "exists": true},
                {"key": "k", "revision": {"ne": 3}},
                {"key": "k", "version": {"lt": 4}},
                {"key": "k", "value_bytes": {"gt": 6}},
            ],
            "then": [
                {"put": {"key": "p", "value_bytes": 6, "content_type": null}},
                {"delete": {"key": "d"}},
            ],
            "else": [
                {"delete": {"prefix": "p/"}},
                {"get": {"key": "g"}},
                {"get": {"prefix": "g/", "limit": 5}},
            ],
        });
        assert_eq!(serde_json::to_value(TxnDescription::from(txn)).unwrap(), expected);
    }
}
