//! A command that is run for an event.

use std::io;
use std::process::Stdio;

use anyhow::Context;
use client::{Event, EventKind};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::exit;

/// Runs it to its end, and gives its exit code.
pub(super) async fn run(command: &str, event: &Event) -> anyhow::Result<u8> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("SYNOD_EVENT", super::name(event))
        .env("SYNOD_EVENT_KEY", event.key().unwrap_or_default())
        .env("SYNOD_EVENT_REVISION", event.revision().to_string())
        .env("SYNOD_EVENT_JSON", json(event)?)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run sh")?;
    let mut stdin = child.stdin.take().context("the command has no standard input")?;
    let value = match &event.kind {
        EventKind::Put(put) => put.item.value.clone().unwrap_or_default(),
        EventKind::Delete(_) | EventKind::Synced { .. } => bytes::Bytes::new(),
    };
    let feed = async move {
        match stdin.write_all(&value).await {
            // It need not read what it does not want.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    };
    let (fed, status) = tokio::join!(feed, child.wait());
    fed.context("cannot hand the value to the command")?;
    Ok(exit::code_of(status.context("cannot wait for the command")?))
}

/// The event without the value, which may be longer than an environment can be.
fn json(event: &Event) -> anyhow::Result<String> {
    let mut json = serde_json::to_value(event)?;
    if let Some(data) = json["data"].as_object_mut() {
        data.remove("value");
        data.remove("encoding");
    }
    Ok(json.to_string())
}
