//! What is shown of the values of slots.

use serde_json::json;
use shared::message::{Batch, Value, View};

use super::*;
use crate::machine::access::policy::{Policy, Rights, Rule};
use crate::machine::access::subject::{Author, Subject};
use crate::machine::access::{Force, SecretHash};
use crate::machine::command::{AnswerRetention, Commands};
use crate::machine::identity::RequestIdentity;
use crate::machine::locks::Fenced;

fn described(value: &[u8]) -> serde_json::Value {
    serde_json::to_value(describe(value)).unwrap()
}

#[test]
fn a_batch_shows_its_commands_and_traces_but_no_values() {
    let traced = |id| Some(TraceContext { trace_id: [id; 16], span_id: [1; 8], flags: 1 });
    let put = Op::Put {
        key: "k".to_owned(),
        value: Bytes::from_static(b"secret"),
        content_type: Some("text/plain".to_owned()),
        condition: Condition::IfMatch(vec![Revision(7)]),
    };
    let commands = vec![
        Command { op: put, trace: traced(0xab), request: RequestIdentity::Drawn([0xef; 16]) },
        Command {
            op: Op::Delete { key: "d".to_owned(), condition: Condition::Always },
            trace: None,
            request: RequestIdentity::Drawn([1; 16]),
        },
        Command {
            op: Op::DeletePrefix { prefix: "p/".to_owned() },
            trace: None,
            request: RequestIdentity::Drawn([2; 16]),
        },
    ];
    let payload = Commands {
        time_ms: 5,
        wall_ms: 7,
        trace: traced(0xcd),
        answers: AnswerRetention::default(),
        commands,
        executed: None,
    }
    .encode();
    let value =
        Value::Batch(Batch { epoch: Epoch(2), number: BatchNumber(3), commands: payload }).encode();
    let expected = json!({
        "kind": "batch", "epoch": 2, "number": 3, "wall_ms": 7, "time_ms": 5,
        "trace_id": "cd".repeat(16),
        "commands": [
            {"op": "put", "key": "k", "value_bytes": 6, "content_type": "text/plain", "condition": "If-Match: \"7\"",
             "trace_id": "ab".repeat(16), "request": "ef".repeat(16)},
            {"op": "delete", "key": "d", "trace_id": null, "request": "01".repeat(16)},
            {"op": "delete_prefix", "prefix": "p/", "trace_id": null, "request": "02".repeat(16)},
        ],
    });
    assert_eq!(described(&value), expected);
}

#[test]
fn every_other_value_has_the_same_fields_too() {
    let view = View {
        epoch: Epoch(1),
        primary: "a".parse().unwrap(),
        primary_instance: Instance(1),
        backups: Vec::new(),
        format: LogFormat::FIRST,
    };
    let shown =
        json!({"primary": "a", "primary_instance": "0000000000000001", "backups": [], "format": 1});
    let expected =
        json!({"kind": "view", "epoch": 1, "view": shown, "commands": [], "trace_id": null});
    assert_eq!(described(&Value::View(view.clone()).encode()), expected);
    let removal = Removal { view, replica: "b".parse().unwrap() };
    let mut expected = expected;
    expected["removed"] = json!("b");
    assert_eq!(described(&Value::Removal(removal).encode()), expected);
    assert_eq!(
        described(&Value::Noop.encode()),
        json!({"kind": "noop", "epoch": null, "commands": [], "trace_id": null})
    );
    assert_eq!(
        described(b"\xff"),
        json!({"kind": "unreadable", "epoch": null, "commands": [], "trace_id": null})
    );
    let value = Value::Batch(Batch {
        epoch: Epoch(2),
        number: BatchNumber(3),
        commands: Bytes::from_static(b"\xff"),
    });
    let error = "the 1 bytes are not the encoding of commands";
    let expected = json!({"kind": "batch", "epoch": 2, "number": 3, "commands": [], "trace_id": null, "error": error});
    assert_eq!(described(&value.encode()), expected);
}

#[test]
fn who_did_it_is_shown_and_of_tokens_and_policies_no_more_than_their_names() {
    let secret = SecretHash::of(b"synod_secret");
    let policy = Policy {
        rules: vec![Rule { prefix: "hidden/".to_owned(), rights: Rights::all() }],
        ..Policy::default()
    };
    let name: PolicyName = "readers".parse().unwrap();
    let (accessor, force) = (Accessor(0xab), Force::Forced);
    let fence = Fence { name: "l".to_owned(), revision: Revision(7) };
    let delete = Op::Delete { key: "k".to_owned(), condition: Condition::Always };
    let ops = vec![
        AccessOp::Bootstrap { secret },
        AccessOp::CreateToken {
            secret,
            policies: vec![name.clone(), PolicyName::root()],
            ttl_ms: Some(5_000),
            description: "hidden".to_owned(),
        },
        AccessOp::DeleteToken { accessor, force },
        AccessOp::PutPolicy { name: name.clone(), policy, force },
        AccessOp::DeletePolicy { name, force },
    ];
    let fenced = Op::Fenced(Box::new(Fenced { fence, op: delete })).attributed(Some(accessor));
    let by = Some(Accessor::CLUSTER);
    let subject = Subject { issuer: "https://issuer".to_owned(), subject: "ci".to_owned() };
    let vouched = subject.accessor().to_string();
    let issued = Op::DeletePrefix { prefix: "p".to_owned() };
    let issued = issued.done_by(Some(Author::Issued(subject.clone(), vec![])));
    let certified = Op::DeletePrefix { prefix: "q".to_owned() };
    let certified = certified.done_by(Some(Author::Certified(subject)));
    let others = [fenced, issued, certified];
    let ops = ops.into_iter().map(|op| Op::Access(op).attributed(by)).chain(others);
    let request = RequestIdentity::Drawn([1; 16]);
    let commands = ops.map(|op| Command { op, trace: None, request }).collect();
    let answers = AnswerRetention::default();
    let commands =
        Commands { time_ms: 5, wall_ms: 7, trace: None, answers, commands, executed: None };
    let format = commands.format();
    let (epoch, number, commands) = (Epoch(2), BatchNumber(3), commands.encode());
    let value = Value::Batch(Batch { epoch, number, commands }).encode_in(format);
    let shown = |mut op: serde_json::Value, by: &str| {
        op["trace_id"] = json!(null);
        op["request"] = json!("01".repeat(16));
        op["by"] = json!(by);
        op
    };
    let (made, own) = (secret.accessor().to_string(), "0".repeat(16));
    let policies = ["readers", "root"];
    let expected = json!([
        shown(json!({"op": "bootstrap", "accessor": made}), &own),
        shown(
            json!({"op": "create_token", "accessor": made, "policies": policies, "ttl_ms": 5_000}),
            &own
        ),
        shown(json!({"op": "delete_token", "accessor": "00000000000000ab"}), &own),
        shown(json!({"op": "put_policy", "name": "readers"}), &own),
        shown(json!({"op": "delete_policy", "name": "readers"}), &own),
        shown(
            json!({"op": "delete", "key": "k", "fence": {"name": "l", "revision": 7}}),
            "00000000000000ab"
        ),
        shown(
            json!({"op": "delete_prefix", "prefix": "p",
                "subject": {"issuer": "https://issuer", "subject": "ci"}}),
            &vouched
        ),
        shown(
            json!({"op": "delete_prefix", "prefix": "q",
                "subject": {"issuer": "https://issuer", "subject": "ci"}}),
            &vouched
        ),
    ]);
    assert_eq!(described(&value)["commands"], expected);
}
