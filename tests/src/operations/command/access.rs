//! Between what is asked of tokens and policies and the replicated log.

use std::collections::BTreeMap;

use replica::machine::access::authorize::Denied;
use replica::machine::access::outcome::{AccessDone, AccessRefused};
use replica::machine::access::policy::{ClusterRight, Policy, PolicyName, Right, Rights, Rule};
use replica::machine::access::{AccessOp, Accessor, Force, SecretHash};
use replica::machine::command::{Condition, Op};
use replica::machine::outcome::CommandOutcome;
use replica::machine::state::ReplicatedState;
use shared::ids::Revision;

use crate::operations::access::ROOT;
use crate::operations::{AccessAnswer, AccessCall, AccessDeed, Executed, Key, Permissions, Value};

/// Which tokens and policies there may be.
const NUMBERS: std::ops::Range<u64> = 0..16;

fn secret(token: u64) -> SecretHash {
    SecretHash::of(format!("synod_{token}").as_bytes())
}

/// What a token is called.
pub(super) fn accessor(token: u64) -> Accessor {
    secret(token).accessor()
}

fn token_of(accessor: Accessor) -> Option<u64> {
    NUMBERS.into_iter().find(|token| self::accessor(*token) == accessor)
}

fn name(policy: u64) -> PolicyName {
    format!("p{policy}").parse().expect("a letter and digits are a name")
}

fn number_of(name: &PolicyName) -> u64 {
    let number = name.as_str().strip_prefix('p').and_then(|number| number.parse().ok());
    number.expect("the clients of tests name no other policies")
}

fn policy(prefix: &str) -> Policy {
    let rights = Rights::of(&[Right::Write]);
    Policy { rules: vec![Rule { prefix: prefix.to_owned(), rights }], ..Policy::default() }
}

/// As it stands in the log.
pub(super) fn op(call: &AccessCall) -> Op {
    let op = match &call.deed {
        AccessDeed::Bootstrap => {
            return Op::Access(AccessOp::Bootstrap { secret: secret(ROOT) });
        }
        AccessDeed::Create { token, policy } => Op::Access(AccessOp::CreateToken {
            secret: secret(*token),
            policies: vec![name(*policy)],
            ttl_ms: None,
            description: String::new(),
        }),
        AccessDeed::End { token } => {
            Op::Access(AccessOp::DeleteToken { accessor: accessor(*token), force: Force::Unforced })
        }
        AccessDeed::Allow { policy: of, prefix } => Op::Access(AccessOp::PutPolicy {
            name: name(*of),
            policy: policy(prefix),
            force: Force::Unforced,
        }),
        AccessDeed::Forbid { policy } => {
            Op::Access(AccessOp::DeletePolicy { name: name(*policy), force: Force::Unforced })
        }
        AccessDeed::Put { key, value } => Op::Put {
            key: key.to_string(),
            value: value.encode(),
            content_type: None,
            condition: Condition::Always,
        },
    };
    op.attributed(Some(accessor(call.by)))
}

/// What it asks for; none: it is what the first token, or the cluster itself, does by a call of
/// another kind.
///
/// # Panics
/// When no client of the tests asks for it.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others have to do with neither")]
pub(super) fn call(op: &Op) -> Option<AccessCall> {
    let by = op.by().filter(|by| *by != Accessor::CLUSTER);
    let by = by.map_or(ROOT, |by| token_of(by).expect("the clients of tests have no other"));
    let deed = match op.unattributed() {
        Op::Access(AccessOp::Bootstrap { .. }) => AccessDeed::Bootstrap,
        Op::Access(AccessOp::CreateToken { secret, policies, .. }) => AccessDeed::Create {
            token: token_of(secret.accessor()).expect("a token of the tests"),
            policy: number_of(&policies[0]),
        },
        Op::Access(AccessOp::DeleteToken { accessor, .. }) => {
            AccessDeed::End { token: token_of(*accessor).expect("a token of the tests") }
        }
        Op::Access(AccessOp::PutPolicy { name, policy, .. }) => AccessDeed::Allow {
            policy: number_of(name),
            prefix: Key::from(policy.rules[0].prefix.as_str()),
        },
        Op::Access(AccessOp::DeletePolicy { name, .. }) => {
            AccessDeed::Forbid { policy: number_of(name) }
        }
        Op::Put { key, value, .. } if by != ROOT => {
            AccessDeed::Put { key: Key::from(key.as_str()), value: Value::decode(value) }
        }
        _ => return None,
    };
    Some(AccessCall { by, deed })
}

