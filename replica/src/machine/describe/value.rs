//! Bytes as people see them in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// How bytes stand in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// As they are.
    #[default]
    Utf8,
    /// In base64, which any bytes can be written in.
    Base64,
}

/// Bytes as text, and how they were made text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Value", bound = "")]
pub struct ValueDescription<T: AsRef<[u8]>> {
    #[serde(serialize_with = "text")]
    #[schemars(with = "String")]
    value: T,
    encoding: Encoding,
}

impl<T: AsRef<[u8]>> ValueDescription<T> {
    /// As they are where they are UTF-8, else in base64.
    #[must_use]
    pub fn of(value: T) -> Self {
        let is_text = str::from_utf8(value.as_ref()).is_ok();
        let encoding = if is_text { Encoding::Utf8 } else { Encoding::Base64 };
        Self { value, encoding }
    }
}

fn text<T: AsRef<[u8]>, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    match str::from_utf8(value.as_ref()) {
        Ok(text) => serializer.serialize_str(text),
        Err(_) => serializer.serialize_str(&STANDARD.encode(value)),
    }
}
