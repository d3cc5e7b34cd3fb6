//! The words of a transaction.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// A JSON object, and nothing else: serde would take an array of the fields for it, too.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// A field that may be left out, and is not null.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

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
