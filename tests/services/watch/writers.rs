//! Changes for watchers to be told of, each made once however often it is sent.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt as _;
use tests::harness::cluster::PATIENCE;

/// How many are under way at once.
const AT_ONCE: usize = 8;
/// Before what was not acknowledged is sent again.
const RETRY_AFTER: Duration = Duration::from_millis(20);
/// How many keys are changed.
const KEYS: usize = 97;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    /// Of which key.
    pub(super) key: String,
    /// What it holds since; none where it was deleted.
    pub(super) value: Option<String>,
}

/// A change that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    /// What was changed.
    pub(super) change: Written,
    /// When its client heard of it.
    pub(super) at: Instant,
}

/// Makes so many changes of keys below `e/`, or more until there are enough, and says at which
/// revision each was made.
pub(super) async fn write(
    door: String,
    count: usize,
    enough: impl Fn() -> bool,
) -> Result<BTreeMap<u64, Acknowledged>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let numbers = (0..).take_while(|number| *number < count || !enough());
    let changes = futures::stream::iter(numbers).map(|number| {
        let (http, door) = (&http, &door);
        async move {
            let key = format!("e/{}", number % KEYS);
            let change = Written { key, value: Some(format!("value {number}")) };
            let url = format!("{door}/v1/kv/{}", change.key);
            let body = change.value.clone().unwrap_or_default();
            let put =
                http.put(&url).header("idempotency-key", format!("watch-{number}")).body(body);
            let revision = send(put).await?;
            anyhow::Ok((revision, Acknowledged { change, at: Instant::now() }))
        }
    });
    let mut written = BTreeMap::new();
    let mut changes = changes.buffer_unordered(AT_ONCE);
    while let Some(change) = changes.next().await {
        let (revision, change) = change?;
        ensure!(written.insert(revision, change).is_none(), "two changes at revision {revision}");
    }
    Ok(written)
}

/// Sends it until it is acknowledged; the revision at which it was executed.
async fn send(request: reqwest::RequestBuilder) -> Result<u64> {
    let started = Instant::now();
    loop {
        let sent = request.try_clone().context("its body is in memory")?.send().await;
        match sent {
            Ok(response) if response.status().is_success() => {
                let answer: serde_json::Value = response.json().await?;
                return answer["revision"].as_u64().context("no revision");
            }
            Ok(_) | Err(_) if started.elapsed() < PATIENCE => {
                tokio::time::sleep(RETRY_AFTER).await;
            }
            Ok(response) => anyhow::bail!("{}", response.text().await?),
            Err(error) => return Err(error.into()),
        }
    }
}
