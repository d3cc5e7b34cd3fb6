//! Leases and locks, and whose they are.

use super::*;

#[tokio::test]
async fn leases_and_locks_are_seen_and_used_by_whom_they_belong_to() {
    let guarded = Guarded::start().await;
    let (_, one) = guarded.with_rules("one", &[("one/", &["lock", "write", "read"])]).await;
    let (_, two) = guarded.with_rules("two", &[("two/", &["lock", "write", "read"])]).await;
    let grant = async |secret: &str| {
        let asked = guarded.ask(1, Method::POST, "/v1/leases", secret);
        let granted = send(asked.json(&json!({"ttl_ms": 60_000}))).await;
        assert_eq!(granted.status, 201, "{granted:?}");
        granted.json()["id"].as_u64().unwrap()
    };
    let (first, second) = (grant(&one).await, grant(&two).await);
    let ids = async |secret: &str| {
        let items = guarded.get(2, "/v1/leases", secret).await.json()["items"].clone();
        let ids = items.as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(ids(&one).await, [first]);
    assert_eq!(ids(&two).await, [second]);
    assert_eq!(ids(&guarded.root).await, [first, second]);
    let lock = async |name: &str, lease: u64, secret: &str| {
        let asked = guarded.ask(1, Method::PUT, &format!("/v1/locks/{name}"), secret);
        send(asked.json(&json!({"lease": lease}))).await.status
    };
    assert_eq!(lock("one/l", first, &one).await, 200);
    assert_eq!(lock("one/m", second, &one).await, 404, "with another's lease");
    assert_eq!(lock("two/l", first, &one).await, 403, "of another's name");
    assert_eq!(lock("two/l", second, &two).await, 200);
    let put = guarded.ask(1, Method::PUT, &format!("/v1/kv/one/k?lease={first}"), &one);
    assert_eq!(send(put.body("v")).await.status, 201);
    for (secret, keys) in [(&one, json!([])), (&guarded.root, json!(["one/k"]))] {
        let shown = guarded.get(0, &format!("/v1/leases/{first}"), secret).await.json();
        assert_eq!(shown["keys"], keys, "names are for those with list");
    }
    let locks = guarded.get(0, "/v1/locks", &two).await.json()["items"].clone();
    assert_eq!(locks.as_array().unwrap().len(), 1, "{locks}");
    for path in ["/v1/locks/one/l", "/v1/locks?prefix=one/"] {
        let refused = guarded.get(2, path, &two).await;
        assert_eq!(refused.status, 403, "{path}: {refused:?}");
    }
    // Nobody learns which leases others have: theirs are none, whatever is asked of them.
    for (method, path, status) in [
        (Method::GET, "/v1/leases/LEASE", 404),
        (Method::POST, "/v1/leases/LEASE/renew", 404),
        (Method::DELETE, "/v1/leases/LEASE", 404),
        (Method::PUT, "/v1/kv/two/k?lease=LEASE", 404),
        (Method::DELETE, "/v1/locks/two/l?lease=LEASE", 409),
        (Method::DELETE, "/v1/locks/two/free?lease=LEASE", 409),
    ] {
        for replica in [0, 2] {
            let answers = [first, 999_999].map(async |lease| {
                let path = path.replace("LEASE", &lease.to_string());
                let answer = send(guarded.ask(replica, method.clone(), &path, &two)).await;
                assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
                let said = answer.json();
                (
                    said["type"].clone(),
                    said["outcome"].clone(),
                    said["retryable"].clone(),
                    said["holder"].clone(),
                    said["revision"].clone(),
                    said["detail"].to_string().replace(&lease.to_string(), "LEASE"),
                )
            });
            let [other_s, none] = answers;
            assert_eq!(other_s.await, none.await, "{method} {path}");
        }
    }
    let renewed = guarded.ask(2, Method::POST, &format!("/v1/leases/{first}/renew"), &guarded.root);
    assert_eq!(send(renewed).await.status, 200, "operators may");
}

#[tokio::test]
async fn who_waited_for_a_lock_in_vain_leaves_the_line_by_the_same_token() {
    let guarded = Guarded::start().await;
    let (accessor, secret) = guarded.with_rules("one", &[("one/", &["lock"])]).await;
    let mut leases = Vec::new();
    for _ in 0..2 {
        let asked = guarded.ask(1, Method::POST, "/v1/leases", &secret);
        let granted = send(asked.json(&json!({"ttl_ms": 60_000}))).await;
        leases.push(granted.json()["id"].clone());
    }
    let lock = |lease: &Value, wait_ms: u64| {
        let asked = guarded.ask(1, Method::PUT, "/v1/locks/one/l", &secret);
        asked.json(&json!({"lease": lease, "wait_ms": wait_ms}))
    };
    assert_eq!(send(lock(&leases[0], 0)).await.status, 200);
    assert_eq!(send(lock(&leases[1], 200)).await.refusal(), (409, json!("not_applied"), false));
    // Whoever holds the lock in the end is told so only while the token is there.
    let waiting = lock(&leases[1], 20_000);
    let waits = async {
        let ended = async || {
            let line = guarded.get(0, "/v1/locks/one/l", &guarded.root).await;
            line.json()["waiters"] == 1
        };
        crate::tests::network::eventually("it waits", ended).await;
        assert_eq!(guarded.delete(&format!("/v1/tokens/{accessor}")).await.status, 200);
        let revoke = format!("/v1/leases/{}", leases[0]);
        assert_eq!(guarded.delete(&revoke).await.status, 200);
    };
    let (waited, ()) = tokio::join!(send(waiting), waits);
    assert_eq!(waited.refusal(), (401, json!("unknown"), false), "{waited:?}");
}
