//! After the faults: is everything there that was acknowledged, nothing that was refused,
//! and was it all one history?
//!
//! 1. Every replica comes to the same hash, which chains the whole log.
//! 2. The log is fetched and executed once more, by the replica's own core: it must come
//!    to that hash, to the same revision, and to the keys and values that each replica
//!    holds. A damaged database or a lost transaction shows here.
//! 3. What it executed is the witness that all that clients heard is held against
//!    (`linearizability::witness`), across keys: lost, doubled, late and refused writes,
//!    stale reads.
//! 4. Key by key, without the log, is there an order that explains what clients heard
//!    (`linearizability::key`)?

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use replica::machine::command::{Command, Condition, Op};
use replica::machine::execute::{CommandOutcome, Decoded, Run, SlotOutcome};
use replica::machine::state::ReplicatedState;
use serde_json::Value;
use shared::client::ReplicaClient;
use shared::ids::Slot;
use shared::message::{ChosenEntry, ChosenReply};

use super::cluster::Cluster;
use super::recorder::{Recorder, value_id};
use super::summary::Summary;
use crate::linearizability::history::{Answer, Call, Ending, Guard, Key, Operation, OperationId};
use crate::linearizability::witness::Write;
use crate::linearizability::{key, witness};

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
    let log = fetch_log(cluster, &replicas[0]).await?;
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
        hold_to_state(cluster, replica, &replayed.state).await?;
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
    let client = ReplicaClient::new(cluster.url(replica).parse()?);
    let status = cluster.json(replica, "/v1/status").await?;
    let end = status["executed_slot"].as_u64().map_or(0, |slot| slot + 1);
    let mut log = Vec::new();
    while (log.len() as u64) < end {
        let from = Slot(log.len() as u64);
        match client.replication_log(from, Duration::ZERO, FETCH_TIMEOUT).await? {
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
    /// What was executed, one for each revision.
    writes: Vec<Write>,
    /// The harness's own writes, as operations that nobody waited for.
    own: Vec<Operation>,
}

impl Replayed {
    fn new(log: Vec<ChosenEntry>, recorder: &Recorder) -> Result<Self> {
        let mut replayed =
            Self { state: ReplicatedState::complete(), writes: Vec::new(), own: Vec::new() };
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
                    replayed
                        .add(command, &executed.outcome, recorder)
                        .with_context(|| format!("slot {}", slot.slot))?;
                }
            }
        }
        Ok(replayed)
    }

    fn add(
        &mut self,
        command: Command,
        outcome: &CommandOutcome,
        recorder: &Recorder,
    ) -> Result<()> {
        match outcome {
            CommandOutcome::PreconditionFailed { .. } => return Ok(()),
            CommandOutcome::Created { revision }
            | CommandOutcome::Replaced { revision, .. }
            | CommandOutcome::Deleted { revision, .. }
            | CommandOutcome::DeletedPrefix { revision } => {
                ensure!(
                    revision.0 == self.writes.len() as u64 + 1,
                    "revision {revision} comes after {}",
                    self.writes.len()
                );
            }
        }
        let traced = command.trace.and_then(|trace| recorder.operation_of(trace.trace_id));
        let call = call_of(&command.op);
        let operation = match (traced, &call) {
            (Some(operation), _) => operation,
            (None, Call::Put { key, .. }) if key.starts_with(OWN_PREFIX) => {
                let id = OperationId(OWN_OPERATIONS + self.own.len() as u64);
                self.own.push(Operation {
                    id,
                    called: 0,
                    call: call.clone(),
                    ending: Ending::Unresolved,
                });
                id
            }
            (None, _) => bail!("nobody asked for {call:?}"),
        };
        self.writes.push(Write { operation, call });
        Ok(())
    }
}

fn call_of(op: &Op) -> Call {
    match op {
        Op::Put { key, value, condition, .. } => Call::Put {
            key: Key::from(key.as_str()),
            value: value_id(value),
            guard: guard_of(condition),
        },
        Op::Delete { key, condition } => {
            Call::Delete { key: Key::from(key.as_str()), guard: guard_of(condition) }
        }
        Op::DeletePrefix { prefix } => Call::DeletePrefix { prefix: Key::from(prefix.as_str()) },
    }
}

fn guard_of(condition: &Condition) -> Guard {
    match condition {
        Condition::Always => Guard::Always,
        Condition::IfMatch(revisions) => match revisions.as_slice() {
            [revision] => Guard::Revision(revision.0),
            several => panic!("the recording clients name one revision, not {several:?}"),
        },
        Condition::IfMatchAny => Guard::Exists,
        Condition::IfNoneMatchAny => Guard::Absent,
    }
}

/// Compares what a replica holds, key by key, with the replayed state.
async fn hold_to_state(cluster: &Cluster, replica: &str, state: &ReplicatedState) -> Result<()> {
    let url = format!("{}/v1/kv?consistency=local&prefix=", cluster.url(replica));
    let response = cluster.http().get(url).header("accept", "application/x-ndjson").send().await?;
    let status = response.status();
    let body = response.text().await?;
    ensure!(status.is_success(), "{replica} answered {status}: {body}");
    let mut held = BTreeMap::new();
    for line in body.lines() {
        let item: Value =
            serde_json::from_str(line).with_context(|| format!("not an item: {line}"))?;
        let key = item["key"].as_str().with_context(|| format!("no key: {line}"))?;
        let text = item["value"].as_str().with_context(|| format!("no value: {line}"))?;
        ensure!(item["encoding"] == "utf8", "{replica} holds at {key} what nobody wrote: {line}");
        held.insert(key.to_owned(), (item["revision"].as_u64(), value_id(text.as_bytes())));
    }
    let expected: BTreeMap<String, (Option<u64>, u64)> = state
        .keys()
        .records()
        .iter()
        .map(|(key, record)| {
            let content = record.content.as_ref().expect("a complete state has all contents");
            (key.clone(), (Some(record.revision.0), value_id(&content.value)))
        })
        .collect();
    for (key, value) in &expected {
        ensure!(
            held.get(key) == Some(value),
            "{replica} holds {:?} at {key}, by the log it is {value:?}",
            held.get(key)
        );
    }
    let strange = held.keys().find(|key| !expected.contains_key(*key));
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

/// How a mutation ended, as a sentence of a test wants it.
#[must_use]
pub fn is_acknowledged(ending: &Ending) -> bool {
    matches!(ending, Ending::Answered { answer: Answer::Put | Answer::Deleted(_), .. })
}
