use super::*;

const LIMITS: TxnLimits = TxnLimits { key_bytes: 8, value_bytes: 16, operations: 4, items: 50 };

fn read(body: &str) -> Result<Txn, Problem> {
    txn_of(body.as_bytes(), &LIMITS)
}

fn put(key: &str, value: &[u8], content_type: Option<&str>) -> TxnOp {
    TxnOp::Put(Box::new(TxnPut {
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value),
        content_type: content_type.map(str::to_owned),
    }))
}

#[test]
fn every_guard_and_operation_is_read() {
    let body = r#"{
        "if": [
            {"key": "a", "exists": false},
            {"key": "a", "revision": {"eq": 18446744073709551615}},
            {"key": "a", "version": {"ne": 0}},
            {"key": "a", "value": {"lt": "\u00e4"}},
            {"key": "a", "value": {"gt": "AP8="}, "encoding": "base64"}
        ],
        "then": [
            {"put": {"key": "a", "value": "1"}},
            {"put": {"key": "b", "value": "AP8=", "encoding": "base64", "content_type": "a/b; c"}},
            {"delete": {"key": "c"}},
            {"delete": {"prefix": "d/"}}
        ],
        "else": [
            {"get": {"key": "e"}},
            {"get": {"prefix": ""}},
            {"get": {"prefix": "f/", "limit": 50}}
        ]
    }"#;
    let guard = |comparison| TxnGuard { key: "a".to_owned(), comparison };
    let expected = Txn {
        guards: vec![
            guard(Comparison::Exists(false)),
            guard(Comparison::Revision(Relation::Equal, Revision(u64::MAX))),
            guard(Comparison::Version(Relation::NotEqual, 0)),
            guard(Comparison::Value(Relation::Less, Bytes::from_static("ä".as_bytes()))),
            guard(Comparison::Value(Relation::Greater, Bytes::from_static(&[0, 255]))),
        ],
        then: vec![
            put("a", b"1", None),
            put("b", &[0, 255], Some("a/b; c")),
            TxnOp::Delete { key: "c".to_owned() },
            TxnOp::DeletePrefix { prefix: "d/".to_owned() },
        ],
        otherwise: vec![
            TxnOp::Get { key: "e".to_owned() },
            TxnOp::GetPrefix { prefix: String::new(), limit: 50 },
            TxnOp::GetPrefix { prefix: "f/".to_owned(), limit: 50 },
        ],
    };
    let limits = TxnLimits { operations: 7, ..LIMITS };
    assert_eq!(txn_of(body.as_bytes(), &limits).unwrap(), expected);
    assert_eq!(read("{}").unwrap(), Txn::default());
    let many = TxnLimits { items: 5_000, ..LIMITS };
    let default = txn_of(br#"{"then": [{"get": {"prefix": ""}}]}"#, &many).unwrap();
    assert_eq!(default.then, [TxnOp::GetPrefix { prefix: String::new(), limit: 100 }]);
}

