//! A browser's own `EventSource` on a watch: it reads what is told, and comes again with
//! `Last-Event-ID` by itself when the replica that it hears of ends.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::skip::skipped;

use super::browser::{Browser, driver, with_browser};
use super::put;
use crate::synod;

/// What was told so far, and how often the stream began.
const FOLLOW: &str = "window.told = []; window.begun = 0;
    const source = new EventSource(arguments[0]);
    source.onopen = () => { window.begun += 1; };
    source.addEventListener('synced', () => window.told.push('synced'));
    for (const kind of ['put', 'delete']) {
        source.addEventListener(kind, (event) => {
            const { key, value } = JSON.parse(event.data);
            window.told.push([kind, key, value ?? null, Number(event.lastEventId) > 0]);
        });
    }";

async fn told(browser: &Browser) -> Result<(Value, u64)> {
    let told = browser.run("return [window.told, window.begun]", vec![]).await?;
    Ok((told[0].clone(), told[1].as_u64().unwrap_or_default()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browsers_event_source_is_told_every_change_once_over_the_end_of_replicas() -> Result<()>
{
    let Some(driver) = driver() else {
        return skipped("there is no chromedriver; `apt-get install chromium-driver` brings it");
    };
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    put(&cluster, "followed/a", "before").await?;
    with_browser(driver, async |browser| {
        browser.go(&format!("{}/ui", cluster.front())).await?;
        // What is in the snapshot has no id: who is cut off in it gets another one.
        let url = "/v1/watch?prefix=followed/&snapshot=true";
        browser.run(FOLLOW, vec![json!(url)]).await?;
        let mut expected = vec![json!(["put", "followed/a", "before", false]), json!("synced")];
        for replica in cluster.names("replica") {
            is_told(browser, &expected).await?;
            cluster.service(&replica).terminate(Duration::from_secs(20))?;
            eventually("a write while it is gone", async || {
                put(&cluster, "followed/a", &*replica).await
            })
            .await?;
            expected.push(json!(["put", "followed/a", replica, true]));
            is_told(browser, &expected).await?;
            cluster.service(&replica).start()?;
            cluster.wait_until_serving_at(&replica).await?;
        }
        let url = format!("{}/v1/kv/followed%2Fa", cluster.front());
        cluster.http().delete(url).send().await?.error_for_status()?;
        expected.push(json!(["delete", "followed/a", null, true]));
        is_told(browser, &expected).await?;
        let (_, begun) = told(browser).await?;
        ensure!(begun > 1, "it never came again, though every replica has ended");
        Ok(())
    })
    .await
}

/// Waits until all of it is told, and no more.
async fn is_told(browser: &Browser, expected: &[Value]) -> Result<()> {
    eventually("all is told", async || {
        let (told, begun) = told(browser).await?;
        ensure!(told == json!(expected), "{told} after {begun} beginnings, not {expected:?}");
        Ok(())
    })
    .await
}
