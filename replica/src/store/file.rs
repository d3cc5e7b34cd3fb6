//! The file of a state, and how it is opened for writing: made where there is none, checked,
//! and brought to the present version.

use std::path::Path;

use shared::ids::Name;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::error::{OpenError, StoreError};
use super::schema::{self, Found, scalar, unusable};
use super::verify;

/// The name of the file.
pub const FILE: &str = "state.sqlite";

/// The largest file whose structure is checked whole at every start: about half a second
/// on a slow disk.
const QUICK_CHECK_MAX_BYTES: u64 = 256 << 20;

/// The largest file whose indexes and rows are checked whole, too, at every start: about
/// a second. A larger one is checked as it is read.
const FULL_CHECK_MAX_BYTES: u64 = 64 << 20;

/// Opens the file for writing: makes the tables in a new one, checks an old one and brings
/// its tables to the present version. Also says whether it is new.
pub(super) async fn connect(
    path: &Path,
    replica: &Name,
) -> Result<(SqliteConnection, bool), OpenError> {
    let mut connection = SqliteConnection::connect_with(&schema::writer_options(path))
        .await
        .map_err(|error| unusable(path, error.into()))?;
    let unusable = |error: StoreError| unusable(path, error);
    let found = schema::check_header(&mut connection, path).await?;
    let checked = check_structure(&mut connection, path).await?;
    if found != Found::Empty {
        check_owner(&mut connection, path, replica).await?;
    }
    schema::migrate(&mut connection, found, schema::STEPS, replica).await.map_err(unusable)?;
    if checked == Structure::Small {
        verify::rows(&mut connection).await.map_err(unusable)?;
    }
    Ok((connection, found == Found::Empty))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Structure {
    /// At most [`FULL_CHECK_MAX_BYTES`].
    Small,
    Large,
}

/// Reads every page of a file that is not too large for it, and names the first one that
/// does not fit.
async fn check_structure(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Structure, OpenError> {
    let unusable = |error: sqlx::Error| unusable(path, error.into());
    let pages: i64 = scalar(connection, "PRAGMA page_count").await.map_err(unusable)?;
    let page_bytes: i64 = scalar(connection, "PRAGMA page_size").await.map_err(unusable)?;
    let bytes = pages.saturating_mul(page_bytes).cast_unsigned();
    if bytes > QUICK_CHECK_MAX_BYTES {
        return Ok(Structure::Large);
    }
    let (structure, check) = if bytes <= FULL_CHECK_MAX_BYTES {
        (Structure::Small, "PRAGMA integrity_check(1)")
    } else {
        (Structure::Large, "PRAGMA quick_check(1)")
    };
    let verdict: String = scalar(connection, check).await.map_err(unusable)?;
    if verdict == "ok" {
        Ok(structure)
    } else {
        Err(OpenError::Damaged { path: path.display().to_string(), what: verdict })
    }
}

/// Every version has the column that this reads.
async fn check_owner(
    connection: &mut SqliteConnection,
    path: &Path,
    replica: &Name,
) -> Result<(), OpenError> {
    let sql = "SELECT replica FROM meta";
    let found: Option<String> = sqlx::query_scalar(sql)
        .persistent(false)
        .fetch_optional(connection)
        .await
        .map_err(|e| unusable(path, e.into()))?;
    let Some(found) = found else {
        return Err(unusable(path, StoreError::Damaged("meta has no row".to_owned())));
    };
    if found == replica.as_str() {
        Ok(())
    } else {
        Err(OpenError::OtherReplica {
            path: path.display().to_string(),
            found,
            expected: replica.clone(),
        })
    }
}
