//! A key and its value, as the API writes them in JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A key and what is stored under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Item {
    /// The key.
    pub key: String,
    /// The value; none where only keys were asked for.
    pub value: Option<Bytes>,
    /// The `Content-Type` that it was stored with.
    pub content_type: Option<String>,
    /// The revision that wrote it.
    pub revision: u64,
    /// The revision that created the key.
    pub created_revision: u64,
    /// How often it was written since then.
    pub version: u64,
    /// The lease that it is bound to.
    pub lease: Option<u64>,
}

/// How bytes are written as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Encoding {
    #[default]
    Utf8,
    Base64,
}

impl Encoding {
    /// Text as it is, other bytes in base64.
    pub(crate) fn write(value: &[u8]) -> (String, Self) {
        match std::str::from_utf8(value) {
            Ok(text) => (text.to_owned(), Self::Utf8),
            Err(_) => (STANDARD.encode(value), Self::Base64),
        }
    }

    pub(crate) fn read(self, text: String) -> Result<Bytes, String> {
        match self {
            Self::Utf8 => Ok(text.into()),
            Self::Base64 => {
                let bytes = STANDARD.decode(text).map_err(|error| format!("no base64: {error}"))?;
                Ok(bytes.into())
            }
        }
    }
}

/// An item in JSON.
#[derive(Serialize, Deserialize)]
struct Written {
    key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    #[serde(default)]
    content_type: Option<String>,
    revision: u64,
    created_revision: u64,
    version: u64,
    #[serde(default)]
    lease: Option<u64>,
}

impl TryFrom<Written> for Item {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { key, value, encoding, content_type, revision, .. } = written;
        let value = value.map(|text| encoding.unwrap_or_default().read(text)).transpose()?;
        let Written { created_revision, version, lease, .. } = written;
        Ok(Self { key, value, content_type, revision, created_revision, version, lease })
    }
}

impl From<Item> for Written {
    fn from(item: Item) -> Self {
        let Item { key, value, content_type, revision, created_revision, version, lease } = item;
        let (value, encoding) = value.map(|value| Encoding::write(&value)).unzip();
        Self { key, value, encoding, content_type, revision, created_revision, version, lease }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_item_is_read_and_written_as_the_api_has_it() {
        for (value, encoding, bytes) in
            [("grün", "utf8", "grün".as_bytes()), ("AP8=", "base64", b"\x00\xff".as_slice())]
        {
            let json = json!({
                "key": "a/b", "value": value, "encoding": encoding, "content_type": "text/plain",
                "revision": 7, "created_revision": 3, "version": 2, "lease": null,
            });
            let item: Item = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(item.value.as_deref(), Some(bytes));
            assert_eq!(serde_json::to_value(item).unwrap(), json);
        }
    }

    #[test]
    fn a_key_alone_has_no_value() {
        let json = json!({"key": "a", "revision": 7, "created_revision": 3, "version": 2});
        let item: Item = serde_json::from_value(json).unwrap();
        assert_eq!((item.value.as_ref(), item.lease), (None, None));
        let bad = json!({"key": "a", "value": "?", "encoding": "base64", "revision": 1,
            "created_revision": 1, "version": 1});
        assert!(serde_json::from_value::<Item>(bad).is_err());
    }
}
