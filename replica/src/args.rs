//! The replica's flags.

mod retention;

use std::path::PathBuf;
use std::time::Duration;

use clap::value_parser;
use shared::byte_budget::ByteBudget;
use shared::config::{AcceptorsArgs, DataDirArgs, ServiceArgs};
use shared::discovery::Acceptors;

use crate::auth::AuthArgs;
use crate::http::Limits;
use crate::machine::command::AnswerRetention;
use crate::replica::config::Config;
use crate::sql;
use crate::watch;
pub(crate) use retention::RetentionArgs;
use retention::duration;

/// What a replica is told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What all services are told.
    #[command(flatten)]
    pub service: ServiceArgs,

    /// The cluster's fixed points.
    #[command(flatten)]
    pub acceptors: AcceptorsArgs,

    /// Where the state is kept.
    #[command(flatten)]
    pub data: DataDirArgs,

    /// Batches under way at once while this replica is primary; with 1, what arrives
    /// while one flies makes the next
    #[arg(
        long,
        env = "SYNOD_PIPELINE",
        value_name = "N",
        default_value = "1",
        value_parser = value_parser!(u32).range(1..=64),
    )]
    pub pipeline: u32,

    /// Connections that read pages of the state; half as many more read single keys
    #[arg(
        long,
        env = "SYNOD_READ_CONNECTIONS",
        value_name = "N",
        default_value = "4",
        value_parser = value_parser!(u32).range(1..=64),
    )]
    pub read_connections: u32,

    /// Bytes of a key; longer ones are answered 400
    #[arg(
        long,
        env = "SYNOD_MAX_KEY_BYTES",
        value_name = "BYTES",
        default_value = "1024",
        value_parser = value_parser!(u32).range(1..=8_192),
    )]
    pub max_key_bytes: u32,

    /// Bytes of a value; longer ones are answered 413. Acceptors and balancers have
    /// limits of their own above it
    #[arg(
        long,
        env = "SYNOD_MAX_VALUE_BYTES",
        value_name = "BYTES",
        default_value = "1048576",
        value_parser = value_parser!(u32).range(1..=4_194_304),
    )]
    pub max_value_bytes: u32,

    /// Items in a page of a list; a request for more is answered 400
    #[arg(
        long,
        env = "SYNOD_MAX_PAGE_ITEMS",
        value_name = "N",
        default_value = "1000",
        value_parser = value_parser!(u32).range(1..=10_000),
    )]
    pub max_page_items: u32,

    /// Bytes of a transaction; longer ones are answered 413. Balancers have a limit of their
    /// own above it
    #[arg(
        long,
        env = "SYNOD_MAX_TXN_BYTES",
        value_name = "BYTES",
        default_value = "1048576",
        value_parser = value_parser!(u32).range(1..=4_194_304),
    )]
    pub max_txn_bytes: u32,

    /// Operations of a transaction, and guards; more are answered 400
    #[arg(
        long,
        env = "SYNOD_MAX_TXN_OPERATIONS",
        value_name = "N",
        default_value = "128",
        value_parser = value_parser!(u32).range(1..=1_024),
    )]
    pub max_txn_operations: u32,

    /// Hours for which the first answer to a mutation with an Idempotency-Key is kept. What
    /// the primary was told counts
    #[arg(
        long,
        env = "SYNOD_KEEP_ANSWERS_HOURS",
        value_name = "HOURS",
        default_value = "24",
        value_parser = value_parser!(u32).range(1..=87_600),
    )]
    pub keep_answers_hours: u32,

    /// First answers kept at once; further mutations with a new Idempotency-Key are answered
    /// 503. What the primary was told counts
    #[arg(
        long,
        env = "SYNOD_MAX_ANSWERS",
        value_name = "N",
        default_value = "1000000",
        value_parser = value_parser!(u32).range(1..=100_000_000),
    )]
    pub max_answers: u32,

    /// Slots of the log from which on a replica that has executed nothing begins with the
    /// state of another one
    #[arg(
        long,
        env = "SYNOD_SNAPSHOT_FROM_SLOTS",
        value_name = "N",
        default_value = "20000",
        value_parser = value_parser!(u64).range(1..),
    )]
    pub snapshot_from_slots: u64,

    /// What is kept of history.
    #[command(flatten)]
    pub retention: RetentionArgs,

    /// Time between two comparisons of all replicas' states, such as 24h; 0 makes none. What
    /// the primary was told counts. A replica that differs from a majority ends
    #[arg(
        long,
        env = "SYNOD_VERIFY_EVERY",
        value_name = "DURATION",
        default_value = "24h",
        value_parser = duration,
    )]
    pub verify_every: Duration,

    /// What queries in SQL may take.
    #[command(flatten)]
    pub sql: SqlArgs,

    /// Who may do what.
    #[command(flatten)]
    pub auth: AuthArgs,

    /// Watches at once; more are answered 503
    #[arg(
        long,
        env = "SYNOD_MAX_WATCHES",
        value_name = "N",
        default_value = "4096",
        value_parser = value_parser!(u32).range(1..=1_000_000),
    )]
    pub max_watches: u32,

    /// Bytes of the newest changes held for all watches together; a watch that is slower
    /// than this many bytes is cut off
    #[arg(
        long,
        env = "SYNOD_WATCH_BUFFER_BYTES",
        value_name = "BYTES",
        default_value = "33554432",
        value_parser = value_parser!(u32).range(65_536..=1_073_741_824),
    )]
    pub watch_buffer_bytes: u32,

    /// Requests that wait for locks at once; more are answered 503
    #[arg(
        long,
        env = "SYNOD_MAX_LOCK_WAITS",
        value_name = "N",
        default_value = "4096",
        value_parser = value_parser!(u32).range(1..=1_000_000),
    )]
    pub max_lock_waits: u32,

    /// Bytes of all mutations' bodies held at once; more are answered 503
    #[arg(
        long,
        env = "SYNOD_MAX_BUFFERED_BYTES",
        value_name = "BYTES",
        default_value = "134217728",
        value_parser = value_parser!(u32).range(4_194_304..),
    )]
    pub max_buffered_bytes: u32,
}

