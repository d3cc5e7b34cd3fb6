//! `synod sql`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::builder::BoolishValueParser;
use client::Rows;
use serde_json::Value;

use super::read_input;
use crate::console::Table;
use crate::console::{Align, counted};
use crate::endpoint::Endpoint;
use crate::output::{self, Format, Output};

#[derive(clap::Args)]
pub(crate) struct Sql {
    #[command(flatten)]
    endpoint: Endpoint,
    #[command(flatten)]
    output: Output,
    /// The query; standard input where neither a query nor a file is given
    #[arg(conflicts_with = "file")]
    query: Option<String>,
    /// What each `?` of the query stands for, in order: JSON, and text where it is none
    #[arg(requires = "query")]
    params: Vec<String>,
    /// Take the query from a file
    #[arg(long, env = "SYNOD_FILE", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Ask the state as it was at this revision
    #[arg(long, env = "SYNOD_REVISION", value_name = "N")]
    revision: Option<u64>,
    /// Ask what one replica has executed, without asking a quorum
    #[arg(long, env = "SYNOD_LOCAL", value_parser = BoolishValueParser::new())]
    local: bool,
}

/// Prints the rows: as a table, as CSV on a pipe, or as JSON.
pub(crate) async fn sql(args: Sql) -> anyhow::Result<ExitCode> {
    let query = match args.query {
        Some(query) => query,
        None => {
            let bytes = read_input(args.file.as_deref())?;
            String::from_utf8(bytes.into()).context("the query is no text")?
        }
    };
    let params: Vec<Value> = args.params.into_iter().map(param).collect();
    let mut sql = args.endpoint.client().sql(&query).params(&params);
    if let Some(revision) = args.revision {
        sql = sql.revision(revision);
    }
    if args.local {
        sql = sql.local();
    }
    let rows = sql.await?;
    match args.output.format() {
        Format::Table => output::bytes(table(&rows).as_bytes())?,
        Format::Plain => output::bytes(&csv(&rows)?)?,
        Format::Json => output::json(&rows)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn param(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn table(rows: &Rows) -> String {
    let is_number = |column: usize| {
        let mut values = rows.rows.iter().map(|row| &row[column]).filter(|value| !value.is_null());
        values.next().is_some_and(Value::is_number) && values.all(Value::is_number)
    };
    let align = |column| if is_number(column) { Align::Right } else { Align::Left };
    let columns = rows.columns.iter().enumerate();
    let columns = columns.map(|(column, name)| (output::printable(name), align(column)));
    let mut table = Table::new(columns);
    for row in &rows.rows {
        table.row(row.iter().map(|value| match value {
            Value::String(text) => output::preview(text.as_bytes()),
            Value::Null => String::from("null"),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
                output::preview(value.to_string().as_bytes())
            }
        }));
    }
    let count = counted(rows.rows.len() as u64, "row");
    format!("{table}({count} at revision {})\n", rows.revision)
}

/// A line of names, then a line a row. Null is empty, and bytes are in base64.
fn csv(rows: &Rows) -> anyhow::Result<Vec<u8>> {
    let field = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => fields["base64"].as_str().unwrap_or_default().to_owned(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&rows.columns)?;
    for row in &rows.rows {
        writer.write_record(row.iter().map(field))?;
    }
    Ok(writer.into_inner()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows() -> Rows {
        let rows = json!([["a", 1], ["b,\n", null]]);
        Rows {
            columns: vec![String::from("key"), String::from("n")],
            rows: serde_json::from_value(rows).unwrap(),
            revision: 9,
        }
    }

    #[test]
    fn rows_are_a_table_or_csv() {
        assert_eq!(
            table(&rows()),
            "  key      n\n  a        1\n  b,\\n  null\n(2 rows at revision 9)\n"
        );
        assert_eq!(csv(&rows()).unwrap(), b"key,n\na,1\n\"b,\n\",\n");
    }

    #[test]
    fn a_parameter_is_json_and_otherwise_text() {
        assert_eq!(param(String::from("7")), json!(7));
        assert_eq!(param(String::from("null")), json!(null));
        assert_eq!(param(String::from("app/")), json!("app/"));
        assert_eq!(param(String::from("\"7\"")), json!("7"));
    }
}
