//! One query, in one read transaction.

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Batch, Connection, Error, ErrorCode, OpenFlags, Statement, params_from_iter};
use shared::ids::Revision;
use shared::random;

use super::functions::may_be_called;
use super::views::Views;
use super::{Job, Limits, SqlError, Table, cell};
use crate::store::RevisionError;

/// How a connection is set up that can do nothing but read. What a query sorts stays in
/// its memory, which is bounded, and does not go to a disk, which is not.
const SET_UP: &str = "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; \
    PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000; PRAGMA busy_timeout = 1000;";

/// What a statement may be made of.
const LIMITS: [(Limit, i32); 9] = [
    (Limit::SQLITE_LIMIT_LENGTH, 32 << 20),
    (Limit::SQLITE_LIMIT_COLUMN, 256),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 100),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 64),
    (Limit::SQLITE_LIMIT_VDBE_OP, 250_000),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_024),
    (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, 256),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Carries a job out.
pub(crate) fn run(job: &Job) -> Result<Table, SqlError> {
    let refused = |error: Error| refused(&error, &job.limits);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&job.file, flags).map_err(refused)?;
    connection.execute_batch(SET_UP).map_err(refused)?;
    connection.execute_batch("BEGIN").map_err(refused)?;
    let revision = revision(&connection, job)?;
    let mut statement = prepare(&connection, &job.query.sql).map_err(|error| match error {
        Prepare::Refused(error) => error,
        Prepare::Failed(error) => refused(error),
    })?;
    let (columns, rows) = rows(&mut statement, job)?;
    Ok(Table { columns, rows, revision })
}

/// The revision that the query sees; shows it that, and locks the connection up.
fn revision(connection: &Connection, job: &Job) -> Result<Revision, SqlError> {
    let refused = |error: Error| refused(&error, &job.limits);
    let number = |column: i64| Revision(column.cast_unsigned());
    let (present, oldest) = connection
        .query_row("SELECT revision, compacted_below FROM meta", [], |row| {
            Ok((number(row.get(0)?), number(row.get(1)?)))
        })
        .map_err(refused)?;
    let at = RevisionError::check(job.query.revision, present, oldest)?;
    let views = Views::new(random::nonce(), at, present);
    connection.execute_batch(&views.statements()).map_err(refused)?;
    connection.execute_batch("PRAGMA query_only = ON").map_err(refused)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(refused)?;
    for (limit, value) in LIMITS {
        connection.set_limit(limit, value).map_err(refused)?;
    }
    connection
        .authorizer(Some(move |context: AuthContext<'_>| authorize(&views, &context)))
        .map_err(refused)?;
    Ok(at)
}

/// Whether a statement may do this: read what is shown, and compute.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named is not allowed")]
fn authorize(views: &Views, context: &AuthContext<'_>) -> Authorization {
    /// Functions that make rows out of JSON.
    const ROWS_OF_JSON: [&str; 2] = ["json_each", "json_tree"];
    let allowed = match context.action {
        AuthAction::Select | AuthAction::Recursive => true,
        AuthAction::Function { function_name } => may_be_called(function_name),
        AuthAction::Read { table_name, column_name } => {
            context.database_name == Some("temp") && views.is_shown(table_name)
                || ROWS_OF_JSON.contains(&table_name)
                || context.accessor.is_some_and(|accessor| views.reads_tables(accessor))
                // That there are rows, where SQLite has taken a view apart.
                || column_name.is_empty() && !table_name.starts_with("sqlite_")
        }
        _ => false,
    };
    if allowed { Authorization::Allow } else { Authorization::Deny }
}

/// Why a text is no statement to run.
enum Prepare {
    Refused(SqlError),
    Failed(Error),
}

fn prepare<'a>(connection: &'a Connection, sql: &str) -> Result<Statement<'a>, Prepare> {
    let not_one = |what: &str| Prepare::Refused(SqlError::NotOneReading(what.to_owned()));
    let mut batch = Batch::new(connection, sql);
    let statement = batch
        .next()
        .map_err(Prepare::Failed)?
        .ok_or_else(|| not_one("there is no statement in the query"))?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(not_one("the statement does not read"));
    }
    match batch.next() {
        Ok(None) => Ok(statement),
        Ok(Some(_)) | Err(_) => Err(not_one("there is more than one statement in the query")),
    }
}

type Rows = (Vec<String>, Vec<Vec<serde_json::Value>>);

fn rows(statement: &mut Statement<'_>, job: &Job) -> Result<Rows, SqlError> {
    let limits = &job.limits;
    let refused = |error: Error| refused(&error, limits);
    let mut values = Vec::with_capacity(job.query.params.len());
    for (at, value) in job.query.params.iter().enumerate() {
        values.push(cell::of_parameter(value).ok_or(SqlError::Parameter { place: at + 1 })?);
    }
    let (expected, given) = (statement.parameter_count(), values.len());
    if expected != given {
        return Err(SqlError::Parameters { expected, given });
    }
    let columns: Vec<String> =
        statement.column_names().into_iter().map(ToOwned::to_owned).collect();
    let mut found = statement.query(params_from_iter(values)).map_err(refused)?;
    let (mut rows, mut bytes) = (Vec::new(), 0_usize);
    while let Some(row) = found.next().map_err(refused)? {
        if rows.len() == limits.rows {
            return Err(SqlError::Rows { limit: limits.rows });
        }
        let mut cells = Vec::with_capacity(columns.len());
        for column in 0..columns.len() {
            let value = row.get_ref(column).map_err(refused)?;
            bytes = bytes.saturating_add(cell::size(value));
            if bytes > limits.bytes {
                return Err(SqlError::Bytes { limit: limits.bytes });
            }
            cells.push(cell::to_json(value));
        }
        rows.push(cells);
    }
    Ok((columns, rows))
}

/// What an error of SQLite's is about: the query, its size, or the machine.
#[expect(clippy::wildcard_enum_match_arm, reason = "every other error is the query's")]
fn refused(error: &Error, limits: &Limits) -> SqlError {
    let Some(code) = error.sqlite_error_code() else {
        return SqlError::Invalid(error.to_string());
    };
    match code {
        ErrorCode::AuthorizationForStatementDenied | ErrorCode::ReadOnly => SqlError::NotAuthorized,
        ErrorCode::OutOfMemory => SqlError::Memory { limit: limits.memory_bytes },
        ErrorCode::TooBig => SqlError::Bytes { limit: limits.bytes },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => SqlError::Locked(error.to_string()),
        ErrorCode::DatabaseCorrupt
        | ErrorCode::NotADatabase
        | ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::DiskFull => SqlError::Failed(error.to_string()),
        // Of a function SQLite says it only so.
        _ if error.to_string().contains("not authorized") => SqlError::NotAuthorized,
        _ => SqlError::Invalid(error.to_string()),
    }
}
