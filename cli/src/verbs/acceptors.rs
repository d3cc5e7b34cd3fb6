//! `synod acceptors`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::builder::BoolishValueParser;
use client::{Client, Error, Roster};
use serde_json::Value;
use tokio::time::sleep;

use super::Common;
use crate::console::{confirmed, warn};
use crate::output::{self, Format, Output};
use crate::transfer::spinner;

/// It is looked so often what a change waits for, and not longer than that.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Acceptors {
    #[command(subcommand)]
    change: Change,
}

#[derive(clap::Subcommand)]
enum Change {
    /// Put a new acceptor, without data, into the place of another
    Replace {
        #[command(flatten)]
        common: Common,
        /// Which one leaves: its name, or its address where it is gone
        acceptor: String,
        /// Where the new one is, such as http://127.0.0.1:8204
        with: String,
    },
    /// Have these acceptors and no others
    Set {
        #[command(flatten)]
        common: Common,
        /// Where they are, an odd number of them
        #[arg(required = true, value_name = "URL")]
        acceptors: Vec<String>,
        /// Do not ask before only one is left
        #[arg(long, env = "SYNOD_YES", value_parser = BoolishValueParser::new())]
        yes: bool,
    },
}

/// Changes the acceptors, and prints those that there are by then, and their generation.
pub(crate) async fn acceptors(args: Acceptors) -> anyhow::Result<ExitCode> {
    match args.change {
        Change::Replace { common: Common { endpoint, output }, acceptor, with } => {
            let client = endpoint.client();
            let change = client.replace_acceptor(&acceptor, &with);
            print(&watched(&client, change).await?, &output)
        }
        Change::Set { common: Common { endpoint, output }, acceptors, yes } => {
            may_be_all(&acceptors, || if yes { Some(true) } else { confirmed("go on?") })?;
            let client = endpoint.client();
            print(&watched(&client, client.set_acceptors(&acceptors)).await?, &output)
        }
    }
}

/// What it means to have one acceptor alone is said before it is done, and not done without a
/// word: none where nobody can be asked.
fn may_be_all(
    acceptors: &[String],
    is_agreed: impl FnOnce() -> Option<bool>,
) -> anyhow::Result<()> {
    let [alone] = acceptors else { return Ok(()) };
    warn(format_args!(
        "{alone} is to be the only acceptor: while it is down nobody writes or reads \
         linearizably, and once its disk is lost no other can take its place"
    ));
    match is_agreed() {
        Some(true) => Ok(()),
        Some(false) => bail!("the acceptors stay as they are"),
        None => bail!("the acceptors stay as they are: say --yes to have only one"),
    }
}

/// Shows what a change waits for while it does, where standard error is a terminal.
async fn watched(
    client: &Client,
    change: impl Future<Output = Result<Roster, Error>>,
) -> Result<Roster, Error> {
    let bar = spinner();
    if bar.is_hidden() {
        return change.await;
    }
    bar.set_message("the acceptors are being changed");
    let client = client.clone().without_retries().with_timeout(LOOK_EVERY);
    let looking = async {
        loop {
            sleep(LOOK_EVERY).await;
            if let Ok(cluster) = client.json::<Value>("/v1/cluster").await
                && let Some(what) = change_waits_for(&cluster)
            {
                bar.set_message(format!("waiting for {what}"));
            }
        }
    };
    let changed = tokio::select! {
        changed = change => changed,
        () = looking => unreachable!("it is looked for ever"),
    };
    bar.finish_and_clear();
    changed
}

/// What the leading coordinator says.
fn change_waits_for(cluster: &Value) -> Option<&str> {
    let coordinators = cluster["coordinators"].as_array()?;
    coordinators.iter().find_map(|coordinator| coordinator["change_waits_for"].as_str())
}

fn print(roster: &Roster, output: &Output) -> anyhow::Result<ExitCode> {
    let (urls, generation) = (roster.acceptors.join(","), roster.generation);
    match output.format() {
        Format::Plain => output::line(format_args!("{urls}\t{generation}"))?,
        Format::Json => output::json(roster)?,
        Format::Table => {
            output::line(format_args!("the acceptors of generation {generation} are {urls}"))?;
            output::line(format_args!("give them to all services as --acceptors"))?;
            if !roster.not_heard.is_empty() {
                let names = roster.not_heard.join(", ");
                output::line(format_args!("not known to have heard of it yet: {names}"))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_acceptor_alone_takes_a_word_and_several_take_none() {
        let stays = "the acceptors stay as they are";
        let without_terminal = "the acceptors stay as they are: say --yes to have only one";
        for (acceptors, agreed, says) in [
            (1, Some(true), None),
            (1, Some(false), Some(stays)),
            (1, None, Some(without_terminal)),
            (3, None, None),
            (5, None, None),
        ] {
            let urls: Vec<String> = (0..acceptors).map(|n| format!("http://a:{n}")).collect();
            let refused = may_be_all(&urls, || agreed).err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), says, "{acceptors} acceptors, {agreed:?}");
        }
    }

    #[test]
    fn what_a_change_waits_for_is_what_any_coordinator_says() {
        let cluster = json!({"coordinators": [
            {"id": "coordinator-1", "change_waits_for": null},
            {"id": "coordinator-2", "change_waits_for": "a quorum"},
        ]});
        assert_eq!(change_waits_for(&cluster), Some("a quorum"));
        assert_eq!(change_waits_for(&json!({"coordinators": [{}]})), None);
    }
}
