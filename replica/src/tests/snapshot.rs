//! Snapshots over HTTP.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::*;

const PATH: &str = "/v1/snapshot";

/// Holds the digest that the answer names against these bytes.
fn is_digest_of(seen: &Seen, bytes: &[u8]) -> bool {
    let digest = STANDARD.encode(Sha256::digest(bytes));
    seen.header("repr-digest") == format!("sha-256=:{digest}:")
}

#[tokio::test]
async fn a_snapshot_is_a_whole_sqlite_file_with_its_digest_and_revision() {
    let network = Network::start(1).await;
    network.put(0, "/v1/kv/a", "1").await;
    let written = network.put(0, "/v1/kv/a", "2").await;
    for path in [PATH, "/v1/snapshot?consistency=local"] {
        let seen = network.get(0, path).await;
        assert_eq!((seen.status, seen.header("content-type")), (200, "application/vnd.sqlite3"));
        assert_eq!(seen.header("synod-revision"), written.header("synod-revision"));
        assert_eq!(seen.header("content-length"), seen.body.len().to_string());
        assert_eq!(seen.header("accept-ranges"), "bytes");
        assert!(is_digest_of(&seen, &seen.body));
        assert!(seen.body.starts_with(b"SQLite format 3\0"));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("snapshot");
        std::fs::write(&file, &seen.body).unwrap();
        let connection = rusqlite::Connection::open(&file).unwrap();
        let sql = "SELECT value, version FROM kv WHERE key = 'a'";
        let row = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(row.unwrap(), ("2".to_owned(), 2));
    }
}

#[tokio::test]
async fn what_was_cut_off_is_gone_on_with_at_any_replica() {
    let network = Network::start(2).await;
    network.put(0, "/v1/kv/a", "1").await;
    let whole = network.get(0, PATH).await;
    let tag = whole.header("etag").to_owned();
    // The file is kept as it is, whatever happens meanwhile.
    network.put(0, "/v1/kv/a", "2").await;
    let total = whole.body.len();
    for node in 0..2 {
        let ranges =
            [("bytes=1000-", 1_000..total), ("bytes=0-9", 0..10), ("bytes=-7", total - 7..total)];
        for (range, expected) in ranges {
            let part = network
                .with(node, Method::GET, PATH, &[("range", range), ("if-range", &tag)])
                .await;
            assert_eq!(part.status, 206, "{node} {range}: {part:?}");
            assert_eq!(part.body, whole.body[expected.clone()], "{node} {range}");
            let said = format!("bytes {}-{}/{total}", expected.start, expected.end - 1);
            assert_eq!(part.header("content-range"), said);
            assert_eq!(part.header("content-length"), part.body.len().to_string());
            let of = |seen: &Seen| [seen.header("etag"), seen.header("synod-revision")].join(" ");
            assert_eq!(of(&part), of(&whole));
            assert!(is_digest_of(&part, &whole.body), "of the whole file");
        }
        let beyond = format!("bytes={total}-");
        let none =
            network.with(node, Method::GET, PATH, &[("range", &beyond), ("if-range", &tag)]).await;
        assert_eq!(none.status, 416, "{node}: {none:?}");
        assert_eq!(none.header("content-range"), format!("bytes */{total}"));
    }
}

#[tokio::test]
async fn without_the_file_that_it_is_the_rest_of_all_of_a_new_one_is_sent() {
    let network = Network::start(1).await;
    network.put(0, "/v1/kv/a", "1").await;
    let kept = network.get(0, PATH).await.header("etag").to_owned();
    let weak = format!("W/{kept}");
    for headers in [
        &[("range", "bytes=10-")][..],
        &[("range", "bytes=10-"), ("if-range", "\"replica-1.0000000000000001\"")],
        &[("range", "bytes=10-"), ("if-range", "\"replica-9.0000000000000001\"")],
        &[("range", "bytes=10-"), ("if-range", "Sun, 29 Nov 2026 09:00:00 GMT")],
        &[("range", "bytes=10-"), ("if-range", &weak)],
        &[("range", "lines=1-2"), ("if-range", &kept)],
    ] {
        let seen = network.with(0, Method::GET, PATH, headers).await;
        assert_eq!(seen.status, 200, "{headers:?}: {:?}", seen.headers);
        assert!(is_digest_of(&seen, &seen.body));
    }
    for bad in ["bytes=9-5", "bytes=x-", "bytes=0-1,3-4", "bytes"] {
        let seen = network.with(0, Method::GET, PATH, &[("range", bad)]).await;
        assert_eq!(seen.status, 416, "{bad}");
        assert!(seen.json()["detail"].as_str().unwrap().contains("one range of bytes"), "{bad}");
    }
}

#[tokio::test]
async fn who_is_being_sent_all_that_may_be_kept_is_waited_for() {
    let network = Network::start(1).await;
    let mut held = Vec::new();
    for value in ["1", "2"] {
        network.put(0, "/v1/kv/a", value).await;
        // Larger than what connections hold, so that it is not sent to its end.
        for n in 0..12 {
            let path = format!("/v1/kv/large/{value}/{n}");
            let put = network.request(0, Method::PUT, &path).body(vec![b'x'; 1 << 20]);
            assert_eq!(send(put).await.status, 201);
        }
        held.push(network.request(0, Method::GET, PATH).send().await.unwrap());
    }
    network.put(0, "/v1/kv/a", "3").await;
    let refused = network.get(0, PATH).await;
    assert_eq!(refused.refusal(), (503, Value::Null, true));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("2 snapshots are kept at once"), "{detail}");
    drop(held);
    network::eventually("one is to be had again", async || {
        network.get(0, PATH).await.status == 200
    })
    .await;
}
