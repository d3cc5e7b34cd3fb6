//! What the JSON of the client API is made of.

use serde_json::{Map, Value, json};

use super::tenure;

/// A reference to one of them.
pub(super) fn of(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// An object that has all of these fields, and maybe those of `optional`.
pub(super) fn object(required: Value, optional: Value) -> Value {
    let fields = |mut value: Value| value.as_object_mut().map(std::mem::take).unwrap_or_default();
    let mut properties = fields(required);
    let names: Vec<&String> = properties.keys().collect();
    let required = json!(names);
    properties.extend(fields(optional));
    json!({"type": "object", "properties": properties, "required": required})
}

/// An object that is sent, of which nothing else is taken.
pub(super) fn asked(required: Value, optional: Value) -> Value {
    let mut schema = object(required, optional);
    schema["additionalProperties"] = json!(false);
    schema
}

pub(super) fn list_of(schema: Value) -> Value {
    json!({"type": "array", "items": schema})
}

/// A whole number that is not negative.
pub(super) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// A key.
pub(super) fn key() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 1_024})
}

/// The beginning of keys.
pub(super) fn prefix() -> Value {
    json!({"type": "string", "maxLength": 1_024})
}

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

pub(super) fn text_or_null() -> Value {
    json!({"type": ["string", "null"]})
}

fn encoding() -> Value {
    json!({"type": "string", "enum": ["utf8", "base64"]})
}

/// All of them, by name.
pub(super) fn all() -> Value {
    let mut all = Map::new();
    let mut add = |name: &str, schema: Value| all.insert(name.to_owned(), schema);
    add("Problem", problem());
    add(
        "Item",
        object(
            json!({
                "key": text(), "content_type": text_or_null(), "revision": count(),
                "created_revision": count(), "version": count(),
                "lease": {"type": ["integer", "null"]},
            }),
            json!({"value": text(), "encoding": encoding()}),
        ),
    );
    add(
        "Written",
        object(
            json!({"key": text(), "revision": count(), "created_revision": count(), "version": count()}),
            json!({}),
        ),
    );
    add("Deleted", object(json!({"deleted": count(), "revision": count()}), json!({})));
    add(
        "Page",
        object(
            json!({"items": list_of(of("Item")), "revision": count(), "next": text_or_null()}),
            json!({}),
        ),
    );
    let change = json!({"type": "string", "enum": ["created", "updated", "deleted"]});
    let changed = object(
        json!({"key": text(), "change": change}),
        json!({"before": of("Item"), "after": of("Item")}),
    );
    add(
        "Diff",
        object(
            json!({"from": count(), "to": count(), "changes": list_of(changed), "next": text_or_null()}),
            json!({}),
        ),
    );
    add("Rollback", rollback());
    let previewed =
        object(json!({"key": text(), "change": {"enum": ["restored", "deleted"]}}), json!({}));
    add(
        "RolledBack",
        object(
            json!({"revision": count(), "restored": count(), "deleted": count()}),
            json!({"changes": list_of(previewed)}),
        ),
    );
    add("Compact", asked(json!({"revision": count()}), json!({})));
    let compacted = json!({"revision": count(), "compacted_below": count()});
    add("Compacted", object(compacted, json!({})));
    add("Appended", object(json!({"slot": count(), "revision": count()}), json!({})));
    add("Slot", slot());
    add("Txn", transaction());
    add("Comparison", comparison(count()));
    add("ValueComparison", comparison(text()));
    add(
        "TxnResult",
        object(
            json!({"succeeded": {"type": "boolean"}, "revision": count(), "results": list_of(json!({"type": ["object", "null"]}))}),
            json!({}),
        ),
    );
    let query = json!({
        "sql": text(), "params": {"type": "array"}, "revision": {"type": ["integer", "null"], "minimum": 0},
    });
    let mut query = asked(query, json!({}));
    query["required"] = json!(["sql"]);
    add("Query", query);
    add(
        "Table",
        object(
            json!({"columns": list_of(text()), "rows": list_of(json!({"type": "array"})), "revision": count()}),
            json!({}),
        ),
    );
    tenure::schemas().into_iter().for_each(|(name, schema)| drop(add(name, schema)));
    Value::Object(all)
}

fn problem() -> Value {
    object(
        json!({"type": text(), "title": text(), "status": count(), "detail": text()}),
        json!({
            "revision": count(), "oldest_revision": count(), "retryable": {"type": "boolean"},
            "outcome": {"enum": ["applied", "not_applied", "unknown"]},
            "holder": object(json!({"lease": count(), "fence": count()}), json!({})),
        }),
    )
}

fn rollback() -> Value {
    asked(json!({"prefix": prefix(), "revision": count()}), json!({"all": {"type": "boolean"}}))
}

fn slot() -> Value {
    let ballot = object(json!({"round": count(), "coordinator": text()}), json!({}));
    object(
        json!({
            "slot": count(), "ballot": ballot,
            "kind": {"enum": ["batch", "view", "noop", "unreadable"]},
            "epoch": {"type": ["integer", "null"]}, "commands": list_of(json!({"type": "object"})),
            "trace_id": text_or_null(), "revision": count(), "hash": text(), "previous_hash": text(),
        }),
        json!({}),
    )
}

/// One comparison with a value.
fn comparison(value: Value) -> Value {
    let of = |relation: &str| {
        let mut required = Map::new();
        required.insert(relation.to_owned(), value.clone());
        asked(Value::Object(required), json!({}))
    };
    json!({"oneOf": (["eq", "ne", "lt", "gt"].map(of))})
}

fn transaction() -> Value {
    let guard = json!({"oneOf": [
        asked(json!({"key": key(), "exists": {"type": "boolean"}}), json!({})),
        asked(json!({"key": key(), "revision": of("Comparison")}), json!({})),
        asked(json!({"key": key(), "version": of("Comparison")}), json!({})),
        asked(json!({"key": key(), "value": of("ValueComparison")}), json!({"encoding": encoding()})),
    ]});
    let put = asked(
        json!({"key": key(), "value": text()}),
        json!({"encoding": encoding(), "content_type": text(), "lease": count()}),
    );
    let of_key = asked(json!({"key": key()}), json!({}));
    let of_prefix = asked(json!({"prefix": prefix()}), json!({}));
    let read = asked(json!({"prefix": prefix()}), json!({"limit": count()}));
    let operation = json!({"oneOf": [
        asked(json!({"put": put}), json!({})),
        asked(json!({"delete": {"oneOf": [of_key, of_prefix]}}), json!({})),
        asked(json!({"get": {"oneOf": [of_key, read]}}), json!({})),
    ]});
    asked(
        json!({}),
        json!({"if": list_of(guard), "then": list_of(operation.clone()), "else": list_of(operation)}),
    )
}
