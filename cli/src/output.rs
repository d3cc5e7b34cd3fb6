//! How results are written: tables for people, lines and bytes for pipes, JSON for scripts.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;

/// In which format results are written.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Output {
    /// How results are written: `table` on a terminal and `plain` elsewhere, if not said
    #[arg(long, short, env = "SYNOD_OUTPUT", value_enum)]
    output: Option<Format>,
}

/// The commands that write no result of which there could be JSON, and why.
pub(crate) const WITHOUT: [(&str, &str); 8] = [
    ("up", "it runs until it is stopped: `synod status --output json` tells of what it runs"),
    ("demo", "it tells people what happens: its exit code says whether a write was lost"),
    ("top", "it draws on a terminal: `synod status --output json` tells the same, once"),
    ("completions", "it writes a script for a shell"),
    ("acceptor", OF_A_SERVICE),
    ("coordinator", OF_A_SERVICE),
    ("replica", OF_A_SERVICE),
    ("balancer", OF_A_SERVICE),
];

const OF_A_SERVICE: &str = "it is a service: GET /v1/status tells of it in JSON";

/// Has each of these commands refuse `--output` by its reason.
pub(crate) fn refused_without(command: clap::Command) -> clap::Command {
    WITHOUT.into_iter().fold(command, |command, (name, why)| {
        let refuse = move |_: &str| Err::<String, String>(format!("there is none here: {why}"));
        let arg = clap::Arg::new("output").long("output").short('o').hide(true);
        let arg = arg.value_name("FORMAT").value_parser(refuse);
        command.mut_subcommand(name, |subcommand| subcommand.arg(arg))
    })
}

/// A format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Table,
    /// For pipes: the value itself, or lines of fields set apart by tabs
    Plain,
    /// For scripts: what the API answers; of a sequence a document a line
    Json,
}

impl Output {
    pub(crate) fn format(&self) -> Format {
        let usual = if io::stdout().is_terminal() { Format::Table } else { Format::Plain };
        self.output.unwrap_or(usual)
    }

    /// The one that was asked for.
    pub(crate) fn given(&self) -> Option<Format> {
        self.output
    }
}

/// Writes bytes as they are, at once.
pub(crate) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context(CANNOT_WRITE)
}

/// Writes a line.
pub(crate) fn line(line: impl std::fmt::Display) -> anyhow::Result<()> {
    bytes(format!("{line}\n").as_bytes())
}

/// Writes a JSON document on a line.
pub(crate) fn json(document: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(document)?)
}

/// What a failure to write says.
const CANNOT_WRITE: &str = "cannot write the result";

/// Whether nobody reads the results any more, as behind `| head`: then all is done that was
/// wanted.
pub(crate) fn is_reader_gone(error: &anyhow::Error) -> bool {
    error.to_string() == CANNOT_WRITE
        && error.chain().any(|cause| {
            let cause = cause.downcast_ref::<io::Error>();
            cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
        })
}

/// A text on one line of a terminal: what a terminal obeys is shown as it is written in
/// Rust and JSON.
pub(crate) fn printable(text: &str) -> String {
    let escaped =
        |c: char| if c.is_control() { c.escape_default().collect() } else { String::from(c) };
    text.chars().map(escaped).collect()
}

/// The beginning of a value, for a table.
pub(crate) fn preview(value: &[u8]) -> String {
    const SHOWN_CHARS: usize = 60;
    match std::str::from_utf8(value) {
        Ok(text) if text.chars().count() <= SHOWN_CHARS => printable(text),
        Ok(text) => {
            let shown: String = text.chars().take(SHOWN_CHARS - 1).collect();
            format!("{}…", printable(&shown))
        }
        Err(_) => format!("({} bytes)", value.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_shown_nothing_that_it_obeys() {
        assert_eq!(printable("grün\u{1b}[2J\n"), "grün\\u{1b}[2J\\n");
        assert_eq!(preview(b"one\ttwo"), "one\\ttwo");
        assert_eq!(preview(b"\x00\xff"), "(2 bytes)");
        assert_eq!(preview("x".repeat(61).as_bytes()), format!("{}…", "x".repeat(59)));
    }

    #[test]
    fn only_a_result_that_nobody_reads_is_no_failure() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(is_reader_gone(&anyhow::Error::new(broken()).context(CANNOT_WRITE)));
        assert!(!is_reader_gone(&anyhow::Error::new(broken()).context("something else")));
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(!is_reader_gone(&anyhow::Error::new(full).context(CANNOT_WRITE)));
    }
}