/// What its client hears.
///
/// # Panics
/// When it is another outcome.
#[expect(clippy::wildcard_enum_match_arm, reason = "the others have to do with neither")]
pub(super) fn answer(outcome: &CommandOutcome) -> AccessAnswer {
    match outcome {
        CommandOutcome::Created { .. } | CommandOutcome::Replaced { .. } => AccessAnswer::Put,
        CommandOutcome::Access { done: AccessDone::PolicyReplaced, .. } => AccessAnswer::Replaced,
        CommandOutcome::Access { .. } => AccessAnswer::Done,
        CommandOutcome::AccessRefused { why, .. } => match why {
            AccessRefused::AlreadyBootstrapped => AccessAnswer::AlreadyBootstrapped,
            AccessRefused::NotBootstrapped => AccessAnswer::NotBootstrapped,
            AccessRefused::NoSuchToken { .. } => AccessAnswer::NoSuchToken,
            AccessRefused::TokenExists { .. } => AccessAnswer::TokenExists,
            AccessRefused::NoSuchPolicy { .. } => AccessAnswer::NoSuchPolicy,
            other => unreachable!("the first token stays, and there are few: {other}"),
        },
        CommandOutcome::Denied { why: Denied::UnknownToken, .. } => AccessAnswer::Unknown,
        CommandOutcome::Denied { .. } => AccessAnswer::Lacking,
        other => unreachable!("{other:?} is said of neither tokens nor policies"),
    }
}

/// What the outcome must be of what the reference has executed.
pub(super) fn outcome(
    call: &AccessCall,
    answer: AccessAnswer,
    executed: &Executed,
) -> CommandOutcome {
    let revision = Revision(executed.revision);
    let refused = |why| CommandOutcome::AccessRefused { revision, why };
    let denied = |why| CommandOutcome::Denied { revision, why };
    let (token, of) = match &call.deed {
        AccessDeed::Create { token, policy } => (*token, *policy),
        AccessDeed::End { token } => (*token, 0),
        AccessDeed::Allow { policy, .. } | AccessDeed::Forbid { policy } => (ROOT, *policy),
        AccessDeed::Bootstrap | AccessDeed::Put { .. } => (ROOT, 0),
    };
    let (accessor, name) = (accessor(token), name(of));
    match answer {
        AccessAnswer::Put => super::written(executed),
        AccessAnswer::Done => CommandOutcome::Access { revision, done: done(&call.deed, accessor) },
        AccessAnswer::Replaced => {
            CommandOutcome::Access { revision, done: AccessDone::PolicyReplaced }
        }
        AccessAnswer::AlreadyBootstrapped => refused(AccessRefused::AlreadyBootstrapped),
        AccessAnswer::NotBootstrapped => refused(AccessRefused::NotBootstrapped),
        AccessAnswer::TokenExists => refused(AccessRefused::TokenExists { accessor }),
        AccessAnswer::NoSuchToken => refused(AccessRefused::NoSuchToken { accessor }),
        AccessAnswer::NoSuchPolicy => refused(AccessRefused::NoSuchPolicy { name }),
        AccessAnswer::Unknown => denied(Denied::UnknownToken),
        AccessAnswer::Lacking => denied(match &call.deed {
            AccessDeed::Put { key, .. } => {
                Denied::Key { right: Right::Write, key: key.to_string() }
            }
            AccessDeed::Bootstrap
            | AccessDeed::Create { .. }
            | AccessDeed::End { .. }
            | AccessDeed::Allow { .. }
            | AccessDeed::Forbid { .. } => Denied::Cluster { right: ClusterRight::Operate },
        }),
    }
}

fn done(deed: &AccessDeed, accessor: Accessor) -> AccessDone {
    match deed {
        AccessDeed::Bootstrap => AccessDone::Bootstrapped { accessor },
        AccessDeed::Create { .. } => AccessDone::TokenCreated { accessor, expires_ms: None },
        AccessDeed::End { .. } => AccessDone::TokenDeleted,
        AccessDeed::Allow { .. } => AccessDone::PolicyCreated,
        AccessDeed::Forbid { .. } => AccessDone::PolicyDeleted,
        AccessDeed::Put { .. } => unreachable!("a key is written"),
    }
}

/// Whether a replica's tokens and policies are those of the reference.
pub(super) fn is_of(state: &ReplicatedState, permissions: &Permissions) -> bool {
    let access = state.access();
    let tokens = permissions.tokens.as_ref().map(|tokens| {
        let token = |(token, policy): (&u64, &u64)| (accessor(*token), vec![name(*policy)]);
        let root = (accessor(ROOT), vec![PolicyName::root()]);
        tokens.iter().map(token).chain([root]).collect::<BTreeMap<_, _>>()
    });
    let has = access.tokens().map(|(accessor, token)| (accessor, token.policies.clone()));
    let has: BTreeMap<_, _> = has.collect();
    let policies = access.policies().map(|(name, policy)| (name.clone(), policy.clone()));
    let said = permissions.policies.iter().map(|(of, prefix)| (name(*of), policy(prefix)));
    access.is_required() == tokens.is_some()
        && has == tokens.unwrap_or_default()
        && policies.eq(said.collect::<BTreeMap<_, _>>())
        && state.meta().access == access.meta()
}
