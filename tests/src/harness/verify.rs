//! After the faults: is everything there that was acknowledged, nothing that was refused,
//! and was it all one history?
//!
//! 1. Every replica comes to the same hash, which chains the whole log.
//! 2. The log is fetched and executed once more, by the replica's own core and by the
//!    [`Reference`]: both must come to the same outcomes, the core to that hash, and the
//!    reference to the keys and values that each replica holds. A damaged database or a
//!    lost transaction shows here.
//! 3. What it executed is the witness that all that clients heard is held against
//!    (`linearizability::witness`), across keys: lost, doubled, late and refused writes,
//!    stale reads.
//! 4. Key by key, without the log, is there an order that explains what clients heard
//!    (`linearizability::key`)?

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use replica::machine::change::Change;
use replica::machine::command::Command;
use replica::machine::execute::{CommandOutcome, Decoded, Delivery, Run, SlotOutcome};
use replica::machine::leases::LeaseEnd;
use replica::machine::state::ReplicatedState;
use serde_json::Value as Json;
use shared::client::ReplicaClient;
use shared::ids::Slot;
use shared::message::{ChosenEntry, ChosenReply};

use super::cluster::Cluster;
use super::recorder::Recorder;
use super::summary::Summary;
use crate::linearizability::witness::Write;
use crate::linearizability::{key, witness};
use crate::operations::{
    Call, Operation, OperationId, Outcome, Reference, Seen, TenureCall, Value, command,
};

/// Keys below are written by the harness itself, outside of every history.
const OWN_PREFIX: &str = "harness/";
/// Operations of the harness are numbered from here.
const OWN_OPERATIONS: u64 = 1 << 63;
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Holds a healed cluster to what its clients heard.
///
/// # Errors
/// What does not fit.
pub async fn verify(cluster: &Cluster, recorder: &Recorder) -> Result<Summary> {
    loop {
        let hash = cluster.wait_until_equal().await?;
        let outcome = hold_to_log(cluster, recorder, &hash).await;
        // What clients have given up may be decided later: then some of this is about one
        // state, and some about the next.
        let has_moved =
            outcome.is_err() && cluster.wait_until_equal().await.is_ok_and(|now| now != hash);
        if !has_moved {
            return outcome;
        }
    }
}

/// The same of replicas that have all come to this hash.
async fn hold_to_log(cluster: &Cluster, recorder: &Recorder, hash: &str) -> Result<Summary> {
    let replicas = cluster.names("replica");
    let log = fetch_rest(cluster, &replicas[0], recorder.kept_log()).await?;
    let slots = log.len() as u64;
    let replayed = Replayed::new(log, recorder)?;
    let meta = replayed.state.meta();
    ensure!(
        meta.hash.to_string() == hash,
        "the log of {} replays to hash {}, not {hash}",
        replicas[0],
        meta.hash
    );
    for replica in &replicas {
        hold_to_reference(cluster, replica, &replayed.reference).await?;
    }
    let mut history = recorder.history();
    history.extend(replayed.own);
    let checked = witness::check(&history, &replayed.writes)
        .context("held against the log")
        .and_then(|()| key::check(&history).context("held against itself, key by key"));
    if let Err(error) = checked {
        let dump = dump(&history, &replayed.writes)?;
        return Err(error.context(format!("not linearizable; the history is in {dump}")));
    }
    Ok(Summary::of(recorder, slots))
}

/// The whole log that a replica has executed.
///
/// # Errors
/// When it does not answer with a log without holes.
pub async fn fetch_log(cluster: &Cluster, replica: &str) -> Result<Vec<ChosenEntry>> {
    fetch_rest(cluster, replica, Vec::new()).await
}

/// Has the recorder keep the log as far as a replica has executed it, so that history may be
/// dropped, and the log with it: what came of all of it is held to it by [`verify`] still.
///
/// # Errors
/// When it does not answer with a log without holes.
pub async fn keep_log(cluster: &Cluster, replica: &str, recorder: &Recorder) -> Result<()> {
    recorder.keep_log(fetch_rest(cluster, replica, recorder.kept_log()).await?);
    Ok(())
}

/// The log that a replica has executed, of which the beginning is known.
async fn fetch_rest(
    cluster: &Cluster,
    replica: &str,
    mut log: Vec<ChosenEntry>,
) -> Result<Vec<ChosenEntry>> {
    let client = ReplicaClient::new(cluster.url(replica).parse()?);
    let status = cluster.json(replica, "/v1/status").await?;
    let end = status["executed_slot"].as_u64().map_or(0, |slot| slot + 1);
    let own = status["cluster_id"].as_str().context("it knows its cluster")?.parse()?;
    while (log.len() as u64) < end {
        let from = Slot(log.len() as u64);
        let page = client.replication_log(own, from, Duration::ZERO, FETCH_TIMEOUT).await?;
        match page.for_cluster(own)? {
            ChosenReply::Entries { entries, .. } => {
                ensure!(
                    !entries.is_empty(),
                    "{replica} has executed the slots below {end}, but has none from {from} on"
                );
                for entry in entries.into_iter().filter(|entry| entry.slot.0 < end) {
                    ensure!(
                        entry.slot.0 == log.len() as u64,
                        "{replica} sends slot {} where {} is due",
                        entry.slot,
                        log.len()
                    );
                    log.push(entry);
                }
            }
            other @ (ChosenReply::Trimmed { .. } | ChosenReply::Unavailable) => {
                bail!("{replica} has no log from {from}: {other:?}")
            }
        }
    }
    Ok(log)
}

