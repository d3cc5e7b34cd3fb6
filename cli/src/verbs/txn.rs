//! `synod txn`: a transaction, read from a file or standard input.

mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::BoolishValueParser;
use client::{Item, TxnAnswer, TxnResult};

use super::{Once, named, read_input};
use crate::console::counted;
use crate::endpoint::Endpoint;
use crate::exit;
use crate::output::{self, Format, Output};

/// What a transaction is written as.
const GRAMMAR: &str = r#"The transaction is the JSON of POST /v1/txn, or text, a line for each
guard and operation:

  if KEY exists               # guards: all of them must hold …
  if KEY missing
  if KEY revision = N         # also != < >, and 0 where KEY is missing
  if KEY version = N
  if KEY value = VALUE
  put KEY VALUE [type TYPE]   # … for these to be done, in order
  delete KEY
  delete prefix PREFIX
  get KEY
  get prefix PREFIX [limit N]
  else                        # … and otherwise those that follow
  get KEY

Words are set apart by blanks. One that holds blanks, or begins with a quotation mark or #, is
written as a JSON string: "two words\n". Exit code 4: the guards did not hold."#;

#[derive(clap::Args)]
#[command(after_long_help = GRAMMAR)]
pub(crate) struct Txn {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// Where it is read from; standard input where none is given
    file: Option<PathBuf>,
    /// Print its JSON instead of executing it
    #[arg(long, env = "SYNOD_PRINT", value_parser = BoolishValueParser::new())]
    print: bool,
    #[command(flatten)]
    once: Once,
}

/// Executes it, and prints what came of each operation; 4 where the guards did not hold.
pub(crate) async fn txn(args: Txn) -> anyhow::Result<ExitCode> {
    let file = args.file.as_deref();
    let input = read_input(file).map_err(|error| misplaced(error, file.and_then(Path::to_str)))?;
    let input = str::from_utf8(&input).context("the transaction is no text")?;
    let txn = parse(input)?;
    if args.print {
        output::json(&txn)?;
        return Ok(ExitCode::SUCCESS);
    }
    let answer = named!(args.endpoint.client().txn(&txn), args.once).await?;
    match args.output.format() {
        Format::Table => output::line(shown(&answer))?,
        Format::Plain | Format::Json => output::json(&answer)?,
    }
    Ok(if answer.succeeded { ExitCode::SUCCESS } else { exit::CONDITION_FAILED.into() })
}

/// Says where a transaction belongs that stands in the place of a file.
fn misplaced(error: anyhow::Error, file: Option<&str>) -> anyhow::Error {
    let text = file.unwrap_or_default();
    if text.trim().is_empty() || parse(text).is_err() {
        return error;
    }
    error.context(format!(
        "that is a transaction where the name of its file belongs: `synod txn` takes it from \
         standard input, as of `echo {text:?} | synod txn`"
    ))
}

fn parse(input: &str) -> anyhow::Result<client::Txn> {
    if input.trim_start().starts_with('{') {
        serde_json::from_str(input).context("the transaction is not the JSON of POST /v1/txn")
    } else {
        text::parse(input).context("the transaction (see `synod help txn`)")
    }
}

fn shown(answer: &TxnAnswer) -> String {
    let TxnAnswer { succeeded, revision, results } = answer;
    let what = if *succeeded { "the guards held" } else { "the guards did not hold" };
    let mut lines = vec![format!("{what}, at revision {revision}")];
    for result in results {
        match result {
            TxnResult::Stored(stored) => {
                let key = output::printable(&stored.key);
                lines.push(format!("put {key} (version {})", stored.version));
            }
            TxnResult::Deleted(deleted) => {
                lines.push(format!("deleted {}", counted(deleted.deleted, "key")));
            }
            TxnResult::Item(None) => lines.push(String::from("nothing there")),
            TxnResult::Item(Some(item)) => lines.push(assigned(item)),
            TxnResult::Items { items, more } => {
                lines.extend(items.iter().map(assigned));
                lines.extend(more.then(|| String::from("and more")));
            }
        }
    }
    lines.join("\n")
}

fn assigned(item: &Item) -> String {
    let value = item.value.as_deref().map(output::preview).unwrap_or_default();
    format!("{} = {value} (revision {})", output::printable(&item.key), item.revision)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use serde_json::json;

    use super::*;

    #[test]
    fn json_and_text_say_the_same() {
        let json =
            r#" {"if":[{"key":"a","exists":false}],"then":[{"put":{"key":"a","value":"1"}}]}"#;
        assert_eq!(parse(json).unwrap(), parse("if a missing\nput a 1\n").unwrap());
        let error = format!("{:#}", parse("{\"iff\":[]}").unwrap_err());
        assert!(error.contains("`iff`"), "{error}");
    }

    #[test]
    fn a_transaction_in_the_place_of_its_file_is_told_where_it_belongs() {
        for text in ["{}", "put a 1"] {
            let said = format!("{:#}", misplaced(anyhow!("cannot open it"), Some(text)));
            assert!(said.contains(&format!("echo {text:?} | synod txn")), "{said}");
        }
        for other in [None, Some("absent.json"), Some(" ")] {
            assert_eq!(misplaced(anyhow!("cannot open it"), other).to_string(), "cannot open it");
        }
    }

    #[test]
    fn each_result_is_a_line() {
        let item = json!({"key": "a", "value": "1", "encoding": "utf8", "revision": 5,
            "created_revision": 5, "version": 1});
        let answer = serde_json::from_value(json!({"succeeded": false, "revision": 7, "results": [
            {"key": "a", "revision": 7, "created_revision": 7, "version": 1},
            {"deleted": 2, "revision": 7}, null, item, {"items": [item], "more": true}]}));
        let expected = "the guards did not hold, at revision 7\nput a (version 1)\ndeleted 2 keys\n\
                        nothing there\na = 1 (revision 5)\na = 1 (revision 5)\nand more";
        assert_eq!(shown(&answer.unwrap()), expected);
    }
}
