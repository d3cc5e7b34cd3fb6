//! What tests do to a writer, and ask of it.

use super::Writer;

impl Writer {
    /// How many rows it has inserted, changed or deleted in this life.
    pub(crate) async fn rows_written(&mut self) -> u64 {
        let mut connection = self.take_connection().await.unwrap();
        let changes = sqlx::query("SELECT total_changes()").fetch_one(&mut connection).await;
        self.tables.give_back(connection);
        let changes = changes.unwrap();
        sqlx::Row::get::<i64, _>(&changes, 0).cast_unsigned()
    }

    /// Closes the connection, as after an error.
    pub(crate) async fn lose(&mut self) {
        let connection = self.take_connection().await.unwrap();
        self.discard(connection).await;
    }

    /// Leaves no room in the file, until something fails and the connection is opened
    /// again.
    pub(crate) async fn fill(&mut self) {
        let mut connection = self.take_connection().await.unwrap();
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut connection).await.unwrap();
        self.tables.give_back(connection);
    }
}
