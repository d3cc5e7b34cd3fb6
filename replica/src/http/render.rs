//! What is stored, as JSON.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::http::request::path::text_of;
use crate::machine::describe::ValueDescription;
use crate::machine::txn::result::{LeasedItem, TxnItem};
use crate::store::{Item, KeyChange};

/// An item of a listing.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Item")]
pub(crate) struct RenderedItem<'a> {
    #[serde(serialize_with = "key")]
    #[schemars(with = "String")]
    key: &'a [u8],
    #[serde(flatten)]
    value: Option<ValueDescription<&'a [u8]>>,
    content_type: Option<&'a str>,
    /// The one that wrote it.
    revision: u64,
    /// The one that created it.
    created_revision: u64,
    /// How many times it was written since.
    version: u64,
    /// The lease that it goes with.
    lease: Option<u64>,
}

impl RenderedItem<'static> {
    /// One for the contract.
    pub(super) fn example() -> Self {
        Self {
            key: b"app/web",
            value: Some(ValueDescription::of(b"port=80")),
            content_type: Some("text/plain"),
            revision: 42,
            created_revision: 40,
            version: 2,
            lease: None,
        }
    }
}

impl<'a> RenderedItem<'a> {
    /// With the value.
    pub(super) fn whole(item: &'a Item) -> Self {
        Self { value: Some(ValueDescription::of(&item.value[..])), ..Self::key_only(item) }
    }

    /// As a transaction saw it.
    pub(super) fn of_transaction(item: &'a TxnItem) -> Self {
        let TxnItem { key, value, content_type, revision, created_revision, version } = item;
        Self {
            key: key.as_bytes(),
            value: Some(ValueDescription::of(&value[..])),
            content_type: content_type.as_deref(),
            revision: revision.0,
            created_revision: created_revision.0,
            version: *version,
            lease: None,
        }
    }

    /// The same, of one that may be bound to a lease.
    pub(super) fn of_leased(leased: &'a LeasedItem) -> Self {
        let lease = leased.lease.map(|lease| lease.0);
        Self { lease, ..Self::of_transaction(&leased.item) }
    }

    /// Without it.
    pub(super) fn key_only(item: &'a Item) -> Self {
        Self {
            key: &item.key,
            value: None,
            content_type: item.content_type.as_deref(),
            revision: item.revision.0,
            created_revision: item.created_revision.0,
            version: item.version,
            lease: item.lease.map(|lease| lease.0),
        }
    }
}

/// What a revision came to for a key.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum RenderedChange<'a> {
    /// It was written.
    Put {
        #[serde(flatten)]
        item: RenderedItem<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        prev_revision: Option<u64>,
    },
    /// It was deleted.
    Delete {
        #[serde(serialize_with = "self::key")]
        key: &'a [u8],
        revision: u64,
        prev_revision: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'static str>,
    },
}

/// Why a key is gone that went with its lease.
const LEASE_EXPIRED: &str = "lease_expired";

impl<'a> RenderedChange<'a> {
    /// With the value.
    pub(crate) fn of(change: &'a KeyChange) -> Self {
        let prev_revision = change.previous.map(|revision| revision.0);
        match &change.item {
            Some(item) => Self::Put { item: RenderedItem::whole(item), prev_revision },
            None => Self::Delete {
                key: &change.key,
                revision: change.revision.0,
                prev_revision,
                reason: change.expired.map(|_lease| LEASE_EXPIRED),
            },
        }
    }
}

fn key<S: Serializer>(key: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&text_of(key))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use shared::ids::{LeaseId, Revision};

    use super::*;

    fn item(value: &'static [u8]) -> Item {
        Item {
            key: Bytes::from_static(b"a/b"),
            value: Bytes::from_static(value),
            content_type: Some("text/plain".into()),
            revision: Revision(7),
            created_revision: Revision(3),
            version: 2,
            lease: Some(LeaseId(9)),
        }
    }

    #[test]
    fn an_item_shows_text_as_text_and_other_bytes_in_base64() {
        let common = json!({
            "key": "a/b", "content_type": "text/plain", "revision": 7, "created_revision": 3, "version": 2, "lease": 9,
        });
        let with = |value: &str, encoding: &str| {
            let mut expected = common.clone();
            expected["value"] = json!(value);
            expected["encoding"] = json!(encoding);
            expected
        };
        let rendered = |value| serde_json::to_value(RenderedItem::whole(&item(value))).unwrap();
        assert_eq!(rendered("grün".as_bytes()), with("grün", "utf8"));
        assert_eq!(rendered(b""), with("", "utf8"));
        assert_eq!(rendered(b"\x00\xff"), with("AP8=", "base64"));
        assert_eq!(serde_json::to_value(RenderedItem::key_only(&item(b"x"))).unwrap(), common);
        assert_eq!(hex(&[0, 255, 16]), "00ff10");
    }

    #[test]
    fn a_change_shows_the_item_and_the_revision_before() {
        let expired = |previous, item, expired| {
            let (key, revision) = (Bytes::from_static(b"a/b"), Revision(7));
            let change = KeyChange { key, revision, previous, item, expired };
            serde_json::to_value(RenderedChange::of(&change)).unwrap()
        };
        let change = |previous, item| expired(previous, item, None);
        let mut expected = serde_json::to_value(RenderedItem::whole(&item(b"x"))).unwrap();
        assert_eq!(change(None, Some(item(b"x"))), expected);
        expected["prev_revision"] = json!(3);
        assert_eq!(change(Some(Revision(3)), Some(item(b"x"))), expected);
        let deleted = json!({"key": "a/b", "revision": 7, "prev_revision": 3});
        assert_eq!(change(Some(Revision(3)), None), deleted);
        let mut deleted = deleted;
        deleted["reason"] = json!("lease_expired");
        assert_eq!(expired(Some(Revision(3)), None, Some(LeaseId(9))), deleted);
    }
}
