//! `GET /v1/status` and `GET /readyz`: what this replica says of itself.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::health::Check;
use shared::ids::{Ballot, ClusterId, CoordinatorId, Epoch, Instance, Name, Revision, Slot};
use shared::message::{Service, Storage, View};
use shared::metrics::{OPEN_METRICS, PLAIN};
use shared::spans;
use shared::status::{Common, Status as OfService, VERSION};
use shared::wire;

use super::App;
use super::openapi::Entry;
use super::openapi::content::{json, text};
use crate::driver::Published;
use crate::http::request::parameter::VERBOSE;
use crate::machine::chain::ChainHash;
use crate::machine::state::RemovedReplica;
use crate::replica::status::{Leader, Missing, Status};
use crate::snapshot::FetchProgress;

/// Not having known itself current for longer than this makes a replica not ready: a few
/// probes went unanswered.
const READY_LAG: Duration = Duration::from_secs(5);

/// What the contract says of what every service answers. What a role says beside the
/// common fields depends on who is asked: a balancer, or a replica.
pub(super) fn entries() -> Vec<Entry> {
    let common = Common {
        service: Service::Replica,
        id: "replica-1".parse().expect("a name"),
        version: VERSION,
        messages_version: wire::VERSION,
        follows_acceptors: true,
        acceptors_generation: Some(0),
        other_versions: Vec::new(),
        zone: None,
        pid: 17,
        uptime_ms: 5_000,
        requests: 42,
    };
    let status: OfService<Map<String, Value>> = OfService { common, role: Map::new() };
    let own = |path, id, summary| Entry::own("get", path, (id, summary));
    vec![
        own("/v1/status", "status", "What a service says of itself.").answers(
            200,
            "Its status.",
            [json(&status)],
        ),
        own("/livez", "live", "Whether the process lives.").answers(
            200,
            "It does.",
            [text("text/plain", "ok\n")],
        ),
        own("/readyz", "ready", "Whether it can serve.")
            .query(&[VERBOSE])
            .answers(200, "It can.", [text("text/plain", "ok\n")])
            .answers(503, "It cannot, and why.", [text("text/plain", "no")]),
        own(spans::PATH, "spans", "What is still held of a trace.")
            .needs(&[spans::TRACE])
            .query(&[spans::OF])
            .answers(200, "OTLP, as JSON.", [json(&spans::Told::default())]),
        own("/metrics", "metrics", "What it counts and measures.").answers(
            200,
            "Prometheus' text, or OpenMetrics 1.0.",
            [text(PLAIN, "synod_uptime_seconds 1.5\n"), text(OPEN_METRICS, "# EOF\n")],
        ),
    ]
}

/// The part of the status that only a replica has.
#[derive(Debug, Serialize)]
pub(super) struct ReplicaStatus {
    url: String,
    instance: Instance,
    cluster_id: Option<ClusterId>,
    role: &'static str,
    epoch: Epoch,
    view: Option<RenderedView>,
    leader: Option<RenderedLeader>,
    executed_slot: Option<Slot>,
    executed_below: Slot,
    durable_below: Slot,
    /// A request that was named at this slot or later may be sent again.
    requests_from: Slot,
    wal_bytes: u64,
    /// Since the process started …
    keys_written: u64,
    keys_deleted: u64,
    /// … each of however many keys.
    prefixes_deleted: u64,
    /// Since when the WAL cannot be copied into the database file.
    checkpoint_held_up_ms: Option<u64>,
    learned_below: Slot,
    chosen_below: Slot,
    trimmed_below: Slot,
    revision: Revision,
    /// The oldest revision whose state can be read.
    compacted_below: Revision,
    hash: ChainHash,
    /// None while it has not known itself current since it started.
    lag_ms: Option<u64>,
    quorum_answers: bool,
    storage: Storage,
    missing: Option<Missing>,
    /// Whose state it fetches, to go on from that.
    snapshot_from: Option<Name>,
    /// How much of it has come, and of how much.
    snapshot_bytes: Option<u64>,
    snapshot_total_bytes: Option<u64>,
    /// Why the last one could not be had.
    snapshot_error: Option<String>,
    /// Who was taken out for good, the latest last, as far as that is remembered.
    removed: Arc<Vec<RemovedReplica>>,
    queued_mutations: usize,
    flying_mutations: usize,
    waiting_reads: usize,
    watches: usize,
    /// Requests that were refused for want of a token or a right, by reason.
    refusals: BTreeMap<String, u64>,
}

/// Who is primary, for people.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "View")]
pub(super) struct RenderedView {
    epoch: Epoch,
    primary: Name,
    backups: Vec<Name>,
}

/// Who leads, for people.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Leader")]
pub(super) struct RenderedLeader {
    coordinator: Name,
    url: String,
    ballot: Ballot,
}

impl RenderedView {
    /// One for the contract.
    pub(super) fn example() -> Self {
        let name = |number| format!("replica-{number}").parse().expect("a name");
        Self { epoch: Epoch(7), primary: name(2), backups: vec![name(1), name(3)] }
    }

    /// The view executed last.
    pub(super) fn of(status: &Status) -> Option<Self> {
        status.view.clone().map(Self::from)
    }
}

impl From<View> for RenderedView {
    fn from(View { epoch, primary, backups, .. }: View) -> Self {
        Self { epoch, primary, backups }
    }
}

