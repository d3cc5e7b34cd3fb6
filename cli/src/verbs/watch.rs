//! `synod watch`.

mod exec;

use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use client::{Event, EventKind};
use futures::TryStreamExt;

use crate::console;
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Keys that begin with one of these; all where neither a prefix nor a key is given
    prefixes: Vec<String>,
    /// This key; may be given more than once
    #[arg(long = "key", env = "SYNOD_WATCH_KEY", value_name = "KEY")]
    keys: Vec<String>,
    /// Show first what is there
    #[arg(long, env = "SYNOD_SNAPSHOT", value_parser = BoolishValueParser::new())]
    snapshot: bool,
    /// Begin at this revision: to go on after one, with the next
    #[arg(long, env = "SYNOD_FROM", value_name = "N", conflicts_with = "snapshot")]
    from: Option<u64>,
    /// End after so many events; the end of the snapshot counts as one
    #[arg(long, env = "SYNOD_COUNT", value_name = "N")]
    count: Option<u64>,
    /// Run this command by `sh -c` for each event, one after the other: SYNOD_EVENT (put,
    /// delete or synced), SYNOD_EVENT_KEY, SYNOD_EVENT_REVISION and SYNOD_EVENT_JSON are in
    /// its environment, and the value is its standard input. Nothing else is printed
    #[arg(long, env = "SYNOD_EXEC", value_name = "COMMAND")]
    exec: Option<String>,
    /// Go on where the command fails; otherwise that ends the watch, with the command's code
    #[arg(long, env = "SYNOD_KEEP_GOING", value_parser = BoolishValueParser::new())]
    keep_going: bool,
}

impl Watch {
    fn request(&self) -> client::Watch {
        let mut watch = self.endpoint.client().watch();
        for prefix in &self.prefixes {
            watch = watch.prefix(prefix);
        }
        for key in &self.keys {
            watch = watch.key(key);
        }
        if self.snapshot {
            watch = watch.snapshot();
        }
        match self.from {
            Some(revision) => watch.from(revision),
            None => watch,
        }
    }
}

/// Prints a line for each event, or runs a command.
pub(crate) async fn watch(args: Watch) -> anyhow::Result<ExitCode> {
    let format = args.output.format();
    let mut events = args.request().stream();
    let mut seen = args.from.map(|from| from.saturating_sub(1));
    let mut count = 0;
    while args.count != Some(count) {
        let event = match events.try_next().await {
            Ok(Some(event)) => event,
            Ok(None) => break,
            Err(error) => {
                say_how_to_go_on(seen);
                return Err(error.into());
            }
        };
        count += 1;
        if let Some(command) = &args.exec {
            let code = exec::run(command, &event).await?;
            if code != 0 {
                console::warn(format_args!("synod: the command ended with {code} for {event:?}"));
                if !args.keep_going {
                    say_how_to_go_on(seen);
                    return Ok(ExitCode::from(code));
                }
            }
        } else {
            print(&event, format)?;
        }
        seen = seen.max(event.id);
    }
    Ok(ExitCode::SUCCESS)
}

/// A watch that ends by mistake says where it was.
fn say_how_to_go_on(seen: Option<u64>) {
    if let Some(seen) = seen {
        let next = seen.saturating_add(1);
        console::warn(format_args!(
            "hint: all up to revision {seen} is told; go on with --from {next}"
        ));
    }
}

fn print(event: &Event, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Table => output::line(shown(event)),
        Format::Plain => output::line(plain(event)),
        Format::Json => output::json(event),
    }
}

fn name(event: &Event) -> &'static str {
    match event.kind {
        EventKind::Put(_) => "put",
        EventKind::Delete(_) => "delete",
        EventKind::Synced { .. } => "synced",
    }
}

fn plain(event: &Event) -> String {
    let key = event.key().map(|key| format!("\t{key}")).unwrap_or_default();
    format!("{}\t{}{key}", name(event), event.revision())
}

fn shown(event: &Event) -> String {
    let key = output::printable(event.key().unwrap_or_default());
    let rest = match &event.kind {
        EventKind::Put(put) => {
            format!(
                "{key} = {}",
                put.item.value.as_deref().map(output::preview).unwrap_or_default()
            )
        }
        EventKind::Delete(delete) => match &delete.reason {
            Some(reason) => format!("{key} ({})", output::printable(reason)),
            None => key,
        },
        EventKind::Synced { .. } => String::from("that is what is there; changes follow"),
    };
    format!("{:>8}  {:<6}  {rest}", event.revision(), name(event))
}

#[cfg(test)]
mod tests {
    use client::DeleteEvent;

    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let delete = DeleteEvent {
            key: String::from("a"),
            revision: 42,
            prev_revision: Some(40),
            reason: Some(String::from("lease_expired")),
        };
        let event = Event { kind: EventKind::Delete(delete), id: Some(42) };
        assert_eq!(plain(&event), "delete\t42\ta");
        assert_eq!(shown(&event), "      42  delete  a (lease_expired)");
        let synced = Event { kind: EventKind::Synced { revision: 7 }, id: Some(7) };
        assert_eq!(plain(&synced), "synced\t7");
    }
}
