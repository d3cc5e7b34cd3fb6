//! The console on a phone, in dark and in light, without motion, and by the keyboard alone.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tests::harness::cluster::{Cluster, eventually};

use super::browser::{Browser, ENTER, ESCAPE, TAB};
use super::{SCRIPT, put, value};

/// What is wrong with how a page looks.
const LOOKS: &str = include_str!("looks.js");

/// How often Tab is pressed before something counts as out of reach.
const MOST_TABS: usize = 90;

/// Every view fits a phone and can be read and hit there, whatever the colours.
pub(super) async fn fits_a_phone(browser: &Browser, ui: &str) -> Result<()> {
    let phone = json!({"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": true});
    browser.devtools("Emulation.setDeviceMetricsOverride", phone).await?;
    looks_well(browser, ui).await.context("on a phone")?;
    browser.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await?;
    looks_well(browser, ui).await.context("on a desktop")
}

async fn looks_well(browser: &Browser, ui: &str) -> Result<()> {
    let hrefs = "return [...document.querySelectorAll('#nav a')].map((a) => a.hash)";
    browser.go(ui).await?;
    let views = browser.run(hrefs, vec![]).await?;
    let views = views.as_array().context("a menu")?.iter().filter_map(Value::as_str);
    let mut views: Vec<&str> = views.collect();
    ensure!(views.len() > 8, "{views:?}");
    views.extend([
        "#/cluster?service=balancer-1",
        "#/keys?prefix=hostile%2F&key=hostile%2Fbytes",
        "#/keys?new=1",
        "#/log?slot=0",
        "#/rollback",
    ]);
    for (colours, ground) in [("dark", "rgb(14, 19, 27)"), ("light", "rgb(245, 246, 249)")] {
        prefers(browser, "prefers-color-scheme", colours).await?;
        for view in &views {
            browser.go(&format!("{ui}{view}")).await?;
            browser.says("#health", &["up"]).await?;
            let what = format!("{view} looks well in {colours}");
            eventually(&what, || async {
                let wrong = browser.run(LOOKS, vec![]).await?;
                ensure!(wrong == json!([]), "{wrong:#}");
                Ok(())
            })
            .await?;
            let shown = "return getComputedStyle(document.body).backgroundColor";
            ensure!(browser.run(shown, vec![]).await? == ground, "{view} is not {colours}");
        }
    }
    Ok(())
}

async fn prefers(browser: &Browser, feature: &str, value: &str) -> Result<()> {
    let features = json!({"features": [{"name": feature, "value": value}]});
    browser.devtools("Emulation.setEmulatedMedia", features).await
}

/// A write is seen to go its way, but not by whoever wants no motion.
pub(super) async fn moves_only_where_wanted(
    cluster: &Cluster,
    browser: &Browser,
    ui: &str,
) -> Result<()> {
    let watch = "[window.moved, window.answers] = [0, 0];
        new MutationObserver((changes) => {
            for (const { addedNodes } of changes)
                for (const node of addedNodes)
                    if (node.matches?.('.message.log')) window.moved += 1;
        }).observe(document.querySelector('.picture'), { childList: true, subtree: true });
        new MutationObserver(() => { window.answers += 1; })
            .observe(document.querySelector('#tile-revision'), { childList: true });";
    for (motion, moves) in [("reduce", false), ("no-preference", true)] {
        prefers(browser, "prefers-reduced-motion", motion).await?;
        browser.go(&format!("{ui}#/members")).await?;
        browser.go(&format!("{ui}#/cluster")).await?;
        browser.says("#tile-up", &["9 of 9"]).await?;
        browser.run(watch, vec![]).await?;
        // Each other revision that is shown is an answer: by the third, two were compared.
        eventually("writes are shown", || async {
            put(cluster, "moved", "x").await?;
            let seen = browser.run("return [window.answers, window.moved]", vec![]).await?;
            ensure!(seen[0].as_u64() > Some(2), "{seen}");
            let is_moved = seen[1].as_u64() > Some(0);
            ensure!(is_moved == moves, "with {motion}, something moves: {is_moved}");
            Ok(())
        })
        .await?;
    }
    browser.says("[data-id='acceptor-1']", &["disk", " ms"]).await?;
    let acceptor = cluster.json("acceptor-1", "/v1/status").await?;
    ensure!(acceptor["syncs"].as_u64() > Some(0), "{acceptor}");
    let told = &cluster.json("balancer-1", "/v1/cluster").await?["acceptors"][0];
    ensure!(told["sync_us"].as_u64() > Some(0), "{told}");
    Ok(())
}

