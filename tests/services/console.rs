//! The console in a browser: it shows what the API says, works on keys, runs nothing of
//! what is stored, and goes on when the primary dies under it.

mod browser;
mod deaths;
mod event_source;
mod looks;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::skip::skipped;

use self::browser::{Browser, ENTER, driver, with_browser};
use crate::synod;

/// Would run if any of it became markup: as a key and as a value.
const SCRIPT: &str = "<img src=x onerror=\"window.ran=1\"><script>window.ran=1</script>";

/// A key, percent-encoded whole.
fn encoded(key: &str) -> String {
    percent_encoding::utf8_percent_encode(key, percent_encoding::NON_ALPHANUMERIC).to_string()
}

async fn put(cluster: &Cluster, key: &str, value: impl Into<Vec<u8>>) -> Result<()> {
    let url = format!("{}/v1/kv/{}", cluster.front(), encoded(key));
    let request = cluster.http().put(url).header("content-type", "text/html").body(value.into());
    let answer = request.send().await?;
    ensure!(answer.status().is_success(), "{}", answer.text().await?);
    Ok(())
}

async fn post(cluster: &Cluster, path: &str, body: &Value) -> Result<Value> {
    let answer =
        cluster.http().post(format!("{}{path}", cluster.front())).json(body).send().await?;
    ensure!(answer.status().is_success(), "{}", answer.text().await?);
    Ok(answer.json().await?)
}

