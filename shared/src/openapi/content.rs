//! What a body holds: its type, from which its schema is derived, and an example of it,
//! which is a value of that type.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::framing::NDJSON;
use crate::wire::JSON;

/// A body of one media type.
#[derive(Clone, Debug)]
pub struct Content {
    media_type: &'static str,
    schema: fn(&mut Schemas) -> Value,
    example: Value,
}

impl Content {
    /// The same, of another media type.
    pub(super) fn called(self, media_type: &'static str) -> Self {
        Self { media_type, ..self }
    }
}

/// JSON that is answered, such as this.
#[must_use]
pub fn json<T: Serialize + JsonSchema>(example: &T) -> Content {
    let schema = |schemas: &mut Schemas| schemas.answered.subschema_for::<T>().to_value();
    Content { media_type: JSON, schema, example: value_of(example) }
}

/// JSON that is sent, such as this.
///
/// # Panics
/// When the example is not taken.
#[must_use]
pub fn sent<T: DeserializeOwned + JsonSchema>(example: Value) -> Content {
    let taken = serde_json::from_value::<T>(example.clone());
    drop(taken.unwrap_or_else(|error| panic!("{example} is no {}: {error}", T::schema_name())));
    let schema = |schemas: &mut Schemas| schemas.sent.subschema_for::<T>().to_value();
    Content { media_type: JSON, schema, example }
}

/// A stream, a document such as this a line.
#[must_use]
pub fn lines<T: Serialize>(example: &T) -> Content {
    text(NDJSON, format!("{}\n", value_of(example)))
}

/// Anything else.
#[must_use]
pub fn text(media_type: &'static str, example: impl Into<String>) -> Content {
    let schema = |_: &mut Schemas| json!({"type": "string"});
    Content { media_type, schema, example: Value::String(example.into()) }
}

/// Bytes that are no text.
#[must_use]
pub fn binary(media_type: &'static str, example: &str) -> Content {
    let schema = |_: &mut Schemas| json!({"type": "string", "format": "binary"});
    Content { media_type, schema, example: Value::from(example) }
}

/// What may be left out is not null then, whatever Rust has for it.
fn without_null(schema: &mut Schema) {
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}

fn value_of<T: Serialize>(example: &T) -> Value {
    serde_json::to_value(example).expect("an answer is plain JSON")
}

/// The schemas of all types, by name, as the contract has them.
#[derive(Debug)]
pub(super) struct Schemas {
    sent: SchemaGenerator,
    answered: SchemaGenerator,
}

impl Schemas {
    /// None yet.
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        let settings = settings.with_transform(RecursiveTransform(without_null));
        Self {
            sent: settings.clone().for_deserialize().into_generator(),
            answered: settings.for_serialize().into_generator(),
        }
    }

    /// A body, by its media type.
    pub(super) fn rendered(&mut self, contents: &[Content]) -> Map<String, Value> {
        let rendered = contents.iter().map(|content| {
            let (schema, example) = ((content.schema)(self), &content.example);
            (content.media_type.to_owned(), json!({"schema": schema, "example": example}))
        });
        rendered.collect()
    }

    /// All that were asked for, and what they refer to.
    ///
    /// # Panics
    /// When two that differ have one name.
    pub(super) fn all(mut self) -> Map<String, Value> {
        let mut all = self.answered.take_definitions(true);
        for (name, schema) in self.sent.take_definitions(true) {
            let other = all.insert(name.clone(), schema.clone());
            let is_other = other.is_some_and(|other| other != schema);
            assert!(!is_other, "{name} is the name of two types");
        }
        all
    }
}
