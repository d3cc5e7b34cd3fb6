//! JSON that clients send, read strictly.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use http::{HeaderMap, header};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use shared::problem::Problem;
use shared::wire::{Encoding, MediaType, essence_of};

/// Refuses a body that is not said to be JSON.
///
/// # Errors
/// 415.
pub(crate) fn require_json(headers: &HeaderMap, what: &str) -> Result<(), Problem> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    match said.and_then(MediaType::of) {
        Some(MediaType::Spoken(Encoding::Json)) => Ok(()),
        Some(MediaType::Spoken(Encoding::Postcard) | MediaType::OtherVersion(_)) | None => {
            Err(not_json(what))
        }
    }
}

/// Refuses a body that is said to be something else than JSON. curl calls whatever it sends
/// a form.
///
/// # Errors
/// 415.
pub(crate) fn refuse_but_json(headers: &HeaderMap, what: &str) -> Result<(), Problem> {
    const TAKEN: [&str; 2] = ["application/json", "application/x-www-form-urlencoded"];
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().map(essence_of).unwrap_or_default();
    if TAKEN.iter().any(|taken| essence.eq_ignore_ascii_case(taken)) {
        Ok(())
    } else {
        Err(not_json(what))
    }
}

fn not_json(what: &str) -> Problem {
    Problem::unsupported_media_type(format!(
        "{what} is JSON: send it with Content-Type: application/json"
    ))
}

/// A JSON object, and nothing else: serde would take an array of the fields for it, too.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

impl<T: JsonSchema> JsonSchema for Object<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
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
///
/// # Errors
/// Where it is of another type.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
