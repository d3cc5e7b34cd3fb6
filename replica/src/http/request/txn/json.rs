//! The words of a transaction.

use crate::http::request::json::{Object, given};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTxn {
    #[serde(default, rename = "if")]
    pub(super) guards: Vec<Object<RawGuard>>,
    #[serde(default)]
    pub(super) then: Vec<RawOp>,
    #[serde(default, rename = "else")]
    pub(super) otherwise: Vec<RawOp>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuard {
    pub(super) key: String,
    #[serde(default, deserialize_with = "given")]
    pub(super) exists: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    pub(super) revision: Option<Compare<u64>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) version: Option<Compare<u64>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) value: Option<Compare<String>>,
    #[serde(default, deserialize_with = "given")]
    pub(super) encoding: Option<Encoding>,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Compare<T> {
    Eq(T),
    Ne(T),
    Lt(T),
    Gt(T),
}

/// How bytes stand in a text.
#[derive(Clone, Copy, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Encoding {
    #[default]
    Utf8,
    Base64,
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawOp {
    Put(Object<RawPut>),
    Delete(Object<RawSubject>),
    Get(Object<RawGet>),
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPut {
    pub(super) key: String,
    pub(super) value: String,
    #[serde(default, deserialize_with = "given")]
    pub(super) encoding: Option<Encoding>,
    #[serde(default, deserialize_with = "given")]
    pub(super) content_type: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) lease: Option<u64>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSubject {
    #[serde(default, deserialize_with = "given")]
    pub(super) key: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) prefix: Option<String>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGet {
    #[serde(default, deserialize_with = "given")]
    pub(super) key: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) prefix: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub(super) limit: Option<u64>,
}
