//! Many requests on one connection: what the side that asks and the one that answers do for
//! each other, each against frames written by hand, and both together.
#![expect(clippy::disallowed_methods, reason = "tests start tasks and read the clock")]

mod asking;
mod by_hand;
mod server;
mod together;

use std::time::Duration;

/// No test waits longer for anything.
const PATIENCE: Duration = Duration::from_secs(10);

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}: not in time"));
}
