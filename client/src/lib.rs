#![doc = include_str!("../README.md")]
//!
//! # In reading order
//!
//! [`Client`] (to which addresses, and how long), [`Error`], [`problem`] and `attempts`
//! (how it fails, and when it is tried again), `call` (a request), [`key`] and [`Item`]; then
//! what can be asked for: `kv`, `list`, `txn`, `watch`, `diff`, `sql`, `log`, `append`, `lease`,
//! `lock`, `cluster`, `verify`, `balancer`, `trace`, `events`, `token`, `policy`.
#![expect(
    clippy::disallowed_methods,
    reason = "a client is shell: it reads clocks and draws keys and pauses"
)]

mod acceptors;
mod address;
mod answer;
mod append;
mod attempts;
mod balancer;
mod call;
mod client;
mod cluster;
mod diff;
mod error;
mod events;
mod item;
pub mod key;
mod kv;
mod lease;
mod lines;
mod list;
mod lock;
mod log;
mod pages;
mod policy;
mod primary;
pub mod problem;
mod snapshot;
mod sql;
#[cfg(test)]
mod stub;
mod token;
mod trace;
mod txn;
mod verify;
mod watch;

pub use acceptors::Roster;
pub use append::{
    Append, Appended, Compact, Compacted, Preview, Rollback, RollbackPreview, RolledBack, Undone,
    UndoneKind,
};
pub use balancer::{
    Balancer, BalancerEndpoint, BalancerPolicy, EndpointOrder, EndpointRequests, Extra,
    OrderedEndpoint,
};
pub use client::{Client, parse_url, parse_urls};
pub use cluster::{Cluster, Leader, Replica, View};
pub use diff::{Change, ChangeKind, Diff, DiffPage};
pub use error::{Error, Failure};
pub use events::{Events, Happened};
pub use item::Item;
pub use kv::{Delete, DeletePrefix, Deleted, Get, Put, Stored};
pub use lease::{GrantLease, Lease, ReadLease, RenewLease, RevokeLease};
pub use list::{List, Page};
pub use lock::{Fence, Holder, Lock, LockGuard, ReadHolder};
pub use log::{Author, Command, Log, LogEntry, ReadSlot};
pub use policy::{
    DeletePolicy, NamedPolicy, Policies, Policy, PolicyPage, PutPolicy, ReadPolicy, Rule,
};
pub use problem::{Problem, Secret};
pub use shared::chain::ChainHash;
pub use shared::ids::Ballot;
pub use shared::tls::Trust;
pub use snapshot::{Download, Snapshot};
pub use sql::{Rows, Sql};
pub use token::{
    AccessChanged, Bootstrap, CreateToken, DeleteToken, MadeToken, OwnToken, ReadOwnToken,
    ReadToken, Token, TokenHolder, TokenPage, Tokens, Vouched,
};
pub use trace::{MissingService, Span, SpanLink, Trace};
pub use txn::{Compare, Guard, Op, PutOp, SendTxn, Subject, Test, Txn, TxnAnswer, TxnResult};
pub use verify::{CheckedReplica, StateCheck};
pub use watch::{DeleteEvent, Event, EventKind, PutEvent, Watch};