impl RenderedLeader {
    /// One for the contract.
    pub(super) fn example() -> Self {
        let coordinator = "coordinator-1".parse().expect("a name");
        let ballot = Ballot { round: 1, coordinator: CoordinatorId(0xaa) };
        Self { coordinator, url: "http://127.0.0.1:8101".to_owned(), ballot }
    }

    /// The coordinator that leads.
    pub(super) fn of(status: &Status) -> Option<Self> {
        let Leader { member, ballot } = status.leader.clone()?;
        Some(Self { coordinator: member.name, url: member.url, ballot })
    }
}

/// The status now.
pub(super) fn status_of(app: &App) -> impl Serialize + use<> {
    let published = app.driver.published();
    let millis = |lag: Duration| u64::try_from(lag.as_millis()).unwrap_or(u64::MAX);
    let lag_ms = published.lag().map(millis);
    let held_up = published.wal.held_up_since.map(|since| since.elapsed());
    let checkpoint_held_up_ms = held_up.map(millis);
    let (wal_bytes, changes) = (published.wal.bytes, published.changes);
    let (fetched, status) = (published.fetched, published.status);
    let is_fetching = status.snapshot_from.is_some();
    app.identity.status(ReplicaStatus {
        url: app.url.to_string(),
        instance: app.instance,
        cluster_id: status.cluster,
        role: status.role.as_str(),
        epoch: status.epoch,
        view: RenderedView::of(&status),
        leader: RenderedLeader::of(&status),
        executed_slot: status.executed_below.0.checked_sub(1).map(Slot),
        executed_below: status.executed_below,
        durable_below: status.durable_below,
        requests_from: status.requests_from,
        wal_bytes,
        keys_written: changes.keys_written,
        keys_deleted: changes.keys_deleted,
        prefixes_deleted: changes.prefixes_deleted,
        checkpoint_held_up_ms,
        learned_below: status.learned_below,
        chosen_below: status.chosen_below,
        trimmed_below: status.trimmed_below,
        revision: status.revision,
        compacted_below: status.compacted_below,
        hash: status.hash,
        lag_ms,
        quorum_answers: status.quorum_answers,
        storage: status.storage,
        missing: status.missing,
        snapshot_from: status.snapshot_from.clone(),
        snapshot_bytes: is_fetching.then_some(fetched.bytes),
        snapshot_total_bytes: fetched.total.filter(|_| is_fetching),
        snapshot_error: fetched.failed,
        removed: Arc::clone(&status.removed),
        queued_mutations: status.queued_mutations,
        flying_mutations: status.flying_mutations,
        waiting_reads: status.waiting_reads,
        watches: app.watches.watching(),
        refusals: app.auth.refusals.counts(),
    })
}

/// `GET /v1/status`.
pub(super) fn status(State(app): State<Arc<App>>) -> Ready<Response> {
    ready(wire::json(&status_of(&app)))
}

/// What readiness rests on.
pub(super) fn checks(published: &Published, acceptors: usize) -> Vec<Check> {
    let status = &published.status;
    let no_cluster = || {
        format!(
            "waits for a quorum of the {acceptors} acceptors to answer and to agree on which \
             cluster they are"
        )
    };
    let no_view =
        || "no view was executed yet: a leading coordinator proposes the first one".to_owned();
    let stale = || {
        let since = match published.lag() {
            Some(lag) if lag <= READY_LAG => return None,
            Some(lag) => format!("last knew itself current {lag:?} ago"),
            None => "has not known itself current since it started".to_owned(),
        };
        let why = match fetched(published) {
            _ if !status.quorum_answers => "no quorum of acceptors answers it".to_owned(),
            Some(fetched) => fetched,
            None => "it has yet to catch up".to_owned(),
        };
        Some(format!("{since}: {why}"))
    };
    let mut checks = vec![
        Check::new("cluster", status.cluster.is_none().then(no_cluster)),
        Check::new("view", status.view.is_none().then(no_view)),
        Check::new("log", status.missing.map(|missing| missing.to_string())),
        Check::new("history", status.dispute.map(|dispute| dispute.to_string())),
        Check::new("current", stale()),
    ];
    // It does its work all the same, or what of it is possible.
    let storage =
        trouble(status.storage).map(|trouble| Check::warning("storage", trouble.to_owned()));
    let held_up = published.wal.complaint();
    checks.extend(storage);
    checks.extend(held_up.map(|complaint| Check::warning("checkpoints", complaint)));
    checks
}

/// How far another replica's state has come, where that is fetched or could not be had.
fn fetched(published: &Published) -> Option<String> {
    let FetchProgress { bytes, total, failed } = &published.fetched;
    let present = published.status.snapshot_from.as_ref().map(|from| match total {
        Some(total) => format!("it fetches the state of {from}, {bytes} of {total} bytes are here"),
        None => format!("it waits for {from} to make a snapshot of its state"),
    });
    let failed = failed.as_ref().map(|failed| format!("of the states it asked for, {failed}"));
    match (present, failed) {
        (Some(present), Some(failed)) => Some(format!("{present}; before, {failed}")),
        (Some(only), None) | (None, Some(only)) => Some(only),
        (None, None) => None,
    }
}

fn trouble(storage: Storage) -> Option<&'static str> {
    match storage {
        Storage::Writable => None,
        Storage::Full => Some("the disk is full, so that nothing is executed: free some space"),
        Storage::Locked => Some("another process keeps the database locked: nothing is executed"),
    }
}
