//! Tokens, policies and the owners of leases, on disk.

use super::*;
use crate::machine::access::authorize::Denied;
use crate::machine::access::policy::{Policy, PolicyName, Right, Rights, Rule};
use crate::machine::access::{
    Access, AccessMeta, AccessOp, Accessor, Force, Requirement, SecretHash,
};
use crate::machine::execute::{CommandOutcome, SlotOutcome};
use crate::machine::leases::LeaseOp;
use crate::machine::locks::{Fence, Fenced, LockOp, Otherwise};
use crate::snapshot::make;
use shared::ids::LeaseId;

fn accessor(secret: &str) -> Accessor {
    SecretHash::of(secret.as_bytes()).accessor()
}

fn by(secret: &str, op: Op) -> Op {
    op.attributed(Some(accessor(secret)))
}

fn policy_name(text: &str) -> PolicyName {
    text.parse().unwrap()
}

fn create(secret: &str, policies: &[&str], ttl_ms: Option<u64>) -> Op {
    let secret = SecretHash::of(secret.as_bytes());
    let policies = policies.iter().map(|name| policy_name(name)).collect();
    let description = format!("with ttl {ttl_ms:?}");
    Op::Access(AccessOp::CreateToken { secret, policies, ttl_ms, description })
}

fn writes(name: &str, prefix: &str) -> Op {
    let rights = Rights::of(&[Right::Write]);
    let rules = vec![Rule { prefix: prefix.to_owned(), rights }];
    let policy = Policy { rules, ..Policy::default() };
    Op::Access(AccessOp::PutPolicy { name: policy_name(name), policy, force: Force::Unforced })
}

/// Three tokens, of which one ends, two policies, and a lease of the token `app`.
pub(super) fn ops() -> Vec<Op> {
    let root = SecretHash::of(b"root");
    let grant = Op::Lease(LeaseOp::Grant { ttl_ms: 600_000 });
    vec![
        Op::Access(AccessOp::Bootstrap { secret: root }),
        by("root", writes("app", "app/")),
        by("root", writes("other", "")),
        by("root", create("app", &["app", "missing"], None)),
        by("root", create("short", &[], Some(60_000))),
        by("app", grant),
    ]
}

async fn with_access() -> (TempDir, Store) {
    let (dir, mut store) = open_new().await;
    execute_and_store(&mut store.writer, vec![view(0, 1), batch(1, 0, ops())]).await.unwrap();
    (dir, store)
}

/// All that there is of it, to compare.
fn said(access: &Access) -> String {
    let tokens: Vec<_> = access.tokens().collect();
    let policies: Vec<_> = access.policies().collect();
    let granted: Vec<_> = access.tokens().map(|(token, _)| access.granted(&token)).collect();
    format!("{:?} {tokens:?} {policies:?} {granted:?}", access.requirement())
}

async fn outcomes(store: &mut Store, slot: u64, number: u64, ops: Vec<Op>) -> Vec<CommandOutcome> {
    let report = execute_and_store(&mut store.writer, vec![batch(slot, number, ops)]).await;
    match report.unwrap().slots.remove(0).outcome {
        SlotOutcome::Batch { commands, .. } => commands.into_iter().map(|it| it.outcome).collect(),
        other @ (SlotOutcome::Noop | SlotOutcome::View(_) | SlotOutcome::Void(_)) => {
            panic!("{other:?}")
        }
    }
}

#[tokio::test]
async fn tokens_and_policies_are_there_after_a_restart_and_who_may_do_what_is_the_same() {
    let (dir, store) = with_access().await;
    let before = said(store.writer.access().unwrap());
    let next_expiry_ms = store.writer.next_expiry_ms();
    store.writer.close().await.unwrap();
    let mut store = open_in(dir.path()).await;
    assert_eq!(said(store.writer.access().unwrap()), before);
    assert_eq!((store.writer.next_expiry_ms(), next_expiry_ms), (Some(61_001), Some(61_001)));
    let requirement = Requirement::Tokens { since: Revision(1) };
    let meta = AccessMeta { requirement, tokens: 3, policies: 2 };
    assert_eq!(store.writer.meta().access, meta);
    let lease = LeaseId(6);
    let delete = |secret: &str| {
        Op::Access(AccessOp::DeleteToken { accessor: accessor(secret), force: Force::Unforced })
    };
    let forbid = AccessOp::DeletePolicy { name: policy_name("other"), force: Force::Unforced };
    let ops = vec![
        put("app/1", b"v"),
        by("app", put("app/1", b"v")),
        by("app", Op::Lease(LeaseOp::Renew { lease })),
        by("short", Op::Lease(LeaseOp::Revoke { lease })),
        by("root", delete("app")),
        by("root", Op::Access(forbid)),
        by("app", put("app/2", b"v")),
    ];
    let outcomes = outcomes(&mut store, 2, 1, ops).await;
    let denied = |outcome: &CommandOutcome| {
        if let CommandOutcome::Denied { why, .. } = outcome { Some(why.clone()) } else { None }
    };
    let denied: Vec<_> = outcomes.iter().map(denied).collect();
    let not_its = Some(Denied::Lease { lease });
    let (no_token, unknown) = (Some(Denied::NoToken), Some(Denied::UnknownToken));
    assert_eq!(denied, [no_token, None, None, not_its, None, None, unknown]);
    let before = said(store.writer.access().unwrap());
    store.writer.close().await.unwrap();
    let store = open_in(dir.path()).await;
    assert_eq!(said(store.writer.access().unwrap()), before);
    assert_eq!(store.writer.meta().access, AccessMeta { tokens: 2, policies: 1, ..meta });
}

