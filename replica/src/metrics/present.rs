//! What is read from what a replica publishes, whenever somebody asks.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use shared::message::Storage;
use shared::metrics::{Metrics, Scrape};

use crate::driver::{Handle, LockWaits, Published};
use crate::replica::config::Config;
use crate::watch::Hub;

const ROLES: [&str; 3] = ["waiting", "backup", "primary"];
const STORAGE: [&str; 3] = ["writable", "full", "locked"];

/// Where it is read.
#[derive(Debug)]
pub(crate) struct Present {
    /// What the core says of itself.
    pub(crate) driver: Handle,
    /// Those who watch …
    pub(crate) watches: Arc<Hub>,
    /// … and those who wait for locks.
    pub(crate) waits: LockWaits,
    /// The limits of the core.
    pub(crate) config: Config,
    /// The database.
    pub(crate) file: PathBuf,
    /// The folder that it is in.
    pub(crate) folder: PathBuf,
}

/// Has it read whenever somebody asks.
pub(crate) fn expose(metrics: &mut Metrics, present: Present) {
    metrics.disk(present.folder.clone());
    metrics.at_scrape(move |scrape| {
        let published = present.driver.published();
        state(scrape, &published)?;
        positions(scrape, &published)?;
        queues(scrape, &published, &present)?;
        counts(scrape, &published)?;
        // Only its length is asked for: opening it would drop the locks that SQLite has on it.
        let bytes = std::fs::metadata(&present.file).map_or(0, |file| file.len());
        scrape.gauge("synod_replica_database_bytes", "Length of the database file", bytes)
    });
}

fn state(scrape: &mut Scrape<'_>, published: &Published) -> fmt::Result {
    let status = &published.status;
    let storage = match status.storage {
        Storage::Writable => "writable",
        Storage::Full => "full",
        Storage::Locked => "locked",
    };
    scrape.state(
        "synod_replica_role",
        "1 for what it is in the view: waiting is in none",
        "role",
        &ROLES,
        status.role.as_str(),
    )?;
    scrape.state(
        "synod_replica_storage",
        "1 for whether its disk takes what executing writes",
        "state",
        &STORAGE,
        storage,
    )?;
    for (name, help, holds) in [
        (
            "synod_replica_quorum_answers",
            "Whether the latest probe reached a quorum of acceptors",
            status.quorum_answers,
        ),
        ("synod_replica_leader_known", "Whether it knows who leads", status.leader.is_some()),
        (
            "synod_replica_slots_missing",
            "Whether it lacks chosen slots that can be had nowhere",
            status.missing.is_some(),
        ),
    ] {
        scrape.gauge(name, help, u32::from(holds))?;
    }
    // Left out while it has not known itself current since it started.
    match published.lag() {
        Some(lag) => scrape.gauge(
            "synod_replica_lag_seconds",
            "How long ago it last knew itself current",
            lag.as_secs_f64(),
        ),
        None => Ok(()),
    }
}

fn positions(scrape: &mut Scrape<'_>, published: &Published) -> fmt::Result {
    let status = &published.status;
    let lag = status.chosen_below.0.saturating_sub(status.executed_below.0);
    for (name, help, value) in [
        ("synod_replica_epoch", "Epoch of the view executed last", status.epoch.0),
        ("synod_replica_revision", "Revision of the state", status.revision.0),
        ("synod_replica_executed_below", "Every slot below is executed", status.executed_below.0),
        ("synod_replica_durable_below", "Every slot below is synced", status.durable_below.0),
        ("synod_replica_learned_below", "Every slot below is learned", status.learned_below.0),
        (
            "synod_replica_chosen_below",
            "Every slot below is chosen, as far as it knows",
            status.chosen_below.0,
        ),
        ("synod_replica_lag_slots", "Slots that are chosen and not executed here", lag),
        ("synod_replica_log_format", "Format of the log", u64::from(status.format().0)),
        (
            "synod_replica_wal_bytes",
            "Length of the WAL when the latest attempt to copy it began",
            published.wal.bytes,
        ),
    ] {
        scrape.gauge(name, help, value)?;
    }
    let held_up = published.wal.held_up_since.map_or(0.0, |since| since.elapsed().as_secs_f64());
    scrape.gauge(
        "synod_replica_checkpoint_held_up_seconds",
        "For how long the WAL cannot be copied, because of somebody who reads",
        held_up,
    )
}

fn queues(scrape: &mut Scrape<'_>, published: &Published, present: &Present) -> fmt::Result {
    let (status, config) = (&published.status, &present.config);
    for (name, help, value) in [
        (
            "synod_replica_queued_mutations",
            "Mutations that wait for a batch",
            status.queued_mutations,
        ),
        ("synod_replica_queued_mutations_limit", "How many may wait", config.queued_mutations),
        (
            "synod_replica_flying_mutations",
            "Mutations in batches that are not executed yet",
            status.flying_mutations,
        ),
        (
            "synod_replica_flying_mutations_limit",
            "How many may be in such batches",
            config.flying_mutations(),
        ),
        (
            "synod_replica_waiting_reads",
            "Reads that wait for a probe, a slot or a revision",
            status.waiting_reads,
        ),
        ("synod_replica_waiting_reads_limit", "How many may wait", config.waiting_reads),
        ("synod_replica_watches", "Watches that are being served", present.watches.watching()),
        ("synod_replica_watches_limit", "How many may be served", present.watches.most()),
        ("synod_replica_lock_waits", "Requests that wait here for a lock", present.waits.taken()),
        ("synod_replica_lock_waits_limit", "How many may wait", present.waits.most()),
    ] {
        scrape.gauge(name, help, value)?;
    }
    Ok(())
}

fn counts(scrape: &mut Scrape<'_>, published: &Published) -> fmt::Result {
    let changes = published.changes;
    for (name, help, value) in [
        ("synod_replica_keys_written_total", "Writes of keys", changes.keys_written),
        ("synod_replica_keys_deleted_total", "Deletions of single keys", changes.keys_deleted),
        ("synod_replica_prefixes_deleted_total", "Deletions of prefixes", changes.prefixes_deleted),
        ("synod_replica_leases_ended_total", "Leases that ended", changes.leases_ended),
    ] {
        scrape.counter(name, help, value)?;
    }
    Ok(())
}
