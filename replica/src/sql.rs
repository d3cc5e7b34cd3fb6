//! Queries in SQL, to read: each in a process of its own.
//!
//! A query is whatever somebody sends, so it may run for ever, sort a million rows, or
//! find a fault of SQLite's. It therefore runs in a process that ends with it, at the
//! lowest priority, bounded in memory and processor time by the kernel, on a connection
//! that cannot write and an authorizer that lets it see nothing but the documented views:
//!
//! ```text
//! http/sql ─Job (JSON)─▶ worker: a process of this same program, `sql-worker`
//!                          │  query: one read transaction on state.sqlite, with `views`
//! http/sql ◀─Answer (JSON)─┘
//! ```
//!
//! In reading order: `query` (what a worker does), `views` (what it shows), `functions`
//! (what it lets be called), `cell` (how a value is written), `worker` (the process, from both ends).

mod cell;
pub(crate) mod functions;
pub(crate) mod query;
mod views;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::ids::Revision;

use crate::store::RevisionError;

pub(crate) use self::views::{WITHOUT_LASTING_VIEWS, lasting_views};
pub(crate) use self::worker::Workers;
pub use self::worker::{WORKER, main};

/// What a query may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Rows of its answer.
    pub(crate) rows: usize,
    /// Bytes of its answer, as JSON.
    pub(crate) bytes: usize,
    /// Bytes of memory.
    pub(crate) memory_bytes: u64,
    /// How long it may run, within the request's deadline.
    pub(crate) time: Duration,
}

/// A query, as clients write it in JSON.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Query")]
pub(crate) struct SqlQuery {
    /// One statement that reads.
    pub(crate) sql: String,
    /// The values of its parameters, in order.
    #[serde(default)]
    pub(crate) params: Vec<Value>,
    /// The revision that it sees; the newest where none is named.
    #[serde(default)]
    pub(crate) revision: Option<Revision>,
}

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The replica's state.
    pub(crate) file: PathBuf,
    /// What is asked of it.
    pub(crate) query: SqlQuery,
    /// What that may take.
    pub(crate) limits: Limits,
}

/// What a query gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Table {
    /// The names of the columns, in order; a name may come twice.
    pub(crate) columns: Vec<String>,
    /// The rows, each with a value for each column.
    pub(crate) rows: Vec<Vec<Value>>,
    /// The revision that it saw.
    pub(crate) revision: Revision,
}

/// Why a query gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum SqlError {
    /// It is no statement that reads, or more than one.
    #[error("{0}")]
    NotOneReading(String),
    /// SQLite does not make sense of it.
    #[error("SQLite says: {0}")]
    Invalid(String),
    /// It is refused by the authorizer.
    #[error(
        "the query uses what it may not: it reads the views {}, and nothing else",
        views::NAMES.join(", ")
    )]
    NotAuthorized,
    /// A parameter has a value that SQLite has no type for.
    #[error("parameter {place} is neither null, a boolean, a number, a string nor {{\"base64\"}}")]
    Parameter {
        /// Which, from 1.
        place: usize,
    },
    /// It has not as many parameters as values are given.
    #[error("the query has {expected} parameters, and {given} values are given")]
    Parameters {
        /// How many it has.
        expected: usize,
        /// How many are given.
        given: usize,
    },
    /// There are too many rows.
    #[error("the answer has more than {limit} rows (--max-sql-rows)")]
    Rows {
        /// How many there may be.
        limit: usize,
    },
    /// The rows are too long.
    #[error("the answer has more than {limit} bytes (--max-sql-bytes)")]
    Bytes {
        /// How many there may be.
        limit: usize,
    },
    /// It needs too much memory.
    #[error("the query needs more than {limit} bytes of memory (--max-sql-memory-bytes)")]
    Memory {
        /// How many it may have.
        limit: u64,
    },
    /// It ran too long.
    #[error("the query was not done after {waited:?} (--max-sql-ms, or the request's time)")]
    Time {
        /// How long it ran.
        waited: Duration,
    },
    /// As many run as may.
    #[error("{limit} queries are under way, as many as may be")]
    Overloaded {
        /// How many may run.
        limit: usize,
    },
    /// The revision cannot be read.
    #[error(transparent)]
    Revision(#[from] RevisionError),
    /// The file is locked by another process.
    #[error("the state is locked: {0}")]
    Locked(String),
    /// The worker, or the disk, failed.
    #[error("the query failed: {0}")]
    Failed(String),
}
