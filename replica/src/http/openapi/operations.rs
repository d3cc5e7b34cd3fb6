//! The entries, in the order of the documentation. Whoever adds a route adds one.

use serde_json::{Value, json};
use shared::metrics::CONTENT_TYPE;

use super::entry::{Entry, condition, time};
use super::schemas::{count, key, of, prefix};
use super::tenure;

pub(super) const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const ANY: &str = "*/*";
const EVENT_ID: &str = "^[0-9a-f]{16}-[0-9]{1,9}$";

/// All of them.
pub(super) fn all() -> Vec<Entry> {
    [
        keys(),
        prefixes(),
        several(),
        tenure::all(),
        history(),
        log(),
        queries(),
        snapshots(),
        operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_key(entry: Entry) -> Entry {
    entry.path_parameter("key", key(), json!("app/web"))
}

fn item() -> Value {
    json!({
        "key": "app/web", "value": "port=80", "encoding": "utf8", "content_type": "text/plain",
        "revision": 42, "created_revision": 40, "version": 2, "lease": null,
    })
}

/// A stream, a document a line.
pub(super) fn lines(document: &Value) -> (&'static str, Value, Value) {
    (NDJSON, json!({"type": "string"}), json!(format!("{document}\n")))
}

fn keys() -> Vec<Entry> {
    let bytes = || json!({"type": "string"});
    let written = json!({"key": "app/web", "revision": 42, "created_revision": 42, "version": 1});
    let put = Entry::mutation("put", "/v1/kv/{key}", ("put", "Stores bytes under a key."));
    let read = |method, id, summary| {
        let asked = Entry::read(method, "/v1/kv/{key}", (id, summary));
        of_key(asked)
            .query("revision", count(), 42)
            .header("If-None-Match", condition(), "\"42\"")
            .header("If-Match", condition(), "\"42\"")
            .answers(304, "It is what the caller has.", &[])
            .refused(&[404, 410, 412])
    };
    let delete = Entry::mutation("delete", "/v1/kv/{key}", ("delete", "Deletes a key."));
    let compared = |entry: Entry| {
        of_key(entry)
            .header("If-Match", condition(), "\"42\"")
            .header("If-None-Match", json!({"const": "*"}), "*")
            .refused(&[412])
    };
    vec![
        compared(put)
            .query("lease", count(), 41)
            .refused(&[404])
            .takes(ANY, bytes(), json!("port=80"))
            .answers(200, "It was replaced.", &[(JSON, of("Written"), written.clone())])
            .answers(201, "It was created.", &[(JSON, of("Written"), written)]),
        read("get", "get", "Reads a key.").answers(
            200,
            "The bytes, with their Content-Type, ETag, Synod-Created-Revision and Synod-Version.",
            &[(ANY, bytes(), json!("port=80"))],
        ),
        read("head", "head", "Reads what is known of a key.").answers(200, "The headers.", &[]),
        compared(delete).answers(
            200,
            "It does not exist.",
            &[(JSON, of("Deleted"), json!({"deleted": 1, "revision": 43}))],
        ),
    ]
}

fn prefixes() -> Vec<Entry> {
    let flag = || json!({"type": "boolean"});
    let text = || json!({"type": "string"});
    let page = json!({"items": [item()], "revision": 42, "next": null});
    vec![
        Entry::read("get", "/v1/kv", ("list", "Lists keys in byte order."))
            .query("prefix", prefix(), "app/")
            .query("start", prefix(), "app/a")
            .query("end", prefix(), "app/z")
            .query("limit", json!({"type": "integer", "minimum": 1}), 100)
            .query("cursor", text(), "AgAB")
            .query("keys_only", flag(), true)
            .query("revision", count(), 42)
            .query("reverse", flag(), false)
            .answers(
                200,
                "A page, or all as a stream.",
                &[(JSON, of("Page"), page), lines(&item())],
            )
            .refused(&[410]),
        Entry::mutation("delete", "/v1/kv", ("deletePrefix", "Deletes all keys with a prefix."))
            .query("prefix", prefix(), "app/")
            .query("all", flag(), false)
            .answers(
                200,
                "They do not exist.",
                &[(JSON, of("Deleted"), json!({"deleted": 2, "revision": 43}))],
            )
            .refused(&[410]),
    ]
}

fn several() -> Vec<Entry> {
    let txn = json!({
        "if": [{"key": "a", "version": {"eq": 0}}],
        "then": [{"put": {"key": "a", "value": "1"}}, {"get": {"key": "a"}}],
    });
    let put = json!({"key": "a", "revision": 42, "created_revision": 42, "version": 1});
    let result = json!({"succeeded": true, "revision": 42, "results": [put, item()]});
    vec![
        Entry::mutation("post", "/v1/txn", ("transact", "Does several things as one step."))
            .takes(JSON, of("Txn"), txn)
            .answers(200, "It was done.", &[(JSON, of("TxnResult"), result)])
            .refused(&[410]),
    ]
}

fn history() -> Vec<Entry> {
    let change = json!({"key": "app/web", "change": "created", "after": item()});
    let diff = json!({"from": 40, "to": 42, "changes": [change], "next": null});
    let rolled_back = json!({"revision": 43, "restored": 2, "deleted": 1});
    let compacted = json!({"revision": 43, "compacted_below": 42});
    let event = json!({"event": "put", "id": 42, "data": item()});
    let many = |schema: Value| json!({"type": "array", "items": schema, "maxItems": 64});
    vec![
        Entry::read("get", "/v1/diff", ("diff", "How two revisions differ."))
            .query("from", count(), 40)
            .query("to", count(), 42)
            .query("prefix", prefix(), "app/")
            .query("limit", json!({"type": "integer", "minimum": 1}), 100)
            .query("cursor", json!({"type": "string"}), "AgAB")
            .answers(
                200,
                "A page, or all as a stream.",
                &[(JSON, of("Diff"), diff), lines(&change)],
            )
            .refused(&[410]),
        Entry::mutation("post", "/v1/rollback", ("rollBack", "Makes keys what they were."))
            .query("dry_run", json!({"type": "boolean"}), false)
            .query("consistency", json!({"enum": ["linearizable", "local"]}), "linearizable")
            .takes(JSON, of("Rollback"), json!({"prefix": "app/", "revision": 42}))
            .answers(200, "They are, or would be.", &[(JSON, of("RolledBack"), rolled_back)])
            .refused(&[410]),
        Entry::mutation("post", "/v1/compact", ("compact", "Drops the history before a revision."))
            .takes(JSON, of("Compact"), json!({"revision": 42}))
            .answers(200, "It is dropped on every replica.", &[(JSON, of("Compacted"), compacted)]),
        Entry::read("get", "/v1/watch", ("watch", "Tells of changes as they are executed."))
            .query("key", many(key()), json!(["app/web"]))
            .query("prefix", many(prefix()), json!(["app/"]))
            .query("from", count(), 43)
            .query("snapshot", json!({"type": "boolean"}), true)
            .header("Last-Event-ID", count(), 42)
            .answers(
                200,
                "A stream that does not end.",
                &[
                    lines(&event),
                    (
                        "text/event-stream",
                        json!({"type": "string"}),
                        json!(format!("event: put\ndata: {}\nid: 42\n\n", item())),
                    ),
                ],
            )
            .refused(&[410]),
    ]
}

fn log() -> Vec<Entry> {
    let append = json!({
        "op": "append", "value": "deployed 1.2", "encoding": "utf8", "content_type": "text/plain",
        "trace_id": null, "request": "0af7651916cd43dd8448eb211c80319c",
    });
    let slot = json!({
        "slot": 7, "ballot": {"round": 1, "coordinator": "00000000000000aa"}, "kind": "batch",
        "epoch": 1, "number": 3, "wall_ms": 1_760_000_000_000_u64, "time_ms": 5_000,
        "commands": [append], "trace_id": null, "revision": 42, "hash": "aa", "previous_hash": "bb",
    });
    let slots = json!({"type": "array", "items": of("Slot")});
    vec![
        Entry::mutation("post", "/v1/log", ("append", "Has a value stand in the log."))
            .takes(ANY, json!({"type": "string"}), json!("deployed 1.2"))
            .answers(
                201,
                "It was chosen at that slot.",
                &[(JSON, of("Appended"), json!({"slot": 7, "revision": 42}))],
            ),
        Entry::read("get", "/v1/log", ("log", "Lists slots of the log."))
            .query("from", count(), 7)
            .query("limit", json!({"type": "integer", "minimum": 1}), 100)
            .answers(200, "Slots.", &[(JSON, slots, json!([slot])), lines(&slot)])
            .refused(&[410]),
        Entry::read("get", "/v1/log/{slot}", ("slot", "Reads a slot of the log."))
            .path_parameter("slot", count(), json!(7))
            .query("wait", time(), "5s")
            .answers(200, "What it holds.", &[(JSON, of("Slot"), slot)])
            .refused(&[404, 410]),
    ]
}

fn queries() -> Vec<Entry> {
    let sql = "SELECT key, version FROM kv LIMIT 1";
    let table = json!({"columns": ["key", "version"], "rows": [["app/web", 2]], "revision": 42});
    let csv = ("text/csv", json!({"type": "string"}), json!("key,version\napp/web,2\n"));
    let row = json!({"key": "app/web", "version": 2});
    vec![
        Entry::read("post", "/v1/sql", ("query", "Answers a query in SQL."))
            .takes("text/plain", json!({"type": "string"}), json!(sql))
            .takes(JSON, of("Query"), json!({"sql": sql}))
            .answers(200, "Rows.", &[(JSON, of("Table"), table), lines(&row), csv])
            .refused(&[410, 415]),
    ]
}

fn snapshots() -> Vec<Entry> {
    let file = || {
        let bytes = json!({"type": "string", "format": "binary"});
        [("application/vnd.sqlite3", bytes, json!("SQLite format 3\u{0}"))]
    };
    let range = json!({"type": "string", "pattern": "^bytes=[0-9]{1,9}-$"});
    let tag = json!({"type": "string", "pattern": "^\"[a-z0-9-]{1,32}\\.[0-9a-f]{16}\"$"});
    vec![
        Entry::read("get", "/v1/snapshot", ("snapshot", "The whole state as one SQLite file."))
            .header("Range", range, "bytes=4096-")
            .header("If-Range", tag, "\"replica-1.00000000000000aa\"")
            .answers(200, "All of it.", &file())
            .answers(206, "A part of the one that If-Range names.", &file())
            .refused(&[416, 507]),
    ]
}

fn operations() -> Vec<Entry> {
    let object = || json!({"type": "object"});
    let view = json!({"epoch": 7, "primary": "replica-2", "backups": ["replica-1", "replica-3"]});
    let name = json!({"type": "string", "pattern": "^[a-z0-9-]{1,64}$"});
    let named = json!({
        "type": "object", "required": ["replica"], "additionalProperties": false,
        "properties": {"replica": name},
    });
    let text = || ("text/plain", json!({"type": "string"}), json!("ok\n"));
    let (event_id, trace) = ("00000000000000aa-7", "4bf92f3577b34da6a3ce929d0e0e4736");
    let happened = json!({
        "epoch": 7, "slot": 42, "primary": "replica-2", "backups": ["replica-1", "replica-3"],
        "time": "2026-01-01T12:00:00.000000Z",
    });
    let spans = json!({"resourceSpans": [], "missing": [], "left_out": 0});
    vec![
        Entry::own("get", "/v1/cluster", ("cluster", "Who leads, and how far everyone is."))
            .answers(200, "The cluster.", &[(JSON, object(), json!({"revision": 42}))])
            .refused(&[502]),
        Entry::own("get", "/v1/events", ("events", "Tells what happens in the cluster."))
            .query("held", json!({"type": "boolean"}), true)
            .header("Last-Event-ID", json!({"type": "string", "pattern": EVENT_ID}), event_id)
            .answers(
                200,
                "A stream that does not end.",
                &[
                    lines(&json!({"event": "view", "id": event_id, "data": happened})),
                    (
                        "text/event-stream",
                        json!({"type": "string"}),
                        json!(format!("event: view\ndata: {happened}\nid: {event_id}\n\n")),
                    ),
                ],
            )
            .refused(&[502]),
        Entry::own("get", "/v1/spans", ("spans", "What is still held of a trace."))
            .query("trace", json!({"type": "string", "pattern": "^[0-9a-f]{32}$"}), trace)
            .query("of", json!({"enum": ["service", "cluster"]}), "cluster")
            .answers(200, "OTLP, as JSON.", &[(JSON, object(), spans)]),
        Entry::own("post", "/v1/cluster/primary", ("switchOver", "Makes another replica primary."))
            .header("Synod-Timeout", time(), "2s")
            .takes(JSON, named, json!({"replica": "replica-2"}))
            .answers(200, "It is.", &[(JSON, object(), view)])
            .refused(&[404, 409, 415, 502]),
        Entry::own("get", "/v1/status", ("status", "What a service says of itself.")).answers(
            200,
            "Its status.",
            &[(JSON, object(), json!({"service": "replica"}))],
        ),
        Entry::own("get", "/livez", ("live", "Whether the process lives.")).answers(
            200,
            "It does.",
            &[text()],
        ),
        Entry::own("get", "/readyz", ("ready", "Whether it can serve."))
            .query("verbose", json!({"type": "string", "maxLength": 0}), "")
            .answers(200, "It can.", &[text()])
            .answers(
                503,
                "It cannot, and why.",
                &[("text/plain", json!({"type": "string"}), json!("no"))],
            ),
        Entry::own("get", "/metrics", ("metrics", "What it counts and measures.")).answers(
            200,
            "OpenMetrics 1.0.",
            &[(CONTENT_TYPE, json!({"type": "string"}), json!("# EOF\n"))],
        ),
        Entry::own("get", "/openapi.json", ("openapi", "This document."))
            .answers(200, "OpenAPI 3.1.", &[(JSON, object(), json!({"openapi": "3.1.0"}))])
            .refused(&[502]),
    ]
}
