//! Transfers between accounts by transactions, while primaries are killed: whatever is
//! taken from one account is on another, at every revision and at every replica.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size, eventually, until_reached};
use tests::random::Random;
use tokio::task::JoinSet;

use crate::synod;

const ACCOUNTS: u64 = 6;
const EACH: u64 = 100;
const CLIENTS: u64 = 6;
const KILLS: usize = 2;
/// Transfers that must be acknowledged before a kill, and again after it.
const PROGRESS: usize = 60;
/// After a transfer that failed.
const BACK_OFF: Duration = Duration::from_millis(20);

fn account(number: u64) -> String {
    format!("bank/{number}")
}

/// Moves money at one door, over and over.
struct Client {
    http: reqwest::Client,
    door: String,
    random: Random,
    transferred: Arc<AtomicUsize>,
}

impl Client {
    async fn work(mut self, stop: Arc<AtomicBool>) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            if self.transfer().await? {
                self.transferred.fetch_add(1, Ordering::Relaxed);
            } else {
                tokio::time::sleep(BACK_OFF).await;
            }
        }
        Ok(())
    }

    /// Reads two accounts in a transaction and moves money in another, guarded on what was
    /// read: by revision from one, by value to the other. False where that changed, or
    /// nobody knows.
    async fn transfer(&mut self) -> Result<bool> {
        let from = self.random.below(ACCOUNTS);
        let to = (from + 1 + self.random.below(ACCOUNTS - 1)) % ACCOUNTS;
        let keys = [account(from), account(to)];
        let read = json!({"then": keys.iter().map(|key| json!({"get": {"key": key}})).collect::<Vec<_>>()});
        let Some(said) = self.send(&read).await? else { return Ok(false) };
        let [payer, payee] = [&said["results"][0], &said["results"][1]];
        let balances = [amount(payer)?, amount(payee)?];
        let sum = self.random.between(0, balances[0]);
        let put =
            |key: &str, amount: u64| json!({"put": {"key": key, "value": amount.to_string()}});
        let pay = json!({
            "if": [
                {"key": keys[0], "revision": {"eq": payer["revision"]}},
                {"key": keys[1], "value": {"eq": payee["value"]}},
            ],
            "then": [put(&keys[0], balances[0] - sum), put(&keys[1], balances[1] + sum)],
        });
        let said = self.send(&pay).await?;
        Ok(said.is_some_and(|said| said["succeeded"] == true))
    }

    /// What is answered, if something is.
    async fn send(&self, txn: &Value) -> Result<Option<Value>> {
        let request = self.http.post(format!("{}/v1/txn", self.door)).json(txn);
        let Ok(response) = request.timeout(Duration::from_secs(5)).send().await else {
            return Ok(None);
        };
        let status = response.status();
        let Ok(said) = response.text().await else { return Ok(None) };
        if status.is_server_error() {
            return Ok(None);
        }
        ensure!(status == StatusCode::OK, "{txn}: {status}: {said}");
        Ok(Some(serde_json::from_str(&said)?))
    }
}

fn amount(item: &Value) -> Result<u64> {
    let value = item["value"].as_str().with_context(|| item.to_string())?;
    value.parse().with_context(|| item.to_string())
}

async fn open_accounts(cluster: &Cluster) -> Result<u64> {
    let put = |number| json!({"put": {"key": account(number), "value": EACH.to_string()}});
    let txn = json!({"then": (0..ACCOUNTS).map(put).collect::<Vec<_>>()});
    eventually("the accounts are open", async || {
        let request = cluster.http().post(format!("{}/v1/txn", cluster.front())).json(&txn);
        let said: Value = request.send().await?.error_for_status()?.json().await?;
        said["revision"].as_u64().with_context(|| said.to_string())
    })
    .await
}

/// What all accounts have together, as a replica shows it of a revision.
async fn total(cluster: &Cluster, replica: &str, revision: u64) -> Result<u64> {
    let path = format!("/v1/kv?prefix=bank/&revision={revision}&consistency=local");
    let page = cluster.json(replica, &path).await?;
    let items = page["items"].as_array().with_context(|| page.to_string())?;
    ensure!(items.len() as u64 == ACCOUNTS, "{page}");
    items.iter().map(amount).sum()
}

/// At each revision all accounts have together what they began with.
async fn is_always_whole(
    cluster: &Cluster,
    replica: &str,
    revisions: RangeInclusive<u64>,
) -> Result<()> {
    for revision in revisions {
        let found = total(cluster, replica, revision).await?;
        ensure!(found == ACCOUNTS * EACH, "{found} at revision {revision} of {replica}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transfers_lose_and_make_no_money_while_primaries_are_killed() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let opened = open_accounts(&cluster).await?;
    let (stop, transferred) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let client = Client {
            http: cluster.http().clone(),
            door: cluster.front().to_owned(),
            random: Random::new(7, number),
            transferred: Arc::clone(&transferred),
        };
        clients.spawn(client.work(Arc::clone(&stop)));
    }
    for _ in 0..KILLS {
        progress(&transferred).await?;
        let primary = cluster.primary().await?;
        cluster.service(&primary).kill()?;
        progress(&transferred).await?;
        cluster.service(&primary).start()?;
        cluster.wait_until_whole().await?;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended??;
    }
    cluster.wait_until_equal().await?;
    let last = cluster.json(&cluster.primary().await?, "/v1/cluster").await?["revision"]
        .as_u64()
        .context("a revision")?;
    let replicas = cluster.names("replica");
    let looked_at =
        replicas.iter().map(|replica| is_always_whole(&cluster, replica, opened..=last));
    futures::future::try_join_all(looked_at).await?;
    println!(
        "{} transfers, revisions {opened} to {last}, {KILLS} primaries killed",
        transferred.load(Ordering::Relaxed)
    );
    Ok(())
}

async fn progress(transferred: &AtomicUsize) -> Result<()> {
    let count = || transferred.load(Ordering::Relaxed);
    until_reached("transfers", count() + PROGRESS, async || count()).await
}