/// Presses Tab until what a selector names has the focus, which is always seen.
async fn tab_to(browser: &Browser, selector: &str) -> Result<()> {
    let asked = "const at = document.activeElement, style = getComputedStyle(at);
        const outline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0;
        const box = at.querySelector(':scope > rect');
        const isSeen = outline || (box && parseFloat(getComputedStyle(box).strokeWidth) > 2);
        const isPage = at === document.body;
        return [at.matches(arguments[0]), isSeen || isPage, at.outerHTML.slice(0, 200)]";
    for _ in 0..MOST_TABS {
        browser.type_keys(TAB).await?;
        let at = browser.run(asked, vec![json!(selector)]).await?;
        ensure!(at[1] == true, "the focus is not seen at {}", at[2]);
        if at[0] == true {
            return Ok(());
        }
    }
    anyhow::bail!("{selector} is out of reach by Tab")
}

/// Everything that a mouse does is done by keys.
pub(super) async fn works_by_keyboard(
    cluster: &Cluster,
    browser: &Browser,
    ui: &str,
) -> Result<()> {
    browser.go(&format!("{ui}?by=keys#/cluster")).await?;
    browser.says("#tile-up", &["9 of 9"]).await?;
    tab_to(browser, ".skip").await?;
    browser.type_keys(ENTER).await?;
    // Past the menu: the next are the numbers of the cluster, each with its sentence.
    tab_to(browser, ".tile").await?;
    browser.says(".tile:focus .tip", &["The coordinator that proposes"]).await?;
    tab_to(browser, "[data-id='acceptor-3']").await?;
    browser.type_keys(" ").await?;
    browser.says(".panel", &["acceptor-3", "(fsync)"]).await?;

    browser.go(&format!("{ui}?by=keys#/events")).await?;
    tab_to(browser, "#nav [data-view='keys']").await?;
    browser.type_keys(ENTER).await?;
    browser.says(".list", &["shown, as of revision"]).await?;
    tab_to(browser, ".actions .primary").await?;
    browser.type_keys(ENTER).await?;
    browser.says(".editor", &["Key", "Value"]).await?;
    browser.type_keys("typed/key").await?;
    browser.type_keys(TAB).await?;
    browser.type_keys("by keys").await?;
    tab_to(browser, "#save").await?;
    browser.type_keys(ENTER).await?;
    browser.says(".side .value", &["by keys"]).await?;
    ensure!(value(cluster, "typed/key").await?.as_deref() == Some("by keys"));

    tab_to(browser, "#delete").await?;
    browser.type_keys(ENTER).await?;
    browser.says("dialog", &["Delete this key?"]).await?;
    browser.type_keys(ESCAPE).await?;
    let is_back = "return document.activeElement.id";
    eventually("the focus is where it was", || async {
        let at = browser.run(is_back, vec![]).await?;
        ensure!(at == "delete", "{at}");
        Ok(())
    })
    .await?;
    browser.type_keys(ENTER).await?;
    tab_to(browser, "#confirm").await?;
    browser.type_keys(ENTER).await?;
    browser.says(".side", &["no such key"]).await?;
    ensure!(value(cluster, "typed/key").await?.is_none());
    Ok(())
}

/// Who joins is told how, and other acceptors are told of whole, as text.
pub(super) async fn says_how_members_change(
    cluster: &Cluster,
    browser: &Browser,
    ui: &str,
) -> Result<()> {
    browser.go(&format!("{ui}#/members")).await?;
    let urls: Vec<&str> = ["acceptor-1", "acceptor-2", "acceptor-3"]
        .iter()
        .map(|acceptor| cluster.url(acceptor))
        .collect();
    let acceptors = format!("--acceptors {}", urls.join(","));
    browser.says("#join", &["synod replica --id replica-4", &acceptors, "--data-dir"]).await?;
    let row = "const [event, place] = [arguments[0], document.createElement('table')];
        place.id = 'told';
        document.body.append(place);
        return import('/ui/events.js').then(({ row }) => { place.append(row(event)); })";
    let event = json!({"type": "roster", "data": {
        "cluster_id": "00aa", "generation": 2, "slot": 77, "acceptors": ["http://a:1", SCRIPT],
    }});
    browser.run(row, vec![event]).await?;
    let said = ["generation 2", "slot 77", "http://a:1, <img src=x onerror=", "cluster 00aa"];
    browser.says("#told", &said).await?;
    ensure!(browser.run("return window.ran ?? null", vec![]).await? == Value::Null, "it ran");
    Ok(())
}
