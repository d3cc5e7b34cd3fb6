//! Who made the changes of a revision: read with what changed, and gone with the last of it.

use serde_json::json;
use shared::ids::Accessor;

use super::compaction::{compact, sweep};
use super::sql::rows;
use super::*;
use crate::machine::access::subject::{Author, Subject};
use crate::machine::command::Attribution;

fn ada() -> Subject {
    Subject { issuer: "spiffe://synod".to_owned(), subject: "operator/ada".to_owned() }
}

fn by_token(token: u64, op: Op) -> Op {
    op.done_by(Some(Author::Token(Accessor(token))))
}

fn by_ada(op: Op) -> Op {
    op.done_by(Some(Author::Certified(ada())))
}

fn range(prefix: &str) -> Op {
    Op::DeletePrefix { prefix: prefix.to_owned() }
}

/// Who made the last change of a key up to a revision.
async fn author_at(store: &Store, of: &str, at: u64) -> Option<Attribution> {
    store.reader.authors(vec![key(of)], Revision(at)).await.unwrap().remove(0)
}

fn token(token: u64) -> Option<Attribution> {
    Some(Attribution { by: Accessor(token), subject: None })
}

const KEPT: &str = "SELECT revision FROM history WHERE by IS NOT NULL ORDER BY revision";

async fn revisions_with_authors(dir: &Path) -> Vec<i64> {
    let file = dir.join(FILE);
    let mut connection = schema::reader_options(&file).connect().await.unwrap();
    let sql = "SELECT revision FROM authors ORDER BY revision";
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
}

#[tokio::test]
async fn what_changed_is_read_with_who_changed_it_however_far_deletions_are_swept() {
    let (dir, mut store) = open_new().await;
    store.writer.sweep_at_once(1);
    let ops = vec![
        by_token(7, put("a/1", b"one")),
        by_ada(put("a/2", b"two")),
        put("a/3", b"three"),
        by_token(7, put("b", b"b")),
        by_token(8, delete("b")),
        by_token(9, range("a/")),
        by_token(8, range("a/")),
    ];
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    let by_ada = Some(Attribution { by: ada().accessor(), subject: Some(ada()) });
    loop {
        assert_eq!(author_at(&store, "a/1", 5).await, token(7));
        assert_eq!(author_at(&store, "a/2", 5).await, by_ada);
        assert_eq!(author_at(&store, "a/3", 5).await, None, "nobody is named");
        assert_eq!(author_at(&store, "b", 4).await, token(7));
        assert_eq!(author_at(&store, "b", 7).await, token(8));
        for key in ["a/1", "a/2", "a/3"] {
            assert_eq!(author_at(&store, key, 7).await, token(9), "the first deletion is it");
        }
        let sql = "SELECT key, revision, by, issuer, subject FROM history ORDER BY revision, key";
        let (seven, nobody) = ("0000000000000007", json!(null));
        let nine = "0000000000000009";
        let by = ada().accessor().to_string();
        let expected = json!([
            ["a/1", 1, seven, nobody, nobody],
            ["a/2", 2, by, "spiffe://synod", "operator/ada"],
            ["a/3", 3, nobody, nobody, nobody],
            ["b", 4, seven, nobody, nobody],
            ["b", 5, "0000000000000008", nobody, nobody],
            ["a/1", 6, nine, nobody, nobody],
            ["a/2", 6, nine, nobody, nobody],
            ["a/3", 6, nine, nobody, nobody],
        ]);
        assert_eq!(rows(dir.path(), sql), expected);
        if !sweep(&mut store.writer).await {
            break;
        }
    }
    assert_eq!(revisions_with_authors(dir.path()).await, [1, 2, 4, 5, 6], "7 deleted nothing");
}

#[tokio::test]
async fn who_did_it_goes_with_the_last_of_what_was_done() {
    let (dir, mut store) = open_new().await;
    let ops = vec![
        by_token(7, put("a", b"1")),
        by_token(7, delete("nothing")),
        by_token(7, put("b", b"1")),
        by_token(7, delete("b")),
        by_token(7, put("a", b"2")),
        put("a", b"3"),
        by_token(8, put("a", b"4")),
    ];
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops)]).await.unwrap();
    assert_eq!(revisions_with_authors(dir.path()).await, [1, 3, 4, 5, 7]);
    assert_eq!(rows(dir.path(), KEPT), json!([[1], [3], [4], [5], [7]]));
    execute_and_store(&mut store.writer, vec![batch(2, 1, vec![compact(5)])]).await.unwrap();
    while sweep(&mut store.writer).await {}
    assert_eq!(revisions_with_authors(dir.path()).await, [5, 7]);
    execute_and_store(&mut store.writer, vec![batch(3, 2, vec![compact(7)])]).await.unwrap();
    while sweep(&mut store.writer).await {}
    assert_eq!(revisions_with_authors(dir.path()).await, [7], "it made what there is");
    assert_eq!(author_at(&store, "a", 7).await, token(8));
}
