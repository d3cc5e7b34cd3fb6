//! What executing does to tokens and policies, and who may have what executed.

use shared::ids::{Accessor, Revision};

use crate::machine::access::authorize::{Denied, LeaseOwner, of_op};
use crate::machine::access::outcome::{AccessDone, AccessRefused, LockOut};
use crate::machine::access::policy::{Policy, PolicyName};
use crate::machine::access::{Access, AccessOp, AccessPart, Force, Token};
use crate::machine::command::{Op, limits};
use crate::machine::outcome::CommandOutcome;
use crate::machine::state::ReplicatedState;

/// Looks whether an operation may be done, in the state as it is.
///
/// # Errors
/// Why it may not.
pub(super) fn authorize(state: &ReplicatedState, op: &Op) -> Result<(), Denied> {
    let access = state.access();
    if op.subject().is_some() && matches!(op.unattributed(), Op::Access(AccessOp::Bootstrap { .. }))
    {
        // Nobody vouches for anybody in a cluster that has not said what that may give.
        return Err(Denied::NoToken);
    }
    if !access.is_required() || matches!(op, Op::Access(AccessOp::Bootstrap { .. })) {
        return Ok(());
    }
    if let Op::Certified { .. } = op {
        // It came to a replica that had not heard yet that tokens are required.
        return Err(Denied::NoToken);
    }
    let by = op.by().ok_or(Denied::NoToken)?;
    let (whole, op) = (op, op.unattributed());
    if by == Accessor::CLUSTER {
        // No request can name it: what replicas do by themselves is no more than this.
        return if matches!(op, Op::Compact { .. }) { Ok(()) } else { Err(Denied::NoToken) };
    }
    let owner_of = |lease| match state.leases().get(lease) {
        None => LeaseOwner::Gone,
        Some(lease) => lease.owner.map_or(LeaseOwner::Nobody, LeaseOwner::Token),
    };
    if let Op::Issued { policies, .. } = whole {
        return of_op(&access.granted_to(policies), &by, op, &owner_of);
    }
    let granted = access.granted(&by).ok_or(Denied::UnknownToken)?;
    of_op(granted, &by, op, &owner_of)
}

/// Does something to tokens and policies.
pub(super) fn execute_access(
    state: &mut ReplicatedState,
    revision: Revision,
    by: Option<Accessor>,
    op: AccessOp,
) -> CommandOutcome {
    let before = state.meta().revision;
    let time_ms = state.meta().time_ms;
    let part = &mut state.whole.access;
    let is_required = part.now().is_required();
    let done = match op {
        AccessOp::Bootstrap { .. } if is_required => Err(AccessRefused::AlreadyBootstrapped),
        AccessOp::Bootstrap { secret } => {
            part.require(revision);
            let token = Token {
                secret,
                policies: vec![PolicyName::root()],
                description: String::new(),
                expires_ms: None,
                created_revision: revision,
                created_by: None,
            };
            let accessor = token.accessor();
            part.put_token(token);
            Ok(AccessDone::Bootstrapped { accessor })
        }
        AccessOp::CreateToken { .. }
        | AccessOp::DeleteToken { .. }
        | AccessOp::PutPolicy { .. }
        | AccessOp::DeletePolicy { .. }
            if !is_required =>
        {
            Err(AccessRefused::NotBootstrapped)
        }
        AccessOp::CreateToken { secret, policies, ttl_ms, description } => {
            let ends = |ttl_ms| time_ms.saturating_add(ttl_ms).min(limits::TIME_MS);
            let (expires_ms, created_revision) = (ttl_ms.map(ends), revision);
            let created_by = by;
            create_token(
                part,
                Token { secret, policies, description, expires_ms, created_revision, created_by },
            )
        }
        AccessOp::DeleteToken { accessor, force } => delete_token(part, by, accessor, force),
        AccessOp::PutPolicy { name, policy, force } => put_policy(part, by, (name, policy), force),
        AccessOp::DeletePolicy { name, force } => delete_policy(part, by, name, force),
    };
    state.note_access();
    match done {
        Ok(done) => CommandOutcome::Access { revision, done },
        Err(why) => CommandOutcome::AccessRefused { revision: before, why },
    }
}

fn create_token(part: &mut AccessPart, token: Token) -> Result<AccessDone, AccessRefused> {
    let (accessor, expires_ms) = (token.accessor(), token.expires_ms);
    let access = part.now();
    if access.get(accessor).is_some() {
        return Err(AccessRefused::TokenExists { accessor });
    }
    if access.meta().tokens >= limits::TOKENS as u64 {
        return Err(AccessRefused::TooManyTokens);
    }
    if access.bytes_with_token(&token) > limits::ACCESS_BYTES {
        return Err(AccessRefused::TooLarge);
    }
    part.put_token(token);
    Ok(AccessDone::TokenCreated { accessor, expires_ms })
}

fn delete_token(
    part: &mut AccessPart,
    by: Option<Accessor>,
    accessor: Accessor,
    force: Force,
) -> Result<AccessDone, AccessRefused> {
    if part.now().get(accessor).is_none() {
        return Err(AccessRefused::NoSuchToken { accessor });
    }
    unless_locked_out(part, by, force, |part| part.end_token(accessor))?;
    Ok(AccessDone::TokenDeleted)
}

fn put_policy(
    part: &mut AccessPart,
    by: Option<Accessor>,
    (name, policy): (PolicyName, Policy),
    force: Force,
) -> Result<AccessDone, AccessRefused> {
    let access = part.now();
    let exists = access.policy(&name).is_some();
    if !exists && access.meta().policies >= limits::POLICIES as u64 {
        return Err(AccessRefused::TooManyPolicies);
    }
    if access.bytes_with_policy(&name, &policy) > limits::ACCESS_BYTES {
        return Err(AccessRefused::TooLarge);
    }
    unless_locked_out(part, by, force, |part| part.put_policy(name, policy))?;
    Ok(if exists { AccessDone::PolicyReplaced } else { AccessDone::PolicyCreated })
}

fn delete_policy(
    part: &mut AccessPart,
    by: Option<Accessor>,
    name: PolicyName,
    force: Force,
) -> Result<AccessDone, AccessRefused> {
    if part.now().policy(&name).is_none() {
        return Err(AccessRefused::NoSuchPolicy { name });
    }
    unless_locked_out(part, by, force, |part| part.remove_policy(&name))?;
    Ok(AccessDone::PolicyDeleted)
}

/// Makes a change, unless it takes from everybody, or from its author, what it takes to make
/// another one.
fn unless_locked_out(
    part: &mut AccessPart,
    by: Option<Accessor>,
    force: Force,
    change: impl FnOnce(&mut AccessPart),
) -> Result<(), AccessRefused> {
    if force == Force::Forced {
        change(part);
        return Ok(());
    }
    let mut changed = part.tried();
    change(&mut changed);
    let (before, after) = (part.now(), changed.now());
    let operates = |access: &Access| by.is_some_and(|by| access.operates(&by));
    if operates(before) && !operates(after) {
        return Err(AccessRefused::LockOut(LockOut::Author));
    }
    if before.has_operator() && !after.has_operator() {
        return Err(AccessRefused::LockOut(LockOut::Everybody));
    }
    part.adopt(changed);
    Ok(())
}

/// Ends tokens whose time is over: so many as one batch ends at most. None of that is a
/// mutation: it takes no revision.
pub(in crate::machine) fn expire_tokens(state: &mut ReplicatedState) {
    let time_ms = state.meta().time_ms;
    state.whole.access.expire(time_ms, limits::TOKENS_ENDED);
    state.note_access();
}