/// What the API says that a key has; none where there is no such key.
async fn value(cluster: &Cluster, key: &str) -> Result<Option<String>> {
    let url = format!("{}/v1/kv/{}", cluster.front(), encoded(key));
    let answer = cluster.http().get(url).send().await?;
    if answer.status() == 404 {
        return Ok(None);
    }
    ensure!(answer.status().is_success(), "{}", answer.status());
    Ok(Some(answer.text().await?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_shows_the_cluster_and_works_on_it_and_outlives_its_primary() -> Result<()> {
    let Some(driver) = driver() else {
        return skipped("there is no chromedriver; `apt-get install chromium-driver` brings it");
    };
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    with_browser(driver, async |browser| {
        let front = cluster.front().to_owned();
        let ui = format!("{front}/ui");
        shows_the_cluster(&cluster, browser, &ui).await.context("the cluster")?;
        shows_hostile_keys_as_text(&cluster, browser, &ui).await.context("hostile keys")?;
        writes_keys(&cluster, browser, &ui).await.context("writing")?;
        shows_what_is_told(&cluster, browser, &ui).await.context("views")?;
        follows_a_write(&cluster, browser, &ui).await.context("following")?;
        moves_the_primary(&cluster, browser, &ui).await.context("another primary")?;
        drains_a_replica(&cluster, browser, &ui).await.context("draining")?;
        looks::says_how_members_change(&cluster, browser, &ui).await.context("joining")?;
        looks::moves_only_where_wanted(&cluster, browser, &ui).await.context("motion")?;
        looks::works_by_keyboard(&cluster, browser, &ui).await.context("by keyboard")?;
        looks::fits_a_phone(browser, &ui).await.context("how it looks")?;
        deaths::each_is_seen(&mut cluster, browser, &ui).await.context("others die")?;
        deaths::outlives_the_primary(&mut cluster, browser, &ui).await.context("it dies")?;
        let asked = browser.requests().await?;
        // What a browser does by itself, it does by schemes of its own.
        let is_network = |url: &&String| url.starts_with("http") || url.starts_with("ws");
        let own = format!("{front}/");
        let elsewhere: Vec<&String> =
            asked.iter().filter(is_network).filter(|url| !url.starts_with(&own)).collect();
        ensure!(elsewhere.is_empty(), "asked elsewhere: {elsewhere:?}");
        ensure!(asked.iter().any(|url| url.ends_with("/v1/cluster")), "{asked:?}");
        let complaints = browser.complaints().await?;
        ensure!(complaints.is_empty(), "{complaints:?}");
        refuses_pages_of_others(&cluster, browser).await.context("pages of others")
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_asks_with_the_token_that_the_tab_was_given() -> Result<()> {
    let Some(driver) = driver() else {
        return skipped("there is no chromedriver; `apt-get install chromium-driver` brings it");
    };
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    put(&cluster, "guarded/key", "hidden").await?;
    let url = format!("{}/v1/tokens/bootstrap", cluster.url("replica-1"));
    let made: Value = cluster.http().post(url).send().await?.json().await?;
    let secret = made["secret"].as_str().context("no secret")?;
    with_browser(driver, async |browser| {
        let ui = format!("{}/ui", cluster.front());
        browser.go(&format!("{ui}#/keys?prefix=guarded%2F")).await?;
        browser.says("main", &["Unauthorized"]).await?;
        browser.press("#token").await?;
        browser.fill("#token-form [name=token]", secret).await?;
        browser.press("#token-keep").await?;
        browser.says(".list tbody", &["guarded/key"]).await?;
        // What streams is asked for with it, too.
        browser.go(&format!("{ui}#/watch?prefix=guarded%2F")).await?;
        browser.says("#watch-state", &["live"]).await?;
        let url = format!("{}/v1/kv/guarded/key", cluster.url("replica-2"));
        let put = cluster.http().put(url).bearer_auth(secret).body("again").send().await?;
        ensure!(put.status().is_success(), "{}", put.text().await?);
        browser.says("#events", &["guarded/key", "again"]).await?;
        let bare = &secret["synod_".len()..];
        let asked = browser.requests().await?;
        let telling = asked.iter().find(|url| url.contains(bare));
        ensure!(telling.is_none(), "{telling:?}");
        tells_no_address(browser, bare).await?;
        browser.press("#token").await?;
        browser.press("#token-forget").await?;
        browser.go(&format!("{ui}#/keys?prefix=guarded%2F")).await?;
        browser.says("main", &["Unauthorized"]).await
    })
    .await
}

/// Neither the address bar nor what is behind it: the entries of the history, with their state,
/// as far as one can go back, and what the next page would be told of this one.
async fn tells_no_address(browser: &Browser, secret: &str) -> Result<()> {
    const ADDRESSES: &str = "return [location.href, document.referrer, document.URL,
        document.title, document.cookie, window.name, JSON.stringify(history.state),
        ...(window.navigation?.entries() ?? []).flatMap(
            (entry) => [entry.url, JSON.stringify(entry.getState() ?? null)]),
        ...performance.getEntries().map((entry) => entry.name)]";
    let told = browser.run(ADDRESSES, Vec::new()).await?;
    let told = told.as_array().context("no list")?;
    let is_here = |text: &Value| text.as_str().is_some_and(|text| text.contains("#/watch"));
    ensure!(told.iter().any(is_here), "{told:?}");
    let telling = told.iter().find(|text| text.to_string().contains(secret));
    ensure!(telling.is_none(), "{telling:?}");
    Ok(())
}

async fn shows_the_cluster(cluster: &Cluster, browser: &Browser, ui: &str) -> Result<()> {
    let (primary, leader) = (cluster.primary().await?, cluster.leader().await?);
    browser.go(ui).await?;
    browser.says("#tile-primary", &[&primary]).await?;
    browser.says("#tile-leader", &[&leader]).await?;
    browser.says("#tile-up", &["9 of 9"]).await?;
    for (service, word) in [(&primary, "primary"), (&leader, "leader")] {
        browser.says(&format!("[data-id='{service}'] .word"), &[word]).await?;
    }
    for service in cluster.all() {
        let node = format!("[data-id='{service}']");
        browser.says(&format!("{node} .name"), &[&service]).await?;
        // By keyboard, too.
        browser.keys(&node, ENTER).await?;
        browser.says(".panel", &[&service, cluster.url(&service)]).await?;
    }
    browser.go(&format!("{ui}#/members")).await?;
    for service in cluster.all() {
        let pid = cluster.json(&service, "/v1/status").await?["pid"].to_string();
        browser.says("main", &[&service, cluster.url(&service), &pid]).await?;
    }
    Ok(())
}

async fn shows_hostile_keys_as_text(cluster: &Cluster, browser: &Browser, ui: &str) -> Result<()> {
    let key = |name: &str| format!("hostile/{name}");
    let spelt = key("a/#?%25 & b/../c+d");
    put(cluster, &key(SCRIPT), SCRIPT).await?;
    put(cluster, &key("\u{202e}txt.exe"), "right\u{202e}left").await?;
    put(cluster, &key("\u{0}\u{1b}[31m\nline"), "x").await?;
    put(cluster, &spelt, "spelt right").await?;
    put(cluster, &key("bytes"), vec![0xff, 0xfe, 0x00]).await?;
    put(cluster, &key("large"), vec![b'x'; 1 << 20]).await?;
    browser.go(&format!("{ui}#/keys?prefix=hostile%2F")).await?;
    let list = ["hostile/<img src=x onerror=", "U+202Etxt.exe", "\\0U+001B[31m\\nline", &spelt];
    browser.says(".list tbody", &list).await?;
    for (name, text) in [
        (key(SCRIPT), SCRIPT),
        (key("\u{202e}txt.exe"), "rightU+202Eleft"),
        (spelt, "spelt right"),
        (key("bytes"), "ff fe 00"),
    ] {
        browser.go(&format!("{ui}#/keys?prefix=hostile%2F&key={}", encoded(&name))).await?;
        browser.says(".side .value", &[text]).await?;
    }
    browser.says(".side .note", &["not UTF-8"]).await?;
    browser.go(&format!("{ui}#/keys?key=hostile%2Flarge")).await?;
    browser.says(".side .note", &["1.0 MiB", "only the first"]).await?;
    ensure!(browser.run("return window.ran ?? null", vec![]).await? == Value::Null, "it ran");
    Ok(())
}

async fn writes_keys(cluster: &Cluster, browser: &Browser, ui: &str) -> Result<()> {
    let name = "mine/a b#1";
    browser.go(&format!("{ui}#/keys?prefix=mine%2F&new=1")).await?;
    browser.fill(".editor [name=key]", name).await?;
    browser.fill(".editor [name=value]", "first").await?;
    browser.press("#save").await?;
    browser.says(".side .value", &["first"]).await?;
    browser.says(".list tbody", &[name]).await?;
    ensure!(value(cluster, name).await?.as_deref() == Some("first"));

    // Somebody else writes it while it is edited.
    browser.press("#edit").await?;
    browser.fill(".editor [name=value]", "of the page").await?;
    put(cluster, name, "of somebody else").await?;
    browser.press("#save").await?;
    browser.says("#conflict", &["of the page", "of somebody else"]).await?;
    browser.says(".side", &["412", "Nothing was changed"]).await?;
    ensure!(value(cluster, name).await?.as_deref() == Some("of somebody else"));
    browser.press("#conflict ~ .bar .danger").await?;
    // The conflict has shown it before it was written.
    eventually("it is written", || async {
        let now = value(cluster, name).await?;
        ensure!(now.as_deref() == Some("of the page"), "{now:?}");
        Ok(())
    })
    .await?;
    browser.says(".side > div .value", &["of the page"]).await?;

    browser.press("#history").await?;
    browser.says(".side table", &["Value", "Difference"]).await?;
    browser.press(".side tbody tr:first-child .tight button:last-child").await?;
    browser.says(".diff .went", &["of somebody else"]).await?;
    browser.says(".diff .came", &["of the page"]).await?;

    browser.press("#slot").await?;
    browser.says("details[open] .chosen", &["put", name]).await?;

    browser.go(&format!("{ui}#/rollback?prefix=mine%2F&revision=1")).await?;
    browser.press("main form [type=submit]").await?;
    browser.says("main tbody", &[name, "deleted"]).await?;
    ensure!(value(cluster, name).await?.is_some(), "a rehearsal deletes nothing");
    browser.press("#rollback").await?;
    browser.press("#confirm").await?;
    browser.says(".done", &["1 deleted"]).await?;
    ensure!(value(cluster, name).await?.is_none());

    // A name that no path of a browser can have.
    put(cluster, "other", "stays").await?;
    browser.go(&format!("{ui}#/keys?prefix=..&new=1")).await?;
    browser.fill(".editor [name=value]", "dots").await?;
    browser.press("#save").await?;
    browser.says(".side .value", &["dots"]).await?;
    let dots = json!({"then": [{"get": {"key": ".."}}]});
    ensure!(post(cluster, "/v1/txn", &dots).await?["results"][0]["value"] == "dots");
    browser.press("#delete").await?;
    browser.press("#confirm").await?;
    browser.says(".side", &["no such key"]).await?;
    ensure!(post(cluster, "/v1/txn", &dots).await?["results"][0] == Value::Null);
    ensure!(value(cluster, "other").await?.is_some());
    Ok(())
}

async fn follows_a_write(cluster: &Cluster, browser: &Browser, ui: &str) -> Result<()> {
    browser.go(&format!("{ui}#/follow")).await?;
    browser.fill("[name=key]", SCRIPT).await?;
    browser.fill("[name=value]", "followed").await?;
    browser.keys("[name=value]", ENTER).await?;
    let steps = ["balancer.forward", "replica.batch", "acceptor.sync", "replica.execute"];
    browser.says("#way table", &steps).await?;
    browser.says("#decision", &["was chosen at ballot", "made it chosen", "acceptor-1"]).await?;
    browser.says("#instead", &["Without acceptor-1", "Without acceptor-3"]).await?;
    ensure!(value(cluster, SCRIPT).await?.as_deref() == Some("followed"));
    // From the log, by the trace of the batch.
    browser.press("#decision a").await?;
    browser.says("details[open]", &["batch"]).await?;
    browser.press("details[open] dd .trace").await?;
    browser.says("#way table", &["replica.batch", "acceptor.accept"]).await?;
    browser.go(&format!("{ui}#/follow?trace=%3Cb%3Ex")).await?;
    browser.says("#way .problem", &["32 hexadecimal digits"]).await?;
    browser.go(&format!("{ui}#/follow?trace={}", "a".repeat(32))).await?;
    browser.says("#way", &["No service holds a step of it"]).await?;
    // Live, and in whose words they are.
    browser.go(&format!("{ui}#/events")).await?;
    browser.says("#events-state", &["live"]).await?;
    let primary = cluster.primary().await?;
    browser.says("#happened", &["leader", "view", "joined", &primary]).await
}

async fn moves_the_primary(cluster: &Cluster, browser: &Browser, ui: &str) -> Result<()> {
    let primary = || async {
        let view = cluster.json("replica-1", "/v1/cluster").await?["view"]["primary"].clone();
        Ok::<_, anyhow::Error>(view.as_str().context("there is a primary")?.to_owned())
    };
    let before = primary().await?;
    let next = cluster.names("replica").into_iter().find(|name| *name != before);
    let next = next.context("there are backups")?;
    browser.go(&format!("{ui}#/members")).await?;
    browser.press(&format!("[data-primary='{next}']")).await?;
    browser.press("#confirm").await?;
    browser.says(".done", &[&format!("{next} is primary from epoch")]).await?;
    eventually("the others have executed that view", || async {
        let now = primary().await?;
        ensure!(now == next, "{now} is primary, and not {next}");
        Ok(())
    })
    .await
}

async fn drains_a_replica(cluster: &Cluster, browser: &Browser, ui: &str) -> Result<()> {
    let is_drained = async || {
        let shown = cluster.json("balancer-1", "/v1/balancer").await?;
        anyhow::Ok(shown["endpoints"][1]["operator"]["drain"] == true)
    };
    browser.go(&format!("{ui}#/members")).await?;
    browser.says("#endpoints", &["replica-2", "it is healthy and current"]).await?;
    browser.press("[data-drain='replica-2']").await?;
    ensure!(!is_drained().await?, "nobody has confirmed it");
    browser.press("#confirm").await?;
    browser.says(".done", &["replica-2 is drained"]).await?;
    browser.says("#endpoints", &["the operator has drained it"]).await?;
    ensure!(is_drained().await?);
    browser.press("[data-drain='replica-2']").await?;
    browser.press("#confirm").await?;
    browser.says(".done", &["replica-2 gets requests"]).await?;
    ensure!(!is_drained().await?);
    Ok(())
}

async fn shows_what_is_told(cluster: &Cluster, browser: &Browser, ui: &str) -> Result<()> {
    let lease = post(cluster, "/v1/leases", &json!({"ttl_ms": 600_000})).await?["id"].to_string();
    let held = cluster.http().put(format!("{}/v1/locks/leader%3Cb%3E", cluster.front()));
    let held = held.body(format!("{{\"lease\":{lease}}}")).send().await?;
    ensure!(held.status().is_success(), "{}", held.text().await?);
    browser.go(&format!("{ui}#/leases")).await?;
    browser.says("main table", &["leader<b>", &lease, "nobody"]).await?;

    let slot = cluster.json("balancer-1", "/v1/log/0").await?;
    browser.go(&format!("{ui}#/log?slot=0")).await?;
    let hash = slot["hash"].as_str().context("a hash")?;
    browser.says("details[open]", &["view", hash, "primary"]).await?;

    browser.go(&format!("{ui}#/sql")).await?;
    browser
        .fill("[name=query]", "SELECT '<b>' || key AS k FROM kv WHERE key = 'hostile/bytes'")
        .await?;
    browser.press("#run").await?;
    browser.says("#result table", &["<b>hostile/bytes"]).await?;
    browser.fill("[name=query]", "DELETE FROM kv").await?;
    browser.press("#run").await?;
    browser.says("#result .problem", &["400", "cannot modify kv"]).await?;

    browser.go(&format!("{ui}#/watch?prefix=seen%2F")).await?;
    browser.says("#watch-state", &["live"]).await?;
    put(cluster, "seen/1", SCRIPT).await?;
    browser.says("#events", &["seen/1", "<script>"]).await
}

/// A replica's own page is of another origin than the balancer's.
async fn refuses_pages_of_others(cluster: &Cluster, browser: &Browser) -> Result<()> {
    let backup = cluster.names("replica");
    let mut foreign = None;
    for replica in &backup {
        if cluster.json(replica, "/v1/status").await.is_ok() {
            foreign = Some(cluster.url(replica));
        }
    }
    let foreign = foreign.context("a replica lives")?;
    for door in [cluster.front(), foreign] {
        for (name, value, status) in
            [("host", "evil.example", 421), ("sec-fetch-site", "cross-site", 403)]
        {
            let answer =
                cluster.http().get(format!("{door}/ui")).header(name, value).send().await?;
            ensure!(answer.status() == status, "{name} {value} at {door}: {}", answer.status());
        }
    }
    browser.go(&format!("{foreign}/ui")).await?;
    browser.says("#tile-up", &["8 of"]).await?;
    // The page's own policy holds for what it asks; this page has none.
    browser.go(&format!("{foreign}/livez")).await?;
    let before = cluster.json("balancer-1", "/v1/kv?limit=1").await?["revision"].clone();
    let ask = "return fetch(arguments[0] + '/v1/log', {method: 'POST', mode: 'no-cors', body: 'x'})
        .then((answer) => answer.type, (error) => String(error))";
    let heard = browser.run(ask, vec![json!(cluster.front())]).await?;
    ensure!(heard == "opaque", "it was asked, and not read: {heard}");
    let ask = "return fetch(arguments[0] + '/v1/cluster').then(() => 'read', () => 'refused')";
    let heard = browser.run(ask, vec![json!(cluster.front())]).await?;
    ensure!(heard == "refused", "{heard}");
    let after = cluster.json("balancer-1", "/v1/kv?limit=1").await?["revision"].clone();
    ensure!(before == after, "a foreign page wrote: {before}, {after}");
    Ok(())
}
