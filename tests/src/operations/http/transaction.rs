//! Transactions over HTTP.

use anyhow::{Context, Result, ensure};
use serde_json::{Value as Json, json};

use super::version;
use crate::operations::{Guard, Key, Step, StepResult, Taken, Transaction};

/// What is sent.
pub(super) fn body(transaction: &Transaction) -> Json {
    let Transaction { guards, then, otherwise } = transaction;
    let steps = |steps: &[Step]| steps.iter().map(step).collect::<Vec<_>>();
    json!({
        "if": guards.iter().filter_map(|(key, guard)| compared(key, *guard)).collect::<Vec<_>>(),
        "then": steps(then),
        "else": steps(otherwise),
    })
}

fn compared(key: &Key, guard: Guard) -> Option<Json> {
    let key = &**key;
    match guard {
        Guard::Always => None,
        Guard::Revision(revision) => Some(json!({"key": key, "revision": {"eq": revision}})),
        Guard::Exists => Some(json!({"key": key, "exists": true})),
        Guard::Absent => Some(json!({"key": key, "exists": false})),
    }
}

fn step(step: &Step) -> Json {
    match step {
        Step::Put { key, value } => {
            let value = String::from_utf8_lossy(&value.encode()).into_owned();
            json!({"put": {"key": &**key, "value": value}})
        }
        Step::Delete { key } => json!({"delete": {"key": &**key}}),
        Step::DeletePrefix { prefix } => json!({"delete": {"prefix": &**prefix}}),
        Step::Read { key } => json!({"get": {"key": &**key}}),
        Step::List { prefix, limit } => json!({"get": {"prefix": &**prefix, "limit": limit}}),
    }
}

/// What is answered.
pub(super) fn taken(transaction: &Transaction, said: &Json, revision: u64) -> Result<Taken> {
    let succeeded = said["succeeded"].as_bool().with_context(|| said.to_string())?;
    let steps = transaction.branch(succeeded);
    let results = said["results"].as_array().with_context(|| said.to_string())?;
    ensure!(results.len() == steps.len(), "a result for each of {steps:?}: {said}");
    let of = |(step, said): (&Step, &Json)| {
        result(step, said, revision).with_context(|| format!("{step:?}: {said}"))
    };
    let results = steps.iter().zip(results).map(of).collect::<Result<_>>()?;
    Ok(Taken { succeeded, wrote: steps.iter().any(Step::is_write), results })
}

fn result(step: &Step, said: &Json, revision: u64) -> Result<StepResult> {
    let number = |name: &str| said[name].as_u64().with_context(|| format!("no {name}"));
    Ok(match step {
        Step::Put { key, .. } => {
            ensure!(said["key"] == **key && said["revision"] == revision, "another put");
            StepResult::Put { created: number("created_revision")?, version: number("version")? }
        }
        Step::Delete { .. } | Step::DeletePrefix { .. } => {
            ensure!(said["revision"] == revision, "another deletion");
            StepResult::Deleted(number("deleted")?)
        }
        Step::Read { .. } if said.is_null() => StepResult::Read(None),
        Step::Read { key } => {
            let (of, version) = version(said)?;
            ensure!(of == *key, "another key");
            StepResult::Read(Some(version))
        }
        Step::List { .. } => {
            let items = said["items"].as_array().context("no items")?;
            let items = items.iter().map(version).collect::<Result<_>>()?;
            StepResult::Listed { items, has_more: said["more"].as_bool().context("no more")? }
        }
    })
}
