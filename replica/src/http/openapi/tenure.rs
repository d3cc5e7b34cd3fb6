//! The entries of leases and locks.

use serde_json::{Value, json};

use super::entry::Entry;
use super::operations::{JSON, lines};
use super::schemas::{count, of, prefix};

/// All of them.
pub(super) fn all() -> Vec<Entry> {
    [leases(), locks()].into_iter().flatten().collect()
}

fn of_lease(entry: Entry) -> Entry {
    entry.path_parameter("id", count(), json!(41)).refused(&[404])
}

fn paged(entry: Entry) -> Entry {
    entry.query("limit", json!({"type": "integer", "minimum": 1}), 100).query(
        "cursor",
        json!({"type": "string"}),
        "AgAB",
    )
}

fn leases() -> Vec<Entry> {
    let granted = json!({"id": 41, "ttl_ms": 5_000});
    let lease = json!({"id": 41, "ttl_ms": 5_000, "remaining_ms": 4_200});
    let with_keys = json!({
        "id": 41, "ttl_ms": 5_000, "remaining_ms": 4_200, "keys": ["workers/a"], "revision": 42,
        "next": null,
    });
    let page = json!({"items": [lease], "revision": 42, "next": null});
    vec![
        Entry::mutation("post", "/v1/leases", ("grantLease", "Grants a lease."))
            .takes(JSON, of("LeaseRequest"), json!({"ttl_ms": 5_000}))
            .answers(201, "It began.", &[(JSON, of("LeaseGranted"), granted)]),
        paged(Entry::read("get", "/v1/leases", ("leases", "Lists leases."))).answers(
            200,
            "A page, or all as a stream.",
            &[(JSON, of("Leases"), page), lines(&lease)],
        ),
        paged(of_lease(Entry::read("get", "/v1/leases/{id}", ("lease", "Reads a lease."))))
            .answers(200, "It, and its keys.", &[(JSON, of("LeaseWithKeys"), with_keys)]),
        of_lease(Entry::mutation(
            "delete",
            "/v1/leases/{id}",
            ("revokeLease", "Ends a lease, and deletes its keys."),
        ))
        .answers(
            200,
            "They do not exist.",
            &[(JSON, of("Deleted"), json!({"deleted": 2, "revision": 43}))],
        )
        .refused(&[410]),
        of_lease(Entry::mutation(
            "post",
            "/v1/leases/{id}/renew",
            ("renewLease", "Has a lease's time begin again."),
        ))
        .answers(200, "It did.", &[(JSON, of("Lease"), lease)]),
    ]
}

fn of_lock(entry: Entry) -> Entry {
    let name = json!({"type": "string", "minLength": 1, "maxLength": 1_024});
    entry.path_parameter("name", name, json!("jobs/nightly"))
}

fn locks() -> Vec<Entry> {
    let held = json!({"name": "jobs/nightly", "lease": 41, "fence": 42});
    let lock = json!({"name": "jobs/nightly", "lease": 41, "fence": 42, "waiters": 1});
    let mut read = lock.clone();
    read["revision"] = json!(43);
    let page = json!({"items": [lock], "revision": 43, "next": null});
    let wanted = json!({"lease": 41, "wait_ms": 1_000});
    vec![
        of_lock(Entry::mutation("put", "/v1/locks/{name}", ("acquireLock", "Takes a lock.")))
            .takes(JSON, of("LockRequest"), wanted)
            .answers(200, "The lease holds it.", &[(JSON, of("LockHeld"), held)])
            .refused(&[404, 409]),
        of_lock(Entry::read("get", "/v1/locks/{name}", ("lock", "Says who holds a lock.")))
            .answers(200, "This one.", &[(JSON, of("Lock"), read)])
            .refused(&[404]),
        of_lock(Entry::mutation("delete", "/v1/locks/{name}", ("releaseLock", "Gives it up.")))
            .query("lease", count(), 41)
            .answers(
                200,
                "It did.",
                &[(JSON, of("LockReleased"), json!({"name": "jobs/nightly", "revision": 43}))],
            )
            .refused(&[409]),
        paged(Entry::read("get", "/v1/locks", ("locks", "Lists locks that are held.")))
            .query("prefix", prefix(), "jobs/")
            .answers(
                200,
                "A page, or all as a stream.",
                &[(JSON, of("Locks"), page), lines(&lock)],
            ),
    ]
}

/// What they speak of, by name.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    use super::schemas::{asked, list_of, object, text, text_or_null};
    let none = || json!({});
    let lease = || json!({"id": count(), "ttl_ms": count(), "remaining_ms": count()});
    let held = || json!({"name": text(), "lease": count(), "fence": count()});
    let mut with_keys = lease();
    with_keys["keys"] = list_of(text());
    with_keys["revision"] = count();
    with_keys["next"] = text_or_null();
    let mut lock = held();
    lock["waiters"] = count();
    let page = |of: &str| {
        let items = list_of(super::schemas::of(of));
        object(json!({"items": items, "revision": count(), "next": text_or_null()}), none())
    };
    vec![
        ("LeaseRequest", asked(json!({"ttl_ms": count()}), none())),
        ("LeaseGranted", object(json!({"id": count(), "ttl_ms": count()}), none())),
        ("Lease", object(lease(), none())),
        ("LeaseWithKeys", object(with_keys, none())),
        ("Leases", page("Lease")),
        ("LockRequest", asked(json!({"lease": count()}), json!({"wait_ms": count()}))),
        ("LockHeld", object(held(), none())),
        ("Lock", object(lock, json!({"revision": count()}))),
        ("LockReleased", object(json!({"name": text(), "revision": count()}), none())),
        ("Locks", page("Lock")),
    ]
}
