//! What a transaction writes, in as few calls of the connection's thread as it takes.
//!
//! A call costs two changes of threads, 10 to 30 µs, whatever it does, and whoever writes
//! one key waits for each. So statements of one row are joined into one text until somebody
//! needs their effect. Statements of more rows are called one by one: the texts stay few,
//! and each is prepared once and then found in the connection's cache.

use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe, Encode, Type};

use super::error::StoreError;
use super::multi_row::MultiRow;

/// Statements that are to be carried out, in order.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    connection: &'c mut SqliteConnection,
    sql: String,
    bound: Bound,
}

/// What is bound to the parameters of statements, in order.
#[derive(Debug, Default)]
pub(super) struct Bound(SqliteArguments);

impl Bound {
    /// Binds the next one: a number, text or bytes.
    pub(super) fn bind<'q, T: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        self.0.add(value).expect("a number, text or bytes can be bound");
        self
    }
}

impl<'c> Statements<'c> {
    pub(super) fn new(connection: &'c mut SqliteConnection) -> Self {
        Self { connection, sql: String::new(), bound: Bound::default() }
    }

    /// Adds a statement.
    pub(super) fn add(&mut self, sql: &str, bind: impl FnOnce(&mut Bound)) {
        self.sql.push_str(sql);
        self.sql.push(';');
        bind(&mut self.bound);
    }

    /// Adds the statement over these rows.
    pub(super) async fn add_rows<T>(
        &mut self,
        sql: &'static MultiRow,
        rows: &[T],
        bind: impl Fn(&mut Bound, &T),
    ) -> Result<(), StoreError> {
        for (sql, piece) in sql.pieces(rows) {
            if piece.len() > 1 {
                self.run().await?;
            }
            self.add(sql, |bound| piece.iter().for_each(|row| bind(bound, row)));
            if piece.len() > 1 {
                self.run().await?;
            }
        }
        Ok(())
    }

    /// Carries out what was added. After an error nothing is known of the connection.
    pub(super) async fn run(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if !self.sql.is_empty() {
            let Bound(arguments) = std::mem::take(&mut self.bound);
            let sql = AssertSqlSafe(std::mem::take(&mut self.sql));
            sqlx::query_with(sql, arguments).execute(&mut *self.connection).await?;
        }
        Ok(self.connection)
    }
}
