//! `synod list`.

use std::process::ExitCode;

use anyhow::bail;
use clap::builder::BoolishValueParser;
use client::Item;

use crate::console::{Align, Table};
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Only keys that begin with this
    #[arg(default_value = "")]
    prefix: String,
    /// On a pipe, show also each key's revision, version and content type, before it
    #[arg(long, short, env = "SYNOD_LONG", value_parser = BoolishValueParser::new())]
    long: bool,
    /// End each key with a NUL byte instead of a newline, which may be in a key: for `xargs -0`
    #[arg(long, short = '0', env = "SYNOD_NULL", value_parser = BoolishValueParser::new())]
    null: bool,
    /// Show the values too: in a table their beginnings, in JSON all of them
    #[arg(long, env = "SYNOD_VALUES", value_parser = BoolishValueParser::new())]
    values: bool,
    /// From the last key to the first
    #[arg(long, env = "SYNOD_REVERSE", value_parser = BoolishValueParser::new())]
    reverse: bool,
    /// As it was at this revision
    #[arg(long, env = "SYNOD_REVISION", value_name = "N")]
    revision: Option<u64>,
    /// Read what one replica has executed, without asking a quorum
    #[arg(long, env = "SYNOD_LOCAL", value_parser = BoolishValueParser::new())]
    local: bool,
}

impl List {
    /// Whoever wants NUL bytes has a pipe.
    fn format(&self) -> anyhow::Result<Format> {
        match self.output.given() {
            Some(Format::Table | Format::Json) if self.null => {
                bail!("--null is of --output plain: leave one of them out")
            }
            Some(format) => Ok(format),
            None if self.null => Ok(Format::Plain),
            None => Ok(self.output.format()),
        }
    }

    fn request(&self) -> client::List {
        let mut list = self.endpoint.client().list(&self.prefix).limit(1_000);
        if !self.values {
            list = list.keys_only();
        }
        if self.reverse {
            list = list.reverse();
        }
        if let Some(revision) = self.revision {
            list = list.revision(revision);
        }
        if self.local {
            list = list.local();
        }
        list
    }
}

/// Prints a line for each key, page by page, all at one revision.
pub(crate) async fn list(args: List) -> anyhow::Result<ExitCode> {
    let format = args.format()?;
    let mut cursor: Option<String> = None;
    loop {
        let mut list = args.request();
        if let Some(cursor) = &cursor {
            list = list.cursor(cursor);
        }
        let page = list.await?;
        let text = match format {
            Format::Table if page.items.is_empty() => String::from("no keys\n"),
            Format::Table => table(&page.items).to_string(),
            Format::Plain => page.items.iter().map(|item| plain(item, &args)).collect(),
            Format::Json => {
                let lines = page.items.iter().map(|item| Ok(serde_json::to_string(item)? + "\n"));
                lines.collect::<anyhow::Result<String>>()?
            }
        };
        output::bytes(text.as_bytes())?;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

fn plain(item: &Item, args: &List) -> String {
    let end = if args.null { '\0' } else { '\n' };
    if !args.long {
        return format!("{}{end}", item.key);
    }
    let content_type = item.content_type.as_deref().unwrap_or_default();
    format!("{}\t{}\t{content_type}\t{}{end}", item.revision, item.version, item.key)
}

fn table(items: &[Item]) -> Table {
    let mut table = Table::new([
        ("revision", Align::Right),
        ("version", Align::Right),
        ("type", Align::Left),
        ("key", Align::Left),
        ("value", Align::Left),
    ]);
    for item in items {
        table.row([
            item.revision.to_string(),
            item.version.to_string(),
            output::printable(item.content_type.as_deref().unwrap_or("-")),
            output::printable(&item.key),
            item.value.as_deref().map(output::preview).unwrap_or_default(),
        ]);
    }
    table.without_empty_columns()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        list: List,
    }

    fn list(flags: &str) -> List {
        let words = ["list"].into_iter().chain(flags.split_whitespace());
        Line::try_parse_from(words).unwrap().list
    }

    #[test]
    fn keys_that_may_hold_newlines_end_with_nul_bytes() {
        let args = list("-0");
        assert_eq!(plain(&item(None), &args), "a\tb\0");
        assert_eq!(plain(&item(None), &list("-0l")), "12\t2\t\ta\tb\0");
        assert_eq!(args.format().unwrap(), Format::Plain, "on a terminal, too");
        assert!(list("-0 -o json").format().unwrap_err().to_string().contains("--null"));
    }

    fn item(value: Option<&'static str>) -> Item {
        Item {
            key: String::from("a\tb"),
            value: value.map(Into::into),
            content_type: None,
            revision: 12,
            created_revision: 3,
            version: 2,
            lease: None,
        }
    }

    #[test]
    fn a_pipe_gets_keys_as_they_are_and_a_terminal_a_table() {
        assert_eq!(plain(&item(None), &list("")), "a\tb\n");
        assert_eq!(plain(&item(None), &list("--long")), "12\t2\t\ta\tb\n");
        assert_eq!(
            table(&[item(None)]).to_string(),
            "  revision  version  type  key\n        12        2  -     a\\tb\n"
        );
        assert!(table(&[item(Some("x\ny"))]).to_string().ends_with("a\\tb  x\\ny\n"));
    }
}
