//! A chosen value as people see it: the part of `GET /v1/log` that the value alone tells.

mod txn;
mod value;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use shared::ids::{Accessor, BatchNumber, Epoch, Instance, LeaseId, LogFormat, Name, Revision};
use shared::message::{Removal, View};

use crate::machine::access::AccessOp;
use crate::machine::access::policy::PolicyName;
use crate::machine::access::subject::Subject;
use crate::machine::command::{Command, Condition, Op, TraceContext};
use crate::machine::execute::Decoded;
use crate::machine::leases::LeaseOp;
use crate::machine::locks::{Fence, LockOp, Otherwise};
pub use txn::TxnDescription;
pub use value::{Encoding, ValueDescription};

/// What kind of value a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ValueKind {
    /// Nothing.
    Noop,
    /// Who is primary.
    View,
    /// What clients asked for.
    Batch,
    /// Bytes that execute as void.
    Unreadable,
}

/// What a slot holds, for JSON. Flattened into the entry of `GET /v1/log`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Description {
    /// What kind of value it is.
    pub kind: ValueKind,
    /// The epoch of a view or a batch.
    pub epoch: Option<Epoch>,
    /// The number of a batch in its epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<BatchNumber>,
    /// Who is primary from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<ViewDescription>,
    /// Who is out for good from here on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Name>,
    /// The primary's wall clock when it made the batch, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms: Option<u64>,
    /// Replicated time by which the batch was made, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_ms: Option<u64>,
    /// What clients asked for; none but in a batch.
    pub commands: Vec<CommandDescription>,
    /// The trace of a batch, if it is traced.
    pub trace_id: Option<String>,
    /// Why the commands of a batch cannot be executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A view, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogView")]
pub struct ViewDescription {
    /// The primary …
    pub primary: Name,
    /// … in this life of its process.
    pub primary_instance: Instance,
    /// The other replicas.
    pub backups: Vec<Name>,
    /// The format of the log from here on.
    pub format: LogFormat,
}

/// A command, for JSON: not the value of a key, but how large that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogCommand")]
pub struct CommandDescription {
    /// What is done, and to what.
    #[serde(flatten)]
    pub op: OpDescription,
    /// The lock that must be held for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceDescription>,
    /// The trace of the request, if it is traced.
    pub trace_id: Option<String>,
    /// The identity of the request, in hexadecimal.
    pub request: String,
    /// The token that had it done, where one did; only zeros: the cluster did it by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Accessor>,
    /// Who had it done by the word of an issuer, where somebody did: that has an accessor too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
}

/// What a command does, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "LogOperation")]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum OpDescription {
    /// A value was put.
    Put {
        /// Under this key.
        key: String,
        /// The length of the value in bytes.
        value_bytes: usize,
        /// What it is said to be.
        content_type: Option<String>,
        /// The guard, as HTTP has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        condition: Option<String>,
        /// The lease that it goes with.
        #[serde(skip_serializing_if = "Option::is_none")]
        lease: Option<LeaseId>,
    },
    /// A key was deleted.
    Delete {
        /// The key.
        key: String,
        /// The guard, as HTTP has it.
        #[serde(skip_serializing_if = "Option::is_none")]
        condition: Option<String>,
    },
    /// Keys were deleted.
    DeletePrefix {
        /// How they start.
        prefix: String,
    },
    /// Several things were done, depending on guards.
    Txn(TxnDescription),
    /// A value was appended to the log, which alone has it.
    Append {
        /// The value.
        #[serde(flatten)]
        value: ValueDescription<Bytes>,
        /// What it is said to be.
        content_type: Option<String>,
    },
    /// Keys were made what they were at a revision.
    Rollback {
        /// How they start.
        prefix: String,
        /// The revision.
        revision: Revision,
    },
    /// A lease was granted.
    GrantLease {
        /// For how long, in milliseconds.
        ttl_ms: u64,
    },
    /// A lease was renewed.
    RenewLease {
        /// Which.
        lease: LeaseId,
    },
    /// A lease was ended.
    RevokeLease {
        /// Which.
        lease: LeaseId,
    },
    /// A lock was asked for.
    AcquireLock {
        /// Which.
        name: String,
        /// For whom.
        lease: LeaseId,
        /// Whether it waits where another holds it.
        wait: bool,
    },
    /// A lock was given up.
    ReleaseLock {
        /// Which.
        name: String,
        /// Who had it.
        lease: LeaseId,
    },
    /// A place in the line for a lock was given up.
    LeaveLock {
        /// Which lock.
        name: String,
        /// Whose place.
        lease: LeaseId,
        /// Since which revision it was in line.
        since: Revision,
    },
    /// History was dropped.
    Compact {
        /// Before this revision.
        revision: Revision,
    },
    /// The first token was made.
    Bootstrap {
        /// What it is called.
        accessor: Accessor,
    },
    /// A token was made.
    CreateToken {
        /// What it is called.
        accessor: Accessor,
        /// What it may do.
        policies: Vec<PolicyName>,
        /// For how long, in milliseconds, where it ends.
        #[serde(skip_serializing_if = "Option::is_none")]
        ttl_ms: Option<u64>,
    },
    /// A token was ended.
    DeleteToken {
        /// What it is called.
        accessor: Accessor,
    },
    /// A policy was put.
    PutPolicy {
        /// Its name.
        name: PolicyName,
    },
    /// A policy was deleted.
    DeletePolicy {
        /// Its name.
        name: PolicyName,
    },
}

/// A fence, for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Fence")]
pub struct FenceDescription {
    /// The lock.
    pub name: String,
    /// The revision since which it is held.
    pub revision: Revision,
}

