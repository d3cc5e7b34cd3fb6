//! Verbs of keys.

use anyhow::{Result, ensure};
use serde_json::json;
use tests::harness::cluster::{Cluster, Size};

use super::command::Synod;
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_written_read_listed_and_deleted_by_scripts() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let first: u64 = synod.text(&["put", "k/a", "one"]).await?.trim().parse()?;
    let put = synod.json(&["put", "k/a", "two", "--content-type", "text/plain"]).await?;
    let second = put[0]["revision"].as_u64().unwrap_or_default();
    ensure!(
        put == [json!({"key": "k/a", "revision": second, "created_revision": first,
        "version": 2})],
        "{put:?}"
    );
    ensure!(second > first, "{put:?}");

    ensure!(synod.text(&["get", "k/a"]).await? == "two");
    let at = first.to_string();
    ensure!(synod.text(&["get", "k/a", "--revision", &at]).await? == "one");
    // A local read may be behind.
    cluster.wait_until_equal().await?;
    ensure!(synod.text(&["get", "k/a", "--local"]).await? == "two");
    let item = &synod.json(&["get", "k/a"]).await?[0];
    ensure!(
        *item
            == json!({"key": "k/a", "value": "two", "encoding": "utf8",
        "content_type": "text/plain", "revision": second, "created_revision": first,
        "version": 2, "lease": null}),
        "{item}"
    );

    let at = second.to_string();
    let swap = ["put", "k/a", "three", "--if-revision"];
    synod.text(&[&swap[..], &[&at]].concat()).await?;
    let late = synod.run(&[&swap[..], &[&at]].concat()).await?.with(4, "412")?;
    ensure!(late.stderr.contains("hint: ") && late.stdout.is_empty(), "{late:?}");
    synod.run(&["put", "k/a", "x", "--if-absent"]).await?.with(4, "412")?;
    synod.run(&["delete", "k/a", "--if-revision", "1"]).await?.with(4, "412")?;
    synod.run(&["get", "k/none"]).await?.with(3, "k/none")?;
    synod.run(&["get", "k/a", "--revision", "99999"]).await?.with(1, "future")?;
    synod.run(&["get"]).await?.with(2, "Usage")?;
    synod.run(&["get", ".."]).await?.with(1, "cannot be said in a URL")?;

    let once = ["put", "k/once", "1", "--idempotency-key", "the-same"];
    let revision = synod.text(&once).await?;
    ensure!(synod.text(&once).await? == revision, "a repeat gets the first answer");
    let other = ["put", "k/once", "2", "--idempotency-key", "the-same"];
    synod.run(&other).await?.with(1, "take another one")?;

    ensure!(synod.text(&["list", "k/"]).await? == "k/a\nk/once\n");
    ensure!(synod.text(&["list", "k/", "--reverse"]).await? == "k/once\nk/a\n");
    let long = synod.text(&["list", "k/a", "--long"]).await?;
    ensure!(long.ends_with("\t3\tapplication/octet-stream\tk/a\n"), "{long}");
    let items = synod.json(&["list", "k/", "--values"]).await?;
    ensure!(items[0]["value"] == "three" && items[1]["key"] == "k/once", "{items:?}");

    ensure!(synod.text(&["delete", "k/once"]).await? == "1\n");
    ensure!(synod.text(&["delete", "k/once"]).await? == "0\n");
    ensure!(synod.json(&["delete", "--prefix", "k/"]).await?[0]["deleted"] == 1);
    ensure!(synod.text(&["list", "k/"]).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_gets_the_bytes_and_a_terminal_what_it_can_show() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let put = synod.feed(&["put", "b/bytes"], &bytes).await?.with(0, "")?;
    ensure!(put.stdout.ends_with(b"\n"), "{put:?}");
    let file = cluster.dir().join("value");
    std::fs::write(&file, &bytes[..300])?;
    synod.text(&["put", "b/file", "--file", &file.to_string_lossy()]).await?;

    let got = synod.run(&["get", "b/bytes"]).await?.with(0, "")?;
    ensure!(got.stdout == bytes, "{} bytes are not those that were put", got.stdout.len());
    ensure!(synod.run(&["get", "b/file"]).await?.stdout == bytes[..300]);
    let shown = synod.terminal(&["get", "b/bytes"]).await?;
    ensure!(shown == "(100000 bytes that are no text: a pipe gets them as they are)\n", "{shown}");

    synod.text(&["put", "b/text", "one\n\u{1b}[2Jtwo"]).await?;
    let shown = synod.terminal(&["get", "b/text"]).await?;
    ensure!(shown == "one\n\\u{1b}[2Jtwo\n", "{shown:?}");
    let shown = synod.terminal(&["list", "b/"]).await?;
    ensure!(shown.contains("  revision  version  type "), "{shown}");
    ensure!(shown.lines().count() == 4, "{shown}");
    let shown = synod.terminal(&["put", "b/text", "2"]).await?;
    ensure!(shown.starts_with("replaced b/text at revision "), "{shown}");
    let shown = synod.terminal(&["delete", "--prefix", "b/"]).await?;
    ensure!(shown.starts_with("deleted 3 keys at revision "), "{shown}");
    ensure!(synod.terminal(&["list", "b/"]).await? == "no keys\n");
    let shown = synod.terminal(&["status"]).await?;
    ensure!(shown.contains("primary  replica-"), "{shown}");
    ensure!(synod.json(&["status"]).await?[0]["view"]["epoch"].is_u64());
    Ok(())
}
