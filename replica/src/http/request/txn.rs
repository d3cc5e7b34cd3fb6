//! A transaction as JSON, read strictly: what is unknown, given twice or of another type is
//! refused and named, with its place.

mod json;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use shared::ids::{LeaseId, Revision};
use shared::problem::Problem;
use shared::wire;

pub(crate) use self::json::RawTxn;
use self::json::{Compare, RawGet, RawGuard, RawOp, RawPut, RawSubject};
use super::json::Object;
use super::path::{fault_of_key, fault_of_length};
use crate::machine::command::limits;
use crate::machine::describe::Encoding;
use crate::machine::txn::{Comparison, Relation, Txn, TxnGuard, TxnOp, TxnPut};

/// What a transaction may ask for; within the limits of the log's format.
#[derive(Clone, Copy, Debug)]
pub struct TxnLimits {
    /// The longest key, in bytes.
    pub key_bytes: usize,
    /// The longest value, in bytes.
    pub value_bytes: usize,
    /// The most operations, and the most guards.
    pub operations: usize,
    /// The most items that one operation reads.
    pub items: usize,
}

/// What one operation reads that names no limit: so many items.
const DEFAULT_ITEMS: usize = 100;

/// Reads a transaction.
///
/// # Errors
/// 400 where it is none or beyond a limit, 413 where a value is too long.
pub fn txn_of(body: &[u8], limits: &TxnLimits) -> Result<Txn, Problem> {
    let Object(raw) = wire::Encoding::Json
        .decode::<Object<RawTxn>>(body)
        .map_err(|error| Problem::bad_request(format!("this is no transaction: {error}")))?;
    let RawTxn { guards, then, otherwise } = raw;
    within("guards", guards.len(), limits.operations)?;
    within("operations", then.len() + otherwise.len(), limits.operations)?;
    let reader = Reader { limits };
    let guard = |(index, Object(raw)): (usize, Object<RawGuard>)| {
        reader.guard(raw).map_err(|why| why.at("if", index))
    };
    let ops = |branch: &'static str, raw: Vec<RawOp>| {
        let op = |(index, raw)| reader.op(raw).map_err(|why: Wrong| why.at(branch, index));
        raw.into_iter().enumerate().map(op).collect::<Result<Vec<TxnOp>, Problem>>()
    };
    let txn = Txn {
        guards: guards.into_iter().enumerate().map(guard).collect::<Result<_, _>>()?,
        then: ops("then", then)?,
        otherwise: ops("else", otherwise)?,
    };
    within("deletions of prefixes", txn.ranges(), limits::TXN_RANGES)?;
    Ok(txn)
}

fn within(what: &str, count: usize, limit: usize) -> Result<(), Problem> {
    if count <= limit {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "the transaction has {count} {what}, the limit is {limit} {what}"
    )))
}

/// What is wrong with a guard or an operation, and with which field of it.
struct Wrong {
    /// As `.put.value`; empty where it is about the whole.
    field: &'static str,
    what: Fault,
}

enum Fault {
    /// This.
    Malformed(String),
    /// A value is longer than so many bytes.
    ValueTooLong(usize),
}

impl Wrong {
    /// The problem of the one at this place.
    fn at(self, list: &str, index: usize) -> Problem {
        let place = format!("{list}[{index}]{}", self.field);
        match self.what {
            Fault::Malformed(why) => Problem::bad_request(format!("{place}: {why}")),
            Fault::ValueTooLong(limit) => Problem::too_large(&format!("value {place}"), limit),
        }
    }
}

fn malformed<T>(field: &'static str, why: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { field, what: Fault::Malformed(why.into()) })
}

/// Reads guards and operations.
struct Reader<'a> {
    limits: &'a TxnLimits,
}

