//! Transactions: a guard on one key, and two keys written where it holds.

use http::Method;
use serde_json::json;

use super::load::Load;
use super::tally::Measured;

impl Load {
    /// Transactions.
    pub(super) async fn txn(&self) -> anyhow::Result<Measured> {
        self.fill().await?;
        let value = "x".repeat(self.value_bytes);
        let value = value.as_str();
        let requests = |client| {
            move |turn| {
                let (key, next) = (self.key(client, turn), self.key(client, turn + 1));
                let txn = json!({
                    "if": [{"key": key, "exists": true}],
                    "then": [
                        {"put": {"key": key, "value": value}},
                        {"put": {"key": next, "value": value}},
                    ],
                });
                self.json(Method::POST, "/v1/txn", &txn)
            }
        };
        self.closed_loop(requests).await
    }
}