fn describe_view(view: View, removed: Option<Name>, nothing: Description) -> Description {
    let epoch = Some(view.epoch);
    let view = Some(ViewDescription {
        primary: view.primary,
        primary_instance: view.primary_instance,
        backups: view.backups,
        format: view.format,
    });
    Description { kind: ValueKind::View, epoch, view, removed, ..nothing }
}

/// Describes a value.
#[must_use]
pub fn describe(value: &[u8]) -> Description {
    let nothing = Description {
        kind: ValueKind::Noop,
        epoch: None,
        number: None,
        view: None,
        removed: None,
        wall_ms: None,
        time_ms: None,
        commands: Vec::new(),
        trace_id: None,
        error: None,
    };
    match Decoded::new(value) {
        Decoded::Noop => nothing,
        Decoded::View(view) => describe_view(view, None, nothing),
        Decoded::Removal(Removal { view, replica }) => describe_view(view, Some(replica), nothing),
        Decoded::Batch { epoch, number, commands } => {
            let batch = Description {
                kind: ValueKind::Batch,
                epoch: Some(epoch),
                number: Some(number),
                ..nothing
            };
            match commands {
                Ok(commands) => Description {
                    // What carries nothing but time was asked for by nobody.
                    wall_ms: (!commands.commands.is_empty()).then_some(commands.wall_ms),
                    time_ms: Some(commands.time_ms),
                    trace_id: trace_id(commands.trace),
                    commands: commands.commands.into_iter().map(describe_command).collect(),
                    ..batch
                },
                Err(error) => Description { error: Some(error.to_string()), ..batch },
            }
        }
        Decoded::Undecodable => Description { kind: ValueKind::Unreadable, ..nothing },
    }
}

fn describe_command(command: Command) -> CommandDescription {
    let (by, subject) = (command.op.by(), command.op.subject().cloned());
    let fence = if let Op::Fenced(fenced) = command.op.unattributed() {
        let Fence { name, revision } = fenced.fence.clone();
        Some(FenceDescription { name, revision })
    } else {
        None
    };
    CommandDescription {
        op: describe_op(command.op),
        fence,
        trace_id: trace_id(command.trace),
        request: command.request.to_string(),
        by,
        subject,
    }
}

fn describe_op(op: Op) -> OpDescription {
    let put = |key, value: Bytes, content_type, condition, lease| OpDescription::Put {
        key,
        value_bytes: value.len(),
        content_type,
        condition: describe_condition(condition),
        lease,
    };
    match op {
        Op::Put { key, value, content_type, condition } => {
            put(key, value, content_type, condition, None)
        }
        Op::LeasedPut { lease, key, value, content_type, condition } => {
            put(key, value, content_type, condition, Some(lease))
        }
        Op::Delete { key, condition } => {
            OpDescription::Delete { key, condition: describe_condition(condition) }
        }
        Op::DeletePrefix { prefix } => OpDescription::DeletePrefix { prefix },
        Op::Txn(txn) => OpDescription::Txn((*txn).into()),
        Op::Append { value, content_type } => {
            OpDescription::Append { value: ValueDescription::of(value), content_type }
        }
        Op::Rollback { prefix, revision } => OpDescription::Rollback { prefix, revision },
        Op::Lease(LeaseOp::Grant { ttl_ms }) => OpDescription::GrantLease { ttl_ms },
        Op::Lease(LeaseOp::Renew { lease }) => OpDescription::RenewLease { lease },
        Op::Lease(LeaseOp::Revoke { lease }) => OpDescription::RevokeLease { lease },
        Op::Lock(LockOp::Acquire { name, lease, otherwise }) => {
            OpDescription::AcquireLock { name, lease, wait: otherwise == Otherwise::Wait }
        }
        Op::Lock(LockOp::Release { name, lease }) => OpDescription::ReleaseLock { name, lease },
        Op::Lock(LockOp::Leave { name, lease, since }) => {
            OpDescription::LeaveLock { name, lease, since }
        }
        Op::Fenced(fenced) => describe_op(fenced.op),
        Op::Compact { below } => OpDescription::Compact { revision: below },
        Op::Access(access) => describe_access(access),
        Op::Attributed { by: _, op }
        | Op::Issued { subject: _, policies: _, op }
        | Op::Certified { subject: _, op } => describe_op(*op),
    }
}

/// Nothing of a secret, and no more than who and what.
fn describe_access(op: AccessOp) -> OpDescription {
    match op {
        AccessOp::Bootstrap { secret } => OpDescription::Bootstrap { accessor: secret.accessor() },
        AccessOp::CreateToken { secret, policies, ttl_ms, description: _ } => {
            OpDescription::CreateToken { accessor: secret.accessor(), policies, ttl_ms }
        }
        AccessOp::DeleteToken { accessor, force: _ } => OpDescription::DeleteToken { accessor },
        AccessOp::PutPolicy { name, policy: _, force: _ } => OpDescription::PutPolicy { name },
        AccessOp::DeletePolicy { name, force: _ } => OpDescription::DeletePolicy { name },
    }
}

fn describe_condition(condition: Condition) -> Option<String> {
    match condition {
        Condition::Always => None,
        Condition::IfMatch(revisions) => {
            let tags: Vec<String> =
                revisions.iter().map(|Revision(r)| format!("\"{r}\"")).collect();
            Some(format!("If-Match: {}", tags.join(", ")))
        }
        Condition::IfMatchAny => Some("If-Match: *".to_owned()),
        Condition::IfNoneMatchAny => Some("If-None-Match: *".to_owned()),
    }
}

fn trace_id(trace: Option<TraceContext>) -> Option<String> {
    trace.map(|trace| format!("{:032x}", u128::from_be_bytes(trace.trace_id)))
}

#[cfg(test)]
mod tests;
