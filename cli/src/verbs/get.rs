//! `synod get`.

use std::process::ExitCode;

use clap::builder::{BoolishValueParser, NonEmptyStringValueParser};

use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Get {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The key
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    key: String,
    /// Read what one replica has executed, without asking a quorum
    #[arg(long, env = "SYNOD_LOCAL", value_parser = BoolishValueParser::new())]
    local: bool,
    /// Read the value that the key had at this revision
    #[arg(long, env = "SYNOD_REVISION", value_name = "N")]
    revision: Option<u64>,
}

/// Prints the value: on a pipe byte for byte.
pub(crate) async fn get(args: Get) -> anyhow::Result<ExitCode> {
    let mut get = args.endpoint.client().get(&args.key);
    if args.local {
        get = get.local();
    }
    if let Some(revision) = args.revision {
        get = get.revision(revision);
    }
    let item = get.await?;
    let value = item.value.clone().unwrap_or_default();
    match args.output.format() {
        Format::Plain => output::bytes(&value)?,
        Format::Table => output::line(shown(&value))?,
        Format::Json => output::json(&item)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// A value on a terminal: text with its lines, and nothing that the terminal obeys.
fn shown(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => {
            let lines = text
                .lines()
                .map(|line| line.split('\t').map(output::printable).collect::<Vec<_>>().join("\t"));
            lines.collect::<Vec<_>>().join("\n")
        }
        Err(_) => format!("({} bytes that are no text: a pipe gets them as they are)", value.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_lines_of_text_and_no_commands() {
        assert_eq!(shown(b"one\ttwo\nthree\n"), "one\ttwo\nthree");
        assert_eq!(shown(b"\x1b[2Jgone"), "\\u{1b}[2Jgone");
        assert!(shown(b"\xff\x00").starts_with("(2 bytes"));
    }
}