impl Reader<'_> {
    fn guard(&self, raw: RawGuard) -> Result<TxnGuard, Wrong> {
        let RawGuard { key, exists, revision, version, value, encoding } = raw;
        let key = self.key(".key", key)?;
        if encoding.is_some() && value.is_none() {
            return malformed(".encoding", "it is said of no value");
        }
        let comparison = match (exists, revision, version, value) {
            (Some(exists), None, None, None) => Comparison::Exists(exists),
            (None, Some(compare), None, None) => {
                let (relation, revision) = related(compare);
                Comparison::Revision(relation, Revision(revision))
            }
            (None, None, Some(compare), None) => {
                let (relation, version) = related(compare);
                Comparison::Version(relation, version)
            }
            (None, None, None, Some(compare)) => {
                let (relation, text) = related(compare);
                Comparison::Value(relation, self.value(".value", text, encoding)?)
            }
            _ => {
                return malformed(
                    "",
                    "a guard says exactly one of exists, revision, version and value",
                );
            }
        };
        Ok(TxnGuard { key, comparison })
    }

    fn op(&self, raw: RawOp) -> Result<TxnOp, Wrong> {
        match raw {
            RawOp::Put(Object(RawPut { key, value, encoding, content_type, lease })) => {
                let key = self.key(".put.key", key)?;
                let value = self.value(".put.value", value, encoding)?;
                let content_type = content_type.map(content_type_of).transpose()?;
                let put = Box::new(TxnPut { key, value, content_type });
                Ok(match lease {
                    None => TxnOp::Put(put),
                    Some(lease) => TxnOp::LeasedPut(LeaseId(lease), put),
                })
            }
            RawOp::Delete(Object(RawSubject { key, prefix })) => match (key, prefix) {
                (Some(key), None) => Ok(TxnOp::Delete { key: self.key(".delete.key", key)? }),
                (None, Some(prefix)) if prefix.is_empty() => {
                    let why = "an empty one deletes every key: DELETE /v1/kv?all=true does that";
                    malformed(".delete.prefix", why)
                }
                (None, Some(prefix)) => {
                    let prefix = self.prefix(".delete.prefix", prefix)?;
                    Ok(TxnOp::DeletePrefix { prefix })
                }
                (Some(_), Some(_)) | (None, None) => {
                    malformed(".delete", "it names either a key or a prefix")
                }
            },
            RawOp::Get(Object(RawGet { key, prefix, limit })) => match (key, prefix) {
                (Some(_), None) if limit.is_some() => {
                    malformed(".get.limit", "it is said of no prefix")
                }
                (Some(key), None) => Ok(TxnOp::Get { key: self.key(".get.key", key)? }),
                (None, Some(prefix)) => {
                    let prefix = self.prefix(".get.prefix", prefix)?;
                    let limit = self.items(limit)?;
                    Ok(TxnOp::GetPrefix { prefix, limit })
                }
                (Some(_), Some(_)) | (None, None) => {
                    malformed(".get", "it names either a key or a prefix")
                }
            },
        }
    }

    fn key(&self, field: &'static str, key: String) -> Result<String, Wrong> {
        match fault_of_key(&key, self.limits.key_bytes) {
            Some(fault) => malformed(field, fault),
            None => Ok(key),
        }
    }

    fn prefix(&self, field: &'static str, prefix: String) -> Result<String, Wrong> {
        match fault_of_length("prefix", &prefix, self.limits.key_bytes) {
            Some(fault) => malformed(field, fault),
            None => Ok(prefix),
        }
    }

    fn value(
        &self,
        field: &'static str,
        text: String,
        encoding: Option<Encoding>,
    ) -> Result<Bytes, Wrong> {
        let value = match encoding.unwrap_or_default() {
            Encoding::Utf8 => text.into_bytes(),
            Encoding::Base64 => match STANDARD.decode(text) {
                Ok(value) => value,
                Err(error) => return malformed(field, format!("it is not base64: {error}")),
            },
        };
        if value.len() > self.limits.value_bytes {
            let what = Fault::ValueTooLong(self.limits.value_bytes);
            return Err(Wrong { field, what });
        }
        Ok(Bytes::from(value))
    }

    fn items(&self, limit: Option<u64>) -> Result<u32, Wrong> {
        let most = self.limits.items.min(limits::TXN_GET_ITEMS);
        let limit = limit.unwrap_or_else(|| DEFAULT_ITEMS.min(most) as u64);
        match u32::try_from(limit) {
            Ok(limit) if limit > 0 && limit as usize <= most => Ok(limit),
            Ok(_) | Err(_) => {
                let why = format!("it is not in 1 to {most}, the limit on the items of a get");
                malformed(".get.limit", why)
            }
        }
    }
}

fn related<T>(compare: Compare<T>) -> (Relation, T) {
    match compare {
        Compare::Eq(other) => (Relation::Equal, other),
        Compare::Ne(other) => (Relation::NotEqual, other),
        Compare::Lt(other) => (Relation::Less, other),
        Compare::Gt(other) => (Relation::Greater, other),
    }
}

/// It is given back in a header.
fn content_type_of(text: String) -> Result<String, Wrong> {
    let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    let limit = limits::CONTENT_TYPE_BYTES;
    if text.is_empty() || text.len() > limit || !text.bytes().all(is_visible) {
        let why = format!("it is not 1 to {limit} visible ASCII characters");
        return malformed(".put.content_type", why);
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
