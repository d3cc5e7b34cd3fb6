//! What is waited for.

use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Cluster;

/// The longest that any condition is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    /// The name of the active primary, once there is one: of the latest view that any replica has
    /// executed. A primary that has been replaced says that it is one until it knows better.
    ///
    /// # Errors
    /// When there is none for [`PATIENCE`].
    pub async fn primary(&self) -> Result<String> {
        eventually("a replica is the primary of the latest view", || async {
            let mut latest = None;
            for name in self.names("replica") {
                let Ok(status) = self.json(&name, "/v1/status").await else { continue };
                let primary = (status["role"] == "primary").then_some(name);
                latest = latest.max(Some((status["epoch"].as_u64(), primary)));
            }
            latest.and_then(|(_, primary)| primary).context("none is")
        })
        .await
    }

    /// The name of the leading coordinator, once there is one.
    ///
    /// # Errors
    /// When there is none for [`PATIENCE`].
    pub async fn leader(&self) -> Result<String> {
        eventually("a coordinator leads", || async {
            for name in self.names("coordinator") {
                if let Ok(status) = self.json(&name, "/v1/status").await
                    && status["phase"] == "phase2"
                {
                    return Ok(name);
                }
            }
            bail!("none does")
        })
        .await
    }

    /// Waits until every service has started and found the others: a cluster serves long
    /// before. A backup that knows no primary refuses mutations, and a balancer that knows
    /// none sends them to backups.
    ///
    /// # Errors
    /// When that takes longer than [`PATIENCE`]; with what every service printed last.
    pub async fn wait_until_whole(&self) -> Result<()> {
        let whole = eventually("every service knows the others", || async {
            for name in self.all() {
                self.json(&name, "/v1/status").await?;
            }
            let replicas = self.names("replica").len();
            let primary = self.primary().await?;
            let view = self.json(&primary, "/v1/status").await?["view"].clone();
            ensure!(
                view["backups"].as_array().map(|backups| backups.len() + 1) == Some(replicas),
                "the view is {view}"
            );
            let balancer = self.json("balancer-1", "/v1/status").await?;
            ensure!(
                balancer["primary"] == primary.as_str() && balancer["healthy"] == replicas,
                "{balancer}"
            );
            Ok(())
        })
        .await;
        whole.with_context(|| self.last_words())?;
        for replica in self.names("replica") {
            self.wait_until_serving_at(&replica).await?;
        }
        self.wait_until_serving().await
    }

    /// Waits until a write through the balancer is acknowledged.
    ///
    /// # Errors
    /// When that takes longer than [`PATIENCE`]; with what every service printed last.
    pub async fn wait_until_serving(&self) -> Result<()> {
        self.wait_until_serving_at("balancer-1").await
    }

    /// Waits until a write at a service is acknowledged, if need be after it was
    /// forwarded.
    ///
    /// # Errors
    /// When that takes longer than [`PATIENCE`]; with what every service printed last.
    pub async fn wait_until_serving_at(&self, name: &str) -> Result<()> {
        let url = format!("{}/v1/kv/harness/ready", self.url(name));
        let outcome = eventually("a write is acknowledged", || async {
            let response = self.http.put(&url).body("ready").send().await?;
            ensure!(
                response.status().is_success(),
                "{}: {}",
                response.status(),
                response.text().await?
            );
            Ok(())
        })
        .await;
        outcome.with_context(|| self.last_words())
    }

    /// Waits until every replica has executed the same slots with the same hash, no fewer than
    /// were acknowledged before, and gives that hash. What statuses tell is a moment behind
    /// answers, so they may all be equal in an earlier state.
    ///
    /// # Errors
    /// When that takes longer than [`PATIENCE`].
    pub async fn wait_until_equal(&self) -> Result<String> {
        let outcome = eventually("all replicas have executed the same log", || async {
            let mut seen = Vec::new();
            let replicas = self.names("replica");
            let asked = replicas.first().context("no replicas")?;
            let present = &self.json(asked, "/v1/kv?limit=1").await?["revision"];
            let present = present.as_u64().context("a read tells its revision")?;
            for name in replicas {
                let status = self.json(&name, "/v1/status").await?;
                let hash =
                    status["hash"].as_str().with_context(|| format!("no hash in {status}"))?;
                seen.push((
                    status["executed_slot"].clone(),
                    status["revision"].clone(),
                    hash.to_owned(),
                ));
            }
            let first = seen.first().context("no replicas")?;
            ensure!(seen.iter().all(|other| other == first), "replicas differ: {seen:?}");
            ensure!(
                first.1.as_u64().is_some_and(|revision| revision >= present),
                "revision {present} was read, and {seen:?} is told"
            );
            Ok(first.2.clone())
        })
        .await;
        outcome.with_context(|| self.last_words())
    }
}

/// Tries until it succeeds.
///
/// # Errors
/// The last failure, when [`PATIENCE`] is over.
pub async fn eventually<T, F, Fut>(what: &str, mut attempt: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let started = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if started.elapsed() > PATIENCE => {
                return Err(error.context(format!("not within {PATIENCE:?}: {what}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Waits until a number is reached, however long that takes as long as it gets on.
///
/// # Errors
/// When it has not for [`PATIENCE`].
pub async fn until_reached(
    what: &str,
    wanted: usize,
    number: impl AsyncFn() -> usize,
) -> Result<()> {
    let (mut seen, mut since) = (number().await, Instant::now());
    while seen < wanted {
        ensure!(
            since.elapsed() < PATIENCE,
            "no more within {PATIENCE:?}: {seen} of {wanted} {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
        let now = number().await;
        if now > seen {
            (seen, since) = (now, Instant::now());
        }
    }
    Ok(())
}