#[test]
fn what_is_wrong_is_refused_and_named() {
    let then = |op: &str| format!(r#"{{"then": [{op}]}}"#);
    let guard = |guard: &str| format!(r#"{{"if": [{guard}]}}"#);
    let put = |fields: &str| then(&format!(r#"{{"put": {{{fields}}}}}"#));
    let many = |list: &str, item: &str| format!(r#"{{"{list}": [{}]}}"#, [item; 5].join(","));
    let get = r#"{"get": {"key": "a"}}"#;
    for (body, status, named) in [
        (String::new(), 400, "EOF"),
        ("[]".to_owned(), 400, "an object"),
        ("[[], [], []]".to_owned(), 400, "an object"),
        ("null".to_owned(), 400, "an object"),
        ("{} {}".to_owned(), 400, "trailing"),
        (r#"{"if": [], "if": []}"#.to_owned(), 400, "duplicate field `if`"),
        (r#"{"iff": []}"#.to_owned(), 400, "iff"),
        (r#"{"then": null}"#.to_owned(), 400, "null"),
        (r#"{"then": {}}"#.to_owned(), 400, "sequence"),
        (guard(r#"{"exists": true}"#), 400, "missing field `key`"),
        (guard(r#"["a", true]"#), 400, "an object"),
        (guard(r#"{"key": "a"}"#), 400, "if[0]: a guard says exactly one"),
        (guard(r#"{"key": "a", "exists": true, "version": {"eq": 1}}"#), 400, "exactly one"),
        (guard(r#"{"key": "a", "exists": null}"#), 400, "null"),
        (guard(r#"{"key": "a", "exists": "yes"}"#), 400, "boolean"),
        (guard(r#"{"key": "a", "lease": 3}"#), 400, "lease"),
        (guard(r#"{"key": "a", "revision": 3}"#), 400, "3"),
        (guard(r#"{"key": "a", "revision": {"eq": -1}}"#), 400, "-1"),
        (guard(r#"{"key": "a", "revision": {"eq": 1.5}}"#), 400, "1.5"),
        (guard(r#"{"key": "a", "revision": {"eq": "1"}}"#), 400, "if[0].revision.eq: "),
        (guard(r#"{"key": "a", "revision": {"ge": 1}}"#), 400, "ge"),
        (guard(r#"{"key": "a", "revision": {}}"#), 400, "column"),
        (guard(r#"{"key": "a", "revision": {"eq": 1, "lt": 2}}"#), 400, "column"),
        (guard(r#"{"key": "a", "version": {"eq": 18446744073709551616}}"#), 400, "u64"),
        (guard(r#"{"key": "a", "value": {"eq": 1}}"#), 400, "string"),
        (guard(r#"{"key": "a", "exists": true, "encoding": "utf8"}"#), 400, "encoding"),
        (
            guard(r#"{"key": "a", "value": {"eq": "="}, "encoding": "base64"}"#),
            400,
            "if[0].value: ",
        ),
        (guard(r#"{"key": "", "exists": true}"#), 400, "if[0].key: the key is empty"),
        (then(r#""put""#), 400, "unit variant"),
        (then("{}"), 400, "column"),
        (then(r#"{"patch": {}}"#), 400, "then[0]: unknown variant `patch`"),
        (then(r#"{"put": ["a", "b"]}"#), 400, "an object"),
        (then(r#"{"get": {"key": "a"}, "put": {"key": "a", "value": ""}}"#), 400, "column"),
        (put(r#""key": "a""#), 400, "missing field `value`"),
        (put(r#""value": "a""#), 400, "missing field `key`"),
        (put(r#""key": "a", "key": "b", "value": """#), 400, "duplicate field `key`"),
        (put(r#""key": "a", "value": "", "lease": "7""#), 400, "then[0].put.lease: invalid type"),
        (put(r#""key": 7, "value": """#), 400, "integer `7`"),
        (put(r#""key": "a", "value": null"#), 400, "then[0].put.value: invalid type: null"),
        (put(r#""key": "a", "value": "\ud800""#), 400, "column"),
        (put(r#""key": "", "value": """#), 400, "then[0].put.key: the key is empty"),
        (put(r#""key": "123456789", "value": """#), 400, "then[0].put.key: "),
        (
            put(r#""key": "a", "value": "12345678901234567""#),
            413,
            "value then[0].put.value is limited to 16 bytes",
        ),
        (put(r#""key": "a", "value": "", "encoding": "hex""#), 400, "hex"),
        (put(r#""key": "a", "value": "AP8", "encoding": "base64""#), 400, "base64"),
        (
            put(r#""key": "a", "value": "AP8!", "encoding": "base64""#),
            400,
            "then[0].put.value: it is not base64",
        ),
        (put(r#""key": "a", "value": "", "content_type": """#), 400, "content_type"),
        (put(r#""key": "a", "value": "", "content_type": "a\nb""#), 400, "content_type"),
        (then(r#"{"delete": {}}"#), 400, "either a key or a prefix"),
        (then(r#"{"delete": {"key": "a", "prefix": "a"}}"#), 400, "either a key or a prefix"),
        (then(r#"{"delete": {"prefix": ""}}"#), 400, "all=true"),
        (then(r#"{"delete": {"prefix": "123456789"}}"#), 400, "limit is 8 bytes"),
        (then(r#"{"delete": {"key": "a", "limit": 1}}"#), 400, "limit"),
        (then(r#"{"get": {}}"#), 400, "either a key or a prefix"),
        (then(r#"{"get": {"key": "a", "prefix": "a"}}"#), 400, "either a key or a prefix"),
        (then(r#"{"get": {"key": "a", "limit": 1}}"#), 400, "limit"),
        (then(r#"{"get": {"prefix": "a", "limit": 0}}"#), 400, "1 to 50"),
        (
            then(r#"{"get": {"prefix": "a", "limit": 51}}"#),
            400,
            "then[0].get.limit: it is not in 1 to 50",
        ),
        (then(r#"{"get": {"prefix": "a", "limit": -1}}"#), 400, "-1"),
        (format!(r#"{{"then": [{get}, {{"get": {{}}}}]}}"#), 400, "then[1]"),
        (format!(r#"{{"else": [{get}, {{"get": {{}}}}]}}"#), 400, "else[1]"),
        (many("if", r#"{"key": "a", "exists": true}"#), 400, "limit is 4 guards"),
        (many("then", get), 400, "limit is 4 operations"),
        (format!(r#"{{"then": [{get},{get},{get}], "else": [{get},{get}]}}"#), 400, "4 operations"),
    ] {
        let problem = read(&body).expect_err(&body);
        assert_eq!(problem.status().as_u16(), status, "{body}: {problem}");
        assert!(problem.body().detail.contains(named), "{body}: {problem}");
    }
    let problem = txn_of(b"{\"then\": [\"\xff\"]}", &LIMITS).unwrap_err();
    assert_eq!(problem.status().as_u16(), 400, "{problem}");
    let long = format!(r#"{{"{}": 1}}"#, "x".repeat(100_000));
    assert!(read(&long).unwrap_err().body().detail.len() < 1_000);
}

#[test]
fn a_transaction_deletes_no_more_prefixes_than_the_log_can_hold() {
    let delete = r#"{"delete": {"prefix": "a"}}"#;
    let of = |count: usize| format!(r#"{{"then": [{}]}}"#, vec![delete; count].join(","));
    let limits = TxnLimits { operations: 128, ..LIMITS };
    assert!(txn_of(of(limits::TXN_RANGES).as_bytes(), &limits).is_ok());
    let problem = txn_of(of(limits::TXN_RANGES + 1).as_bytes(), &limits).unwrap_err();
    assert!(problem.body().detail.contains("16 deletions of prefixes"), "{problem}");
}
