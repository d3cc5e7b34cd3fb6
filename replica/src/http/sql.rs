//! `POST /v1/sql`: a query in SQL, to read.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;
use serde_json::Value;
use shared::accept::preferred;
use shared::deadline::Deadline;
use shared::fields::content_type;
use shared::framing::{NDJSON, push_line};
use shared::ids::Revision;
use shared::problem::{Problem, Retryable};
use shared::query::Query;
use shared::wire::{self, BodyLimit, Encoding, JSON, essence_of, read_in_time};

use super::App;
use super::authorize::{EVERYTHING, TokenHolder};
use super::openapi::content::{json, lines as stream, sent, text};
use super::openapi::{self, Entry};
use super::reading::released;
use super::refused::Refused;
use crate::http::request::json::Object;
use crate::http::request::parameter::CONSISTENCY;
use crate::sql::{SqlError, SqlQuery, Table};

/// The longest query, with its parameters.
const QUERY: BodyLimit = BodyLimit { what: "query", bytes: 64 << 10 };
const CSV: &str = "text/csv";

/// What the contract says of it.
pub(super) fn entries() -> Vec<Entry> {
    let sql = "SELECT key, version FROM kv LIMIT 1";
    let columns = ["key", "version"].map(str::to_owned).to_vec();
    let rows = vec![vec![Value::from("app/web"), Value::from(2)]];
    let table = Table { columns, rows, revision: Revision(42) };
    let row = stream(&Row(&table.columns, &table.rows[0]));
    let csv = text(CSV, String::from_utf8_lossy(&csv(&table)));
    vec![
        openapi::read("post", "/v1/sql", ("query", "Answers a query in SQL."))
            .query(&[CONSISTENCY])
            .takes([text("text/plain", sql), sent::<SqlQuery>(serde_json::json!({"sql": sql}))])
            .answers(200, "Rows.", [json(&table), row, csv])
            .refused(&[410, 415]),
    ]
}

/// Answers it.
pub(super) async fn query(State(app): State<Arc<App>>, request: Request) -> Response {
    answer(&app, request).await.into_response()
}

async fn answer(app: &App, request: Request) -> Result<Response, Refused> {
    let (parts, body) = request.into_parts();
    let deadline = Deadline::of(&parts.headers)?;
    let query = Query::parse(parts.uri.query(), &[CONSISTENCY])?;
    let format = BodyFormat::of(&parts.headers)?;
    let body = read_in_time(body, QUERY, deadline).await?;
    let asked = format.read(&body)?;
    let released = released(app, &parts.headers, &query).await?;
    let needed = |holder: &TokenHolder| holder.granted.need_whole(EVERYTHING, "");
    released.permit(app, &parts.headers, needed).await?;
    let table = app.sql.run(asked, deadline).await.map_err(Refused::Sql)?;
    released.permit(app, &parts.headers, needed).await?;
    let mut response = rendered(&parts.headers, &table)?;
    released.describe(response.headers_mut(), table.revision);
    Ok(response)
}

/// How a query is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyFormat {
    /// Nothing but the statement.
    Text,
    /// An object with its parameters.
    Json,
}

impl BodyFormat {
    /// What `Content-Type` says. curl calls whatever it sends a form.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(said) = content_type(headers)? else { return Ok(Self::Text) };
        match essence_of(said).to_ascii_lowercase().as_str() {
            "text/plain" | "application/sql" | "application/x-www-form-urlencoded" => {
                Ok(Self::Text)
            }
            "application/json" => Ok(Self::Json),
            _ => Err(Problem::unsupported_media_type(
                "a query is text/plain, or application/json: {\"sql\",\"params\",\"revision\"}",
            )),
        }
    }

    fn read(self, body: &Bytes) -> Result<SqlQuery, Problem> {
        match self {
            Self::Text => {
                let sql = str::from_utf8(body)
                    .map_err(|error| Problem::bad_request(format!("the query: {error}")))?;
                Ok(SqlQuery { sql: sql.to_owned(), ..SqlQuery::default() })
            }
            Self::Json => {
                let Object(query) = Encoding::Json
                    .decode(body)
                    .map_err(|error| Problem::bad_request(format!("this is no query: {error}")))?;
                Ok(query)
            }
        }
    }
}

fn rendered(headers: &HeaderMap, table: &Table) -> Result<Response, Problem> {
    let (media_type, body) = match preferred(headers, &[JSON, NDJSON, CSV]) {
        NDJSON => (NDJSON, lines(table)?),
        CSV => (CSV, csv(table)),
        _ => return Ok(wire::json(table)),
    };
    let mut response = Response::new(body.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// A row as an object.
struct Row<'a>(&'a [String], &'a [Value]);

impl Serialize for Row<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

/// An object a row: each of its fields is one column.
fn lines(table: &Table) -> Result<Vec<u8>, Problem> {
    let columns = &table.columns;
    let is_again = |(at, name): &(usize, &String)| columns[..*at].contains(name);
    if let Some((_, name)) = columns.iter().enumerate().find(is_again) {
        return Err(Problem::bad_request(format!(
            "two columns are called {name:?}, and a line is an object, which has one of each \
             name: rename one with AS, or ask for application/json or text/csv"
        )));
    }
    let mut lines = Vec::new();
    table.rows.iter().for_each(|row| push_line(&mut lines, &Row(columns, row)));
    Ok(lines)
}

/// A line of names, then a line a row. Null is empty, and bytes that are no UTF-8 are in
/// base64.
fn csv(table: &Table) -> Vec<u8> {
    let field = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            fields.values().find_map(Value::as_str).unwrap_or_default().to_owned()
        }
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let rows = table.rows.iter().map(|row| row.iter().map(field).collect::<Vec<_>>());
    for record in std::iter::once(table.columns.clone()).chain(rows) {
        writer.write_record(record).expect("each row has a value for each column");
    }
    writer.into_inner().expect("writing into memory does not fail")
}

impl From<SqlError> for Problem {
    fn from(error: SqlError) -> Self {
        let detail = error.to_string();
        match error {
            SqlError::NotOneReading(_)
            | SqlError::Invalid(_)
            | SqlError::NotAuthorized
            | SqlError::Parameter { .. }
            | SqlError::Parameters { .. } => Self::bad_request(detail),
            SqlError::Rows { .. } | SqlError::Bytes { .. } | SqlError::Memory { .. } => {
                Self::above_limit(detail)
            }
            SqlError::Time { .. } => Self::timeout(detail).with_retryable(Retryable::No),
            SqlError::Overloaded { .. } => Self::overloaded(detail),
            SqlError::Revision(error) => error.into(),
            SqlError::Locked(_) => Self::unavailable(detail),
            SqlError::Failed(_) => Self::internal(detail),
        }
    }
}
