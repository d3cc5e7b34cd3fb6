//! Bytes as people see them in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};

/// Bytes as text, and how they were made text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ValueDescription<T: AsRef<[u8]>> {
    #[serde(serialize_with = "text")]
    value: T,
    encoding: &'static str,
}

impl<T: AsRef<[u8]>> ValueDescription<T> {
    /// As they are where they are UTF-8, else in base64.
    #[must_use]
    pub fn of(value: T) -> Self {
        let encoding = if str::from_utf8(value.as_ref()).is_ok() { "utf8" } else { "base64" };
        Self { value, encoding }
    }
}

fn text<T: AsRef<[u8]>, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    match str::from_utf8(value.as_ref()) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.serialize_str(&STANDARD.encode(value)),
    }
}
