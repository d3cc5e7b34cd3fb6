//! How a value of SQLite's is written in JSON, and the other way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::types::{Value as Sql, ValueRef};
use serde_json::{Map, Number, Value, json};

/// The only field of bytes that are no text.
const BASE64: &str = "base64";

/// A value of a row. Bytes that are no UTF-8 are `{"base64":"…"}`; an infinite number, for
/// which JSON has none, is a string.
pub(super) fn to_json(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => {
            Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
        }
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => match str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => json!({ BASE64: STANDARD.encode(bytes) }),
        },
    }
}

/// About how many bytes a value takes in the answer.
pub(super) fn size(value: ValueRef<'_>) -> usize {
    const NUMBER: usize = 20;
    match value {
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => NUMBER,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => NUMBER + bytes.len(),
    }
}

/// The value of a parameter; none where SQLite has no type for it.
pub(super) fn of_parameter(value: &Value) -> Option<Sql> {
    match value {
        Value::Null => Some(Sql::Null),
        Value::Bool(flag) => Some(Sql::Integer((*flag).into())),
        Value::Number(number) => number
            .as_i64()
            .map(Sql::Integer)
            .or_else(|| number.as_f64().filter(|_| !number.is_u64()).map(Sql::Real)),
        Value::String(text) => Some(Sql::Text(text.clone())),
        Value::Object(fields) => of_bytes(fields).map(Sql::Blob),
        Value::Array(_) => None,
    }
}

fn of_bytes(fields: &Map<String, Value>) -> Option<Vec<u8>> {
    let text = fields.get(BASE64).filter(|_| fields.len() == 1)?.as_str()?;
    STANDARD.decode(text).ok()
}
