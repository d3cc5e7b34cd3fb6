//! `synod log`: what Paxos decided, shown, verified, and certified write by write.

mod append;
mod receipt;
mod show;
mod verify;

use std::process::ExitCode;

use clap::Subcommand;
use client::{Author, Command};

use crate::output::printable;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Log {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    show: show::Show,
}

#[derive(Subcommand)]
enum Other {
    /// Append a value to the log
    Append(append::Append),
    /// Check the log's hash chain, and recompute it from what each replica holds
    Verify(verify::Verify),
    /// Say where in the log a write is: slot, ballot, epoch, hash and trace
    Receipt(receipt::Receipt),
}

/// Does what is asked of the log.
pub(crate) async fn log(args: Log) -> anyhow::Result<ExitCode> {
    match args.other {
        None => show::show(args.show).await,
        Some(Other::Append(args)) => append::append(args).await,
        Some(Other::Verify(args)) => verify::verify(args).await,
        Some(Other::Receipt(args)) => receipt::receipt(args).await,
    }
}

/// A command on a line: what is done, and to which key or prefix, where it is one.
fn described(command: &Command) -> String {
    let subject = command.key.as_deref().or(command.prefix.as_deref());
    let subject = subject.map(|subject| format!(" {}", printable(subject)));
    let by = whom(command.by.as_deref(), command.subject.as_ref());
    let by = by.map(|by| format!(", by {by}"));
    format!("{}{}{}", command.op, subject.unwrap_or_default(), by.unwrap_or_default())
}

/// Who did something, in a few words, where somebody is named.
pub(super) fn whom(by: Option<&str>, subject: Option<&Author>) -> Option<String> {
    match (subject, by) {
        (Some(Author { issuer, subject }), _) => {
            Some(format!("{} of {}", printable(subject), printable(issuer)))
        }
        (None, Some(by)) => Some(format!("token {}", printable(by))),
        (None, None) => None,
    }
}
