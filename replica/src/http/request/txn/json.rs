//! The words of a transaction.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::http::request::json::{Object, given};
use crate::http::request::parameter::KEY_BYTES;
use crate::machine::describe::Encoding;

/// A transaction.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Txn")]
pub(crate) struct RawTxn {
    /// What must hold.
    #[serde(default, rename = "if")]
    pub(super) guards: Vec<Object<RawGuard>>,
    /// What is done where it does …
    #[serde(default)]
    pub(super) then: Vec<RawOp>,
    /// … and where it does not.
    #[serde(default, rename = "else")]
    pub(super) otherwise: Vec<RawOp>,
}

/// What must hold of a key: one thing.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Guard", extend("oneOf" = [
    {"required": ["exists"]}, {"required": ["revision"]}, {"required": ["version"]},
    {"required": ["value"]},
]))]
pub(super) struct RawGuard {
    #[schemars(length(min = 1, max = KEY_BYTES))]
    pub(super) key: String,
    /// Whether it exists.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "bool")]
    pub(super) exists: Option<bool>,
    /// The revision that wrote it.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Compare<u64>")]
    pub(super) revision: Option<Compare<u64>>,
    /// How many times it was written since it was created.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Compare<u64>")]
    pub(super) version: Option<Compare<u64>>,
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Compare<String>")]
    pub(super) value: Option<Compare<String>>,
    /// How the value is written here.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Encoding")]
    pub(super) encoding: Option<Encoding>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum Compare<T> {
    Eq(T),
    Ne(T),
    Lt(T),
    Gt(T),
}

/// What is done.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "TxnOperation")]
pub(super) enum RawOp {
    Put(Object<RawPut>),
    Delete(Object<RawSubject>),
    Get(Object<RawGet>),
}

/// A value is put.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TxnPut")]
pub(super) struct RawPut {
    #[schemars(length(min = 1, max = KEY_BYTES))]
    pub(super) key: String,
    pub(super) value: String,
    /// How the value is written here.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "Encoding")]
    pub(super) encoding: Option<Encoding>,
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "String")]
    pub(super) content_type: Option<String>,
    /// The lease that the key goes with.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "u64")]
    pub(super) lease: Option<u64>,
}

/// A key is deleted, or all with a prefix.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TxnDelete")]
#[schemars(extend("oneOf" = [{"required": ["key"]}, {"required": ["prefix"]}]))]
pub(super) struct RawSubject {
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "String", length(min = 1, max = KEY_BYTES))]
    pub(super) key: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "String", length(min = 1, max = KEY_BYTES))]
    pub(super) prefix: Option<String>,
}

/// A key is read, or all with a prefix.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TxnGet")]
#[schemars(extend("oneOf" = [{"required": ["key"]}, {"required": ["prefix"]}]))]
pub(super) struct RawGet {
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "String", length(min = 1, max = KEY_BYTES))]
    pub(super) key: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "String", length(max = KEY_BYTES))]
    pub(super) prefix: Option<String>,
    /// The most items.
    #[serde(default, deserialize_with = "given")]
    #[schemars(with = "u64", range(min = 1))]
    pub(super) limit: Option<u64>,
}
