//! `synod acceptors`.

use std::process::ExitCode;

use client::Roster;

use super::Common;
use crate::output::{self, Format, Output};

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
    },
}

/// Changes the acceptors, and prints those that there are by then, and their generation.
pub(crate) async fn acceptors(args: Acceptors) -> anyhow::Result<ExitCode> {
    match args.change {
        Change::Replace { common: Common { endpoint, output }, acceptor, with } => {
            print(&endpoint.client().replace_acceptor(&acceptor, &with).await?, &output)
        }
        Change::Set { common: Common { endpoint, output }, acceptors } => {
            print(&endpoint.client().set_acceptors(&acceptors).await?, &output)
        }
    }
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
