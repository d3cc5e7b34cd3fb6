//! The contract of what clients may ask a service, in OpenAPI 3.1.
//!
//! Nothing of it is written twice: whoever answers a request says what its [`Entry`] is, with
//! the parameters that it reads the query by, and with the types that it reads and answers,
//! from which the schemas are derived and of which the examples are values.

pub mod content;
mod entry;
pub mod field;

use serde_json::{Map, Value, json};

use self::content::Schemas;
pub use self::entry::Entry;
use crate::status::VERSION;

/// Where it is asked for.
pub const PATH: &str = "/openapi.json";

/// The document of all these.
///
/// # Panics
/// When two types that differ have one name.
pub fn document(entries: impl IntoIterator<Item = Entry>) -> Value {
    let (mut paths, mut schemas): (Map<String, Value>, Schemas) = (Map::new(), Schemas::new());
    for entry in entries {
        let path = paths.entry(entry.path).or_insert_with(|| json!({}));
        path[entry.method] = entry.rendered(&mut schemas);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Synod",
            "version": VERSION,
            "summary": "A key-value store, lock service and replicated log over HTTP.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas.all(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        // Where no first token is made, none is needed.
        "security": [{"token": []}, {}],
    })
}

/// Adds to a document what another one has beside it: paths, and schemas.
pub fn add(document: &mut Value, other: &Value) {
    for pointer in ["/paths", "/components/schemas"] {
        let (Some(all), Some(more)) = (document.pointer_mut(pointer), other.pointer(pointer))
        else {
            continue;
        };
        if let (Value::Object(all), Value::Object(more)) = (all, more) {
            for (name, value) in more {
                all.entry(name).or_insert_with(|| value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests;