/// What a query in SQL may take.
#[derive(Clone, Debug, clap::Args)]
pub struct SqlArgs {
    /// Rows in the answer to a query in SQL; for more it is 413
    #[arg(
        long,
        env = "SYNOD_MAX_SQL_ROWS",
        value_name = "N",
        default_value = "10000",
        value_parser = value_parser!(u32).range(1..=1_000_000),
    )]
    pub max_sql_rows: u32,

    /// Bytes in the answer to a query in SQL; for more it is 413
    #[arg(
        long,
        env = "SYNOD_MAX_SQL_BYTES",
        value_name = "BYTES",
        default_value = "4194304",
        value_parser = value_parser!(u32).range(1_024..=67_108_864),
    )]
    pub max_sql_bytes: u32,

    /// Memory of a query in SQL; for more it is 413
    #[arg(
        long,
        env = "SYNOD_MAX_SQL_MEMORY_BYTES",
        value_name = "BYTES",
        default_value = "134217728",
        value_parser = value_parser!(u32).range(67_108_864..=2_147_483_648),
    )]
    pub max_sql_memory_bytes: u32,

    /// Milliseconds that a query in SQL may take; past them it is 504
    #[arg(
        long,
        env = "SYNOD_MAX_SQL_MS",
        value_name = "MS",
        default_value = "5000",
        value_parser = value_parser!(u32).range(10..=600_000),
    )]
    pub max_sql_ms: u32,
}

impl SqlArgs {
    /// The same, for workers.
    pub(crate) fn limits(&self) -> sql::Limits {
        sql::Limits {
            rows: usize_of(self.max_sql_rows),
            bytes: usize_of(self.max_sql_bytes),
            memory_bytes: self.max_sql_memory_bytes.into(),
            time: Duration::from_millis(self.max_sql_ms.into()),
        }
    }
}

impl Args {
    /// The folder of the state.
    pub(crate) fn data_dir(&self) -> &PathBuf {
        &self.data.data_dir
    }

    /// What clients may ask for.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            key_bytes: usize_of(self.max_key_bytes),
            value_bytes: usize_of(self.max_value_bytes),
            page_items: usize_of(self.max_page_items),
            txn_bytes: usize_of(self.max_txn_bytes),
            txn_operations: usize_of(self.max_txn_operations),
        }
    }

    /// What watching may take.
    pub(crate) fn watch_limits(&self) -> watch::Limits {
        watch::Limits {
            watches: usize_of(self.max_watches),
            buffer_bytes: usize_of(self.watch_buffer_bytes),
        }
    }

    /// How many requests may wait for locks.
    pub(crate) fn lock_waits(&self) -> usize {
        usize_of(self.max_lock_waits)
    }

    /// The memory for what clients send.
    pub(crate) fn bodies(&self) -> ByteBudget {
        ByteBudget::new(usize_of(self.max_buffered_bytes))
    }

    /// The core's limits and times, where it asks these acceptors.
    pub(crate) fn config(&self, acceptors: &Acceptors) -> Config {
        Config {
            acceptors: acceptors.clients.len(),
            generation: acceptors.generation(),
            pipeline: usize_of(self.pipeline),
            answers: AnswerRetention {
                keep_ms: u64::from(self.keep_answers_hours) * HOUR_MS,
                at_most: u64::from(self.max_answers),
            },
            snapshot_from_slots: self.snapshot_from_slots,
            retained_slots: self.retention.slots(),
            retention: self.retention.config(),
            ..Config::default()
        }
    }
}

/// An hour, in milliseconds.
const HOUR_MS: u64 = 60 * 60 * 1_000;

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
