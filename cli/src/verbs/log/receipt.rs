//! `synod log receipt`: where in the log a write is.

use std::process::ExitCode;

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use client::{Ballot, ChainHash, Client, Command, LogEntry};
use serde::Serialize;
use serde_json::{Value, json};

use super::described;
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(super) struct Receipt {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The key that was written
    #[arg(
        value_parser = NonEmptyStringValueParser::new(),
        required_unless_present = "slot",
        conflicts_with = "slot",
    )]
    key: Option<String>,
    /// At which revision it was written; the last one where it is not given
    #[arg(long, env = "SYNOD_REVISION", value_name = "N", requires = "key")]
    revision: Option<u64>,
    /// Of everything that was decided at this slot
    #[arg(long, env = "SYNOD_SLOT", value_name = "N")]
    slot: Option<u64>,
}

/// What the log says of a write. Whoever keeps it can hold it against the log, and the hash
/// against any replica, for as long as the slot is kept.
#[derive(Debug, Serialize)]
struct Certified {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    slot: u64,
    ballot: Ballot,
    epoch: Option<u64>,
    wall_ms: Option<Value>,
    hash: ChainHash,
    previous_hash: ChainHash,
    /// Of the batch …
    batch_trace_id: Option<String>,
    /// … and of the requests.
    commands: Vec<Command>,
}

/// Prints it.
pub(super) async fn receipt(args: Receipt) -> anyhow::Result<ExitCode> {
    let client = args.endpoint.client();
    let (entry, written) = match (args.key, args.slot) {
        (Some(key), _) => {
            let get = client.get(&key);
            let item = match args.revision {
                Some(revision) => get.revision(revision).await?,
                None => get.await?,
            };
            let slot = slot_of(&client, item.revision).await?;
            (client.slot(slot).await?, Some((key, item.revision)))
        }
        (None, slot) => (client.slot(slot.context("a key or a slot is required")?).await?, None),
    };
    let certified = certify(entry, written);
    match args.output.format() {
        Format::Table => output::line(shown(&certified))?,
        Format::Plain | Format::Json => output::json(&certified)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The slot that a revision was executed at: the one after the last that had not come to it.
/// The first slot of a log comes to none.
async fn slot_of(client: &Client, revision: u64) -> anyhow::Result<u64> {
    let query = "SELECT slot FROM log WHERE revision < ? ORDER BY slot DESC LIMIT 1";
    let rows = client.sql(query).params(&[json!(revision)]).await?.rows;
    let before = rows.first().and_then(|row| row.first()?.as_u64());
    before.map(|slot| slot + 1).with_context(|| {
        format!("the slot of revision {revision} is not kept any more: old slots are trimmed")
    })
}

fn certify(entry: LogEntry, written: Option<(String, u64)>) -> Certified {
    let LogEntry { slot, ballot, epoch, commands, trace_id, hash, previous_hash, rest, .. } = entry;
    let (key, revision) = written.unzip();
    let commands = match &key {
        Some(key) => commands.into_iter().filter(|command| touches(command, key)).collect(),
        None => commands,
    };
    let wall_ms = rest.get("wall_ms").cloned();
    let batch_trace_id = trace_id;
    Certified {
        key,
        revision,
        slot,
        ballot,
        epoch,
        wall_ms,
        hash,
        previous_hash,
        batch_trace_id,
        commands,
    }
}

/// Whether a command may have written a key: a transaction where it names it, and what
/// restores a prefix.
fn touches(command: &Command, key: &str) -> bool {
    let branch = |name: &str| command.rest.get(name).and_then(Value::as_array);
    let puts = |op: &Value| op["put"]["key"] == key;
    command.key.as_deref() == Some(key)
        || command.prefix.as_deref().is_some_and(|prefix| key.starts_with(prefix))
        || ["then", "else"].into_iter().filter_map(branch).flatten().any(puts)
}

fn shown(certified: &Certified) -> String {
    let Certified { slot, ballot, hash, previous_hash, .. } = certified;
    let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
    let mut lines = Vec::new();
    if let (Some(key), Some(revision)) = (&certified.key, certified.revision) {
        lines.push(format!("key            {}", output::printable(key)));
        lines.push(format!("revision       {revision}"));
    }
    let epoch = certified.epoch.map(|epoch| epoch.to_string());
    lines.extend([
        format!("slot           {slot}"),
        format!("ballot         {} of {}", ballot.round, ballot.coordinator),
        format!("epoch          {}", or_none(epoch.as_deref())),
        format!("hash           {hash}"),
        format!("previous hash  {previous_hash}"),
        format!("batch's trace  {}", or_none(certified.batch_trace_id.as_deref())),
    ]);
    for command in &certified.commands {
        let trace = or_none(command.trace_id.as_deref());
        lines.push(format!("{} of trace {trace}", described(command)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_of_the_commands_that_may_have_written_the_key() {
        let command = |json: Value| serde_json::from_value::<Command>(json).unwrap();
        let of = |mut json: Value| {
            json["trace_id"] = Value::Null;
            json["request"] = json!("00");
            command(json)
        };
        let put = json!({"key": "a/b", "value_bytes": 1, "content_type": null});
        for (json, touched) in [
            (json!({"op": "put", "key": "a/b"}), true),
            (json!({"op": "put", "key": "a"}), false),
            (json!({"op": "rollback", "prefix": "a/", "revision": 3}), true),
            (json!({"op": "txn", "if": [], "then": [], "else": [{"put": put}]}), true),
            (json!({"op": "txn", "if": [], "then": [{"get": {"key": "a/b"}}], "else": []}), false),
        ] {
            assert_eq!(touches(&of(json.clone()), "a/b"), touched, "{json}");
        }
    }
}