#[tokio::test]
async fn what_is_executed_again_after_an_error_comes_to_the_same() {
    let (_dir, mut store) = open_new().await;
    store.writer.execute(vec![view(0, 1), batch(1, 0, ops())]).await.unwrap();
    let published = store.writer.access().unwrap().clone();
    store.writer.store().await.unwrap();
    let now = store.writer.access().unwrap();
    assert_eq!(said(now), said(&published));
    let kept = published.clone();
    outcomes(&mut store, 2, 1, vec![by("root", writes("third", "x"))]).await;
    assert_eq!(said(&kept), said(&published), "whoever has it keeps it as it was");
    assert_eq!(store.writer.access().unwrap().meta().policies, 3);
}

#[tokio::test]
async fn a_row_of_tokens_or_policies_that_is_not_what_was_written_is_refused_by_name() {
    let token = format!("token {} does not match its checksum", accessor("app"));
    let of_app = format!("accessor = {}", accessor("app").0.cast_signed());
    let changed = |change: &str| format!("UPDATE tokens SET {change} WHERE {of_app}");
    let lease = "lease 6 does not match its checksum";
    let meta = "meta does not match its checksum";
    let policy = "policy \"app\" does not match its checksum";
    for (sql, word) in [
        (changed("secret = zeroblob(32)"), &*token),
        (changed("secret = x'00'"), &token),
        (changed("policies = '[\"root\"]'"), &token),
        (changed("policies = '{'"), &token),
        (changed("description = 'another'"), &token),
        (changed("expires_ms = 5"), &token),
        (changed("created_revision = 5"), &token),
        (changed("created_by = NULL"), &token),
        (changed("accessor = 5"), "token 0000000000000005 does not match its checksum"),
        (format!("DELETE FROM tokens WHERE {of_app}"), "there are 2 tokens and 2 policies"),
        ("UPDATE policies SET policy = '{}' WHERE name = 'app'".to_owned(), policy),
        ("UPDATE policies SET name = 'a' WHERE name = 'app'".to_owned(), "policy \"a\" does not"),
        ("DELETE FROM policies WHERE name = 'app'".to_owned(), "there are 3 tokens and 1 policies"),
        ("UPDATE leases SET owner = 5".to_owned(), lease),
        ("UPDATE leases SET owner = NULL".to_owned(), lease),
        ("UPDATE meta SET tokens_since = 5".to_owned(), meta),
        ("UPDATE meta SET tokens_since = NULL".to_owned(), meta),
        ("UPDATE meta SET tokens = 5".to_owned(), meta),
        ("UPDATE meta SET policies = 5".to_owned(), meta),
    ] {
        let (dir, store) = with_access().await;
        store.writer.close().await.unwrap();
        damage::alter(dir.path(), &sql).await;
        let error = open(dir.path(), &name(), 1).await.unwrap_err().to_string();
        assert!(error.contains(word), "{sql}: {error}");
        let audit = audit(dir.path()).await.unwrap().unwrap();
        assert!(audit.faults.iter().any(|fault| fault.contains(word)), "{sql}: {audit:?}");
    }
}

#[tokio::test]
async fn a_restored_cluster_and_one_that_takes_a_state_over_keep_tokens_and_policies() {
    let (dir, store) = with_access().await;
    let before = said(store.writer.access().unwrap());
    let file = dir.path().join("one.snapshot");
    make(&dir.path().join(FILE), &name(), &file).unwrap();
    store.writer.close().await.unwrap();
    let restored = dir.path().join("restored");
    std::fs::create_dir(&restored).unwrap();
    let meta = restore(&file, &restored, &name()).await.unwrap();
    assert_eq!(meta.access.tokens, 3);
    let mut store = open_in(&restored).await;
    assert_eq!(said(store.writer.access().unwrap()), before);
    let asked = vec![put("app/1", b"v"), by("app", put("app/1", b"v"))];
    let outcomes = outcomes(&mut store, 2, 1, asked).await;
    assert!(matches!(outcomes[0], CommandOutcome::Denied { why: Denied::NoToken, .. }));
    assert!(matches!(outcomes[1], CommandOutcome::Created { .. }));
    store.writer.close().await.unwrap();
    assert_eq!(execute_again(&restored).await.unwrap(), Some(Vec::new()));
}

/// The longest log value is stored once, in `versions`; what an operation of a token says
/// before it does not move it.
#[tokio::test]
async fn a_value_that_a_token_put_is_left_out_of_the_log_and_read_back() {
    let (dir, mut store) = with_access().await;
    let (name, lease, otherwise) = ("l".to_owned(), LeaseId(6), Otherwise::Leave);
    let fence = Fence { name: name.clone(), revision: Revision(7) };
    let acquire = Op::Lock(LockOp::Acquire { name, lease, otherwise });
    outcomes(&mut store, 2, 1, vec![by("root", acquire)]).await;
    let fenced = Fenced { fence, op: put("app/3", &[b'z'; 300]) };
    let ops = vec![
        by("app", put("app/1", &[b'x'; 300])),
        by("app", put("no/2", &[b'y'; 300])),
        by("root", Op::Fenced(Box::new(fenced))),
        by("root", put("app/4", &[b'w'; 300])),
    ];
    let entry = batch(3, 2, ops);
    execute_and_store(&mut store.writer, vec![entry.clone()]).await.unwrap();
    let query = LogQuery { from: Slot(3), page: PageLimits { items: 1, bytes: 1 << 20 } };
    assert_eq!(store.reader.log(query).await.unwrap().rows[0].value, entry.value);
    let mut connection = connect(&dir.path().join(FILE)).await.unwrap();
    let kept: i64 = sqlx::query_scalar("SELECT length(value) FROM log WHERE slot = 3")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept.cast_unsigned(), entry.value.len() as u64 - 3 * 300, "three were stored");
}