/// What executing the log once more comes to.
struct Replayed {
    state: ReplicatedState,
    reference: Reference,
    /// What was executed, one for each revision.
    writes: Vec<Write>,
    /// The harness's own writes, as operations that nobody waited for.
    own: Vec<Operation>,
}

impl Replayed {
    fn new(log: Vec<ChosenEntry>, recorder: &Recorder) -> Result<Self> {
        let mut replayed = Self {
            state: ReplicatedState::complete(),
            reference: Reference::default(),
            writes: Vec::new(),
            own: Vec::new(),
        };
        for entry in log {
            let run = Run::new(vec![entry]);
            let decoded = run.decoded().to_vec();
            let report = run.apply(&mut replayed.state);
            drop(replayed.state.take_rows());
            for (slot, decoded) in report.slots.iter().zip(decoded) {
                let SlotOutcome::Batch { commands: executed, .. } = &slot.outcome else { continue };
                let Decoded::Batch { commands: Ok(commands), .. } = decoded else {
                    bail!("{slot:?} was executed of {decoded:?}")
                };
                for (command, executed) in commands.commands.into_iter().zip(executed) {
                    if executed.delivery == Delivery::Replayed {
                        continue;
                    }
                    replayed
                        .add(slot.slot, (command, &executed.outcome), recorder)
                        .with_context(|| format!("slot {}", slot.slot))?;
                }
                for change in &slot.changes {
                    if let Change::Lease { lease, end: LeaseEnd::Expired, .. } = change {
                        let call = Call::Tenure(TenureCall::Expire { lease: lease.0 });
                        replayed.reference.execute(&call);
                        replayed.writes.push(Write { operation: OperationId::NOBODYS, call });
                    }
                }
            }
        }
        ensure!(
            command::is_state_of(&replayed.state, &replayed.reference),
            "the core and the reference come to two states of one log"
        );
        Ok(replayed)
    }

    fn add(
        &mut self,
        slot: Slot,
        (command, outcome): (Command, &CommandOutcome),
        recorder: &Recorder,
    ) -> Result<()> {
        if let CommandOutcome::KeyReused { .. } | CommandOutcome::TooManyKeys { .. } = outcome {
            return Ok(());
        }
        let call = command::call(&command);
        let executed = self.reference.execute(&call);
        let expected = command::outcome(&call, &executed, slot);
        ensure!(
            command::without_leases(outcome) == expected,
            "{call:?} came to {outcome:?}, not {expected:?}"
        );
        if !executed.is_write {
            return Ok(());
        }
        let traced = recorder.operation_of(&command);
        let operation = match (traced, &call) {
            (Some(operation), _) => operation,
            (None, Call::Put { key, .. }) if key.starts_with(OWN_PREFIX) => {
                let id = OperationId(OWN_OPERATIONS + self.own.len() as u64);
                self.own.push(Operation {
                    id,
                    called: 0,
                    call: call.clone(),
                    returned: 0,
                    outcome: Outcome::Unknown,
                });
                id
            }
            (None, _) => bail!("nobody asked for {call:?}"),
        };
        self.writes.push(Write { operation, call });
        Ok(())
    }
}

/// Compares what a replica holds, key by key, with the reference.
async fn hold_to_reference(cluster: &Cluster, replica: &str, reference: &Reference) -> Result<()> {
    let url = format!("{}/v1/kv?consistency=local&prefix=", cluster.url(replica));
    let response = cluster.http().get(url).header("accept", "application/x-ndjson").send().await?;
    let status = response.status();
    let body = response.text().await?;
    ensure!(status.is_success(), "{replica} answered {status}: {body}");
    let mut held = BTreeMap::new();
    for line in body.lines() {
        let item: Json =
            serde_json::from_str(line).with_context(|| format!("not an item: {line}"))?;
        let key = item["key"].as_str().with_context(|| format!("no key: {line}"))?;
        let text = item["value"].as_str().with_context(|| format!("no value: {line}"))?;
        ensure!(item["encoding"] == "utf8", "{replica} holds at {key} what nobody wrote: {line}");
        let modified = item["revision"].as_u64().with_context(|| format!("no revision: {line}"))?;
        held.insert(key.to_owned(), Seen { value: Value::decode(text.as_bytes()), modified });
    }
    let expected = reference.keys().iter().map(|(key, version)| (&**key, Seen::from(*version)));
    let expected: BTreeMap<&str, Seen> = expected.collect();
    for (key, value) in &expected {
        ensure!(
            held.get(*key) == Some(value),
            "{replica} holds {:?} at {key}, by the log it is {value:?}",
            held.get(*key)
        );
    }
    let strange = held.keys().find(|key| !expected.contains_key(key.as_str()));
    ensure!(strange.is_none(), "{replica} holds {strange:?}, which by the log does not exist");
    Ok(())
}

/// Writes a history that was found wanting where it can be looked at.
fn dump(history: &[Operation], writes: &[Write]) -> Result<String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut sorted: Vec<&Operation> = history.iter().collect();
    sorted.sort_by_key(|operation| operation.called);
    for operation in sorted {
        writeln!(text, "{operation:?}")?;
    }
    for (revision, write) in (1..).zip(writes) {
        writeln!(text, "revision {revision}: {write:?}")?;
    }
    let path = std::env::temp_dir().join(format!(
        "synod-history-{}-{}.txt",
        std::process::id(),
        history.len()
    ));
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}
