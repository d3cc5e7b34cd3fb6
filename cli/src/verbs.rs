//! The verbs: one or a few requests, and an answer that a shell script can use.

mod acceptors;
mod compact;
mod delete;
mod diff;
mod endpoints;
mod events;
mod get;
mod lease;
mod list;
mod lock;
mod log;
mod policy;
mod primary;
mod put;
mod ready;
mod remove;
mod rollback;
mod sql;
mod token;
mod trace;
mod txn;
mod value;
mod watch;

use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use client::Fence;

pub(crate) use acceptors::{Acceptors, acceptors};
pub(crate) use compact::{Compact, compact};
pub(crate) use delete::{Delete, delete};
pub(crate) use diff::{Diff, diff};
pub(crate) use endpoints::{Endpoints, endpoints};
pub(crate) use events::{Events, events};
pub(crate) use get::{Get, get};
pub(crate) use lease::{Lease, lease};
pub(crate) use list::{List, list};
pub(crate) use lock::{Lock, lock};
pub(crate) use log::{Log, log};
pub(crate) use policy::{Policy, policy};
pub(crate) use primary::{Primary, primary};
pub(crate) use put::{Put, put};
pub(crate) use ready::{Ready, ready};
pub(crate) use remove::{Remove, remove};
pub(crate) use rollback::{Rollback, rollback};
pub(crate) use sql::{Sql, sql};
pub(crate) use token::{Token, token};
pub(crate) use trace::{Trace, trace};
pub(crate) use txn::{Txn, txn};
pub(crate) use watch::{Watch, watch};

use clap::builder::BoolishValueParser;
use value::Value;

use crate::endpoint::Endpoint;
use crate::output::Output;

/// Who is asked, and how the answer is printed.
#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
}

/// More is surely not meant, and would only be refused after it was read into memory.
const MAX_INPUT_BYTES: u64 = 64 * 1024 * 1024;

/// Reads a file, or standard input where none is given.
fn read_input(file: Option<&Path>) -> anyhow::Result<Bytes> {
    match file {
        Some(path) => {
            let file = std::fs::File::open(path)
                .with_context(|| format!("cannot open {}", path.display()))?;
            limited(file).with_context(|| format!("cannot read {}", path.display()))
        }
        None => limited(std::io::stdin()).context("cannot read standard input"),
    }
}

fn limited(input: impl Read) -> anyhow::Result<Bytes> {
    let mut bytes = Vec::new();
    input.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len())? > MAX_INPUT_BYTES {
        bail!("it is longer than {MAX_INPUT_BYTES} bytes");
    }
    Ok(bytes.into())
}

/// Exactly once.
#[derive(clap::Args)]
struct Once {
    /// Names this request: sent again with the same key, it gets its first answer. Drawn
    /// where none is given
    #[arg(long, env = "SYNOD_IDEMPOTENCY_KEY", value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Only while this lock is held: NAME=REVISION, as `synod lock` gives it to its command
    #[arg(long, env = "SYNOD_FENCE", value_name = "FENCE")]
    fence: Option<Fence>,
}

/// Compare-and-swap.
#[derive(clap::Args)]
#[group(multiple = false)]
struct Condition {
    /// Only if the key was last changed at this revision
    #[arg(long, env = "SYNOD_IF_REVISION", value_name = "N")]
    if_revision: Option<u64>,
    /// Only if the key is not there
    #[arg(long, env = "SYNOD_IF_ABSENT", value_parser = BoolishValueParser::new())]
    if_absent: bool,
}

/// Puts what a mutation is sent with on it.
macro_rules! sent_with {
    ($request:expr, $condition:expr, $once:expr) => {{
        let (mut request, condition) = ($request, $condition);
        if let Some(revision) = condition.if_revision {
            request = request.if_revision(revision);
        }
        if condition.if_absent {
            request = request.if_absent();
        }
        $crate::verbs::named!(request, $once)
    }};
}

/// Puts the idempotency key and the fence on a mutation, where they are given.
macro_rules! named {
    ($request:expr, $once:expr) => {{
        let mut request = $request;
        if let Some(key) = &$once.idempotency_key {
            request = request.idempotency_key(key);
        }
        if let Some(fence) = &$once.fence {
            request = request.fence(fence);
        }
        request
    }};
}

use {named, sent_with};
