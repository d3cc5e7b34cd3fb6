use serde_json::json;

use super::*;

#[test]
fn a_transaction_is_read_and_written_as_the_api_has_it() {
    let json = json!({
        "if": [
            {"key": "a", "exists": false},
            {"key": "a", "revision": {"ne": 7}},
            {"key": "a", "version": {"lt": 3}},
            {"key": "a", "value": {"eq": "x"}, "encoding": "utf8"},
            {"key": "a", "value": {"gt": "AP8="}, "encoding": "base64"},
        ],
        "then": [
            {"put": {"key": "a", "value": "1", "encoding": "utf8"}},
            {"put": {"key": "b", "value": "AP8=", "encoding": "base64", "content_type": "t/x"}},
            {"delete": {"key": "c"}},
            {"delete": {"prefix": "p/"}},
        ],
        "else": [{"get": {"key": "a"}}, {"get": {"prefix": "", "limit": 5}}],
    });
    let txn: Txn = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(txn.guards[4].test, Test::Value(Compare::Gt(Bytes::from_static(b"\x00\xff"))));
    assert_eq!(serde_json::to_value(txn).unwrap(), json);
}

#[test]
fn what_is_no_transaction_is_refused_and_the_word_is_named() {
    for (json, names) in [
        (json!({"iff": []}), "`iff`"),
        (json!({"if": [{"key": "a"}]}), "exactly one of"),
        (json!({"if": [{"key": "a", "exists": true, "version": {"eq": 1}}]}), "exactly one of"),
        (json!({"then": [{"set": {"key": "a"}}]}), "`set`"),
        (json!({"then": [{"get": {"key": "a", "prefix": "b"}}]}), "a key, or a prefix"),
        (json!({"then": [{"put": {"key": "a", "value": "?", "encoding": "base64"}}]}), "base64"),
    ] {
        let error = serde_json::from_value::<Txn>(json).unwrap_err().to_string();
        assert!(error.contains(names), "{error}");
    }
}

#[test]
fn each_result_is_told_by_what_it_says() {
    let item = json!({"key": "a", "value": "1", "encoding": "utf8", "content_type": null,
        "revision": 5, "created_revision": 5, "version": 1, "lease": null});
    let json = json!({"succeeded": true, "revision": 5, "results": [
        {"key": "a", "revision": 5, "created_revision": 5, "version": 1},
        {"deleted": 2, "revision": 5},
        item,
        null,
        {"items": [item], "more": false},
    ]});
    let answer: TxnAnswer = serde_json::from_value(json.clone()).unwrap();
    assert!(matches!(
        answer.results[..],
        [
            TxnResult::Stored(_),
            TxnResult::Deleted(Deleted { deleted: 2, .. }),
            TxnResult::Item(Some(_)),
            TxnResult::Item(None),
            TxnResult::Items { more: false, .. },
        ]
    ));
    assert_eq!(serde_json::to_value(answer).unwrap(), json);
}
