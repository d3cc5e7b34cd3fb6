//! `synod events`.

use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use client::Happened;
use futures::TryStreamExt;
use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Events {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Show first what is still held of what has happened
    #[arg(long, env = "SYNOD_HELD", value_parser = BoolishValueParser::new())]
    held: bool,
    /// End after so many events
    #[arg(long, env = "SYNOD_COUNT", value_name = "N")]
    count: Option<u64>,
}

/// Prints a line for each event.
pub(crate) async fn events(args: Events) -> anyhow::Result<ExitCode> {
    let events = args.endpoint.client().events();
    let events = if args.held { events.held() } else { events };
    let (format, mut events, mut count) = (args.output.format(), events.stream(), 0);
    while args.count != Some(count)
        && let Some(event) = events.try_next().await?
    {
        count += 1;
        match format {
            Format::Json => output::json(&event)?,
            Format::Table => output::line(shown(&event))?,
            Format::Plain => output::line(plain(&event))?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A field of an event, as text that a terminal is not moved by.
fn field(event: &Happened, name: &str) -> String {
    match &event.data[name] {
        Value::Null => String::new(),
        Value::String(text) => output::printable(text),
        Value::Array(texts) => {
            let texts = texts.iter().map(|text| output::printable(text.as_str().unwrap_or("?")));
            texts.collect::<Vec<String>>().join(", ")
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            output::printable(&other.to_string())
        }
    }
}

/// What happened, in a sentence.
fn told(event: &Happened) -> String {
    let field = |name| field(event, name);
    match event.event.as_str() {
        "leader" if event.data["coordinator"].is_null() => String::from("nobody is known to lead"),
        "leader" => {
            let round = event.data["ballot"]["round"].as_u64().unwrap_or_default();
            format!("{} leads, at round {round}", field("coordinator"))
        }
        "view" => format!(
            "epoch {}: {} is primary, backups: {}",
            field("epoch"),
            field("primary"),
            field("backups")
        ),
        "member" => format!("{} {} at {}", field("id"), field("state"), field("url")),
        "roster" => format!("the acceptors are cluster {}", field("cluster_id")),
        "trim" => format!("votes below slot {} are dropped", field("trimmed_below")),
        "compact" => format!("history before revision {} is dropped", field("compacted_below")),
        "access" => format!("{} refused {}: {}", field("id"), field("count"), field("reason")),
        "warning" if event.data["state"] == "ended" => {
            format!("no more: {}", field("detail"))
        }
        "warning" => field("detail"),
        "lagged" => String::from("some of what happened is not held any more"),
        _unknown => output::printable(&event.data.to_string()),
    }
}

fn shown(event: &Happened) -> String {
    let time = field(event, "time");
    format!("{time:<27}  {:<7}  {}", output::printable(&event.event), told(event))
}

fn plain(event: &Happened) -> String {
    format!("{}\t{}\t{}", field(event, "time"), output::printable(&event.event), told(event))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_a_line_whatever_it_says() {
        let event = |event: &str, data: Value| Happened { event: event.to_owned(), id: None, data };
        let backups = json!(["replica-2", "replica-3"]);
        let view = json!({"time": "T", "epoch": 3, "primary": "replica-1", "backups": backups});
        let expected = "T\tview\tepoch 3: replica-1 is primary, backups: replica-2, replica-3";
        assert_eq!(plain(&event("view", view)), expected);
        let warned = json!({"time": "T", "state": "began", "detail": "a\n\u{1b}[31mb"});
        assert_eq!(plain(&event("warning", warned)), "T\twarning\ta\\n\\u{1b}[31mb");
        let refused = json!({"time": "T", "id": "replica-1", "reason": "keys", "count": 3});
        assert_eq!(plain(&event("access", refused)), "T\taccess\treplica-1 refused 3: keys");
        assert_eq!(plain(&event("new\n", json!({"x": 1}))), "\tnew\\n\t{\"x\":1}");
        let none = json!({"time": "T", "coordinator": null});
        assert!(shown(&event("leader", none)).ends_with("leader   nobody is known to lead"));
    }
}
