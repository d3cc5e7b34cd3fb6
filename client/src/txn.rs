//! Transactions: several things as one step, depending on what is there.

use bytes::Bytes;
use http::Method;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::call::{Call, mutation};
use crate::client::Client;
use crate::error::Error;
use crate::item::{Encoding, Item};
use crate::kv::{Deleted, Stored};

impl Client {
    /// Executes a transaction.
    #[must_use = "nothing is sent before it is awaited"]
    pub fn txn(&self, txn: &Txn) -> SendTxn {
        let mut call = Call::mutation(Method::POST, "/v1/txn");
        call.json(txn);
        SendTxn { client: self.clone(), call }
    }
}

/// A transaction, in JSON as the API has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Txn {
    /// What must hold of the state before …
    #[serde(rename = "if", default)]
    pub guards: Vec<Guard>,
    /// … for this to be done …
    #[serde(default)]
    pub then: Vec<Op>,
    /// … and otherwise this.
    #[serde(rename = "else", default)]
    pub otherwise: Vec<Op>,
}

/// What must hold of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GuardJson", into = "GuardJson")]
pub struct Guard {
    /// The key.
    pub key: String,
    /// What must hold of it.
    pub test: Test,
}

/// What is tested of a key. Revision and version of a key that does not exist are 0; of its
/// value only [`Compare::Ne`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// Whether it exists.
    Exists(bool),
    /// The revision that wrote it last.
    Revision(Compare<u64>),
    /// How often it was written since it was created.
    Version(Compare<u64>),
    /// Its value, by bytes.
    Value(Compare<Bytes>),
}

/// A relation, and what to compare with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compare<T> {
    /// Equal.
    Eq(T),
    /// Not equal.
    Ne(T),
    /// Less.
    Lt(T),
    /// Greater.
    Gt(T),
}

impl<T> Compare<T> {
    fn try_map<U, E>(self, f: impl FnOnce(T) -> Result<U, E>) -> Result<Compare<U>, E> {
        Ok(match self {
            Self::Eq(with) => Compare::Eq(f(with)?),
            Self::Ne(with) => Compare::Ne(f(with)?),
            Self::Lt(with) => Compare::Lt(f(with)?),
            Self::Gt(with) => Compare::Gt(f(with)?),
        })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardJson {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exists: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<Compare<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Compare<u64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Compare<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
}

impl TryFrom<GuardJson> for Guard {
    type Error = String;

    fn try_from(json: GuardJson) -> Result<Self, String> {
        let GuardJson { key, exists, revision, version, value, encoding } = json;
        let test = match (exists, revision, version, value) {
            (Some(exists), None, None, None) => Test::Exists(exists),
            (None, Some(compare), None, None) => Test::Revision(compare),
            (None, None, Some(compare), None) => Test::Version(compare),
            (None, None, None, Some(compare)) => {
                let encoding = encoding.unwrap_or_default();
                Test::Value(compare.try_map(|text| encoding.read(text))?)
            }
            _other => {
                let one = "a guard says exactly one of exists, revision, version and value";
                return Err(one.to_owned());
            }
        };
        Ok(Self { key, test })
    }
}

impl From<Guard> for GuardJson {
    fn from(Guard { key, test }: Guard) -> Self {
        let (exists, revision, version, value, encoding) = (None, None, None, None, None);
        let json = Self { key, exists, revision, version, value, encoding };
        match test {
            Test::Exists(exists) => Self { exists: Some(exists), ..json },
            Test::Revision(compare) => Self { revision: Some(compare), ..json },
            Test::Version(compare) => Self { version: Some(compare), ..json },
            Test::Value(compare) => {
                let mut encoding = None;
                let written = compare.try_map(|value| {
                    let (text, of) = Encoding::write(&value);
                    encoding = Some(of);
                    Ok::<_, std::convert::Infallible>(text)
                });
                let Ok(value) = written;
                Self { value: Some(value), encoding, ..json }
            }
        }
    }
}

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// A value is stored.
    Put(PutOp),
    /// Keys are deleted.
    Delete(Subject),
    /// Keys are read.
    Get(Subject),
}

/// A value that is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PutJson", into = "PutJson")]
pub struct PutOp {
    /// Under this key.
    pub key: String,
    /// The value.
    pub value: Bytes,
    /// What it is, kept with it.
    pub content_type: Option<String>,
    /// The lease to bind it to.
    pub lease: Option<u64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PutJson {
    key: String,
    value: String,
    #[serde(default)]
    encoding: Encoding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<u64>,
}

impl TryFrom<PutJson> for PutOp {
    type Error = String;

    fn try_from(json: PutJson) -> Result<Self, String> {
        let PutJson { key, value, encoding, content_type, lease } = json;
        Ok(Self { key, value: encoding.read(value)?, content_type, lease })
    }
}

impl From<PutOp> for PutJson {
    fn from(PutOp { key, value, content_type, lease }: PutOp) -> Self {
        let (value, encoding) = Encoding::write(&value);
        Self { key, value, encoding, content_type, lease }
    }
}

/// One key, or those with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// This one.
    Key(String),
    /// These; of those that are read, the first ones.
    Prefix {
        /// How they start.
        prefix: String,
        /// How many are read.
        limit: Option<u64>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectJson {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (key, prefix, limit) = match self.clone() {
            Self::Key(key) => (Some(key), None, None),
            Self::Prefix { prefix, limit } => (None, Some(prefix), limit),
        };
        SubjectJson { key, prefix, limit }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match SubjectJson::deserialize(deserializer)? {
            SubjectJson { key: Some(key), prefix: None, limit: None } => Ok(Self::Key(key)),
            SubjectJson { key: None, prefix: Some(prefix), limit } => {
                Ok(Self::Prefix { prefix, limit })
            }
            _other => Err(D::Error::custom("it names a key, or a prefix")),
        }
    }
}

/// Executes a transaction: [`Client::txn`].
#[derive(Clone, Debug)]
pub struct SendTxn {
    client: Client,
    call: Call,
}

mutation!(SendTxn => TxnAnswer);

impl SendTxn {
    async fn send(self) -> Result<TxnAnswer, Error> {
        self.client.send(self.call).await?.json()
    }
}

/// What a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxnAnswer {
    /// Whether all guards held.
    pub succeeded: bool,
    /// The revision that it was executed at.
    pub revision: u64,
    /// What came of each operation of the branch that was done.
    pub results: Vec<TxnResult>,
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum TxnResult {
    /// A value was stored.
    Stored(Stored),
    /// Keys were deleted.
    Deleted(Deleted),
    /// A key was read; none where it does not exist.
    Item(Option<Item>),
    /// Keys were read.
    Items {
        /// The first ones.
        items: Vec<Item>,
        /// Whether there are more.
        more: bool,
    },
}

impl<'de> Deserialize<'de> for TxnResult {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Items {
            items: Vec<Item>,
            more: bool,
        }
        fn of<T: serde::de::DeserializeOwned, E: serde::de::Error>(json: Value) -> Result<T, E> {
            serde_json::from_value(json).map_err(E::custom)
        }
        // A key that was read has a value, and one that was written has not.
        let json = Value::deserialize(deserializer)?;
        if json.is_null() {
            Ok(Self::Item(None))
        } else if json.get("value").is_some() {
            of(json).map(|item| Self::Item(Some(item)))
        } else if json.get("items").is_some() {
            of(json).map(|Items { items, more }| Self::Items { items, more })
        } else if json.get("deleted").is_some() {
            of(json).map(Self::Deleted)
        } else {
            of(json).map(Self::Stored)
        }
    }
}

#[cfg(test)]
mod tests;
