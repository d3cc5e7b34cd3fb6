//! `synod watch`.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tests::harness::cluster::{Cluster, Size, eventually};

use super::command::Synod;
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_tells_what_is_there_and_what_follows_until_it_has_told_enough() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let a = synod.text(&["put", "w/a", "1"]).await?.trim().to_owned();
    let args = ["watch", "w/", "--snapshot", "--count", "4"];
    let watch = synod.command(&args).stdout(Stdio::piped()).spawn()?;
    eventually("it watches", || async {
        let mut watches = 0;
        for replica in cluster.names("replica") {
            let status = cluster.json(&replica, "/v1/status").await?;
            watches += status["watches"].as_u64().unwrap_or(0);
        }
        ensure!(watches == 1, "{watches} watch");
        Ok(())
    })
    .await?;
    let b = synod.text(&["put", "w/b", "2"]).await?.trim().to_owned();
    synod.text(&["put", "elsewhere", "3"]).await?;
    let gone = synod.json(&["delete", "w/a"]).await?[0]["revision"].to_string();
    let told = watch.wait_with_output().await?;
    ensure!(told.status.success(), "{told:?}");
    let told = String::from_utf8(told.stdout)?;
    let lines = [
        format!("put\t{a}\tw/a\n"),
        format!("synced\t{a}\n"),
        format!("put\t{b}\tw/b\n"),
        format!("delete\t{gone}\tw/a\n"),
    ];
    ensure!(told == lines.concat(), "{told}");

    let events = synod.json(&["watch", "--key", "w/b", "--from", "1", "--count", "1"]).await?;
    let id = b.parse::<u64>()?;
    ensure!(events[0]["event"] == "put" && events[0]["id"] == id, "{events:?}");
    ensure!(events[0]["data"]["value"] == "2", "{events:?}");
    synod.run(&["watch", "--from", "99999"]).await?.with(1, "400")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_run_for_each_event_and_ends_the_watch_where_it_fails() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let value: Vec<u8> = (0..=255).collect();
    synod.feed(&["put", "x/a"], &value).await?.with(0, "")?;
    synod.text(&["put", "x/b", "fail"]).await?;
    let b = synod.text(&["put", "x/b", "fail again"]).await?.trim().to_owned();
    synod.text(&["delete", "x/a"]).await?;

    let told = cluster.dir().join("told");
    let script = format!(
        "printf '%s %s\\n' $SYNOD_EVENT \"$SYNOD_EVENT_KEY\" >>'{0}'; cat >'{0}.value'; \
         printf '%s' \"$SYNOD_EVENT_JSON\" >'{0}.json'; ! grep -q again '{0}.value'",
        told.display()
    );
    let watch = ["watch", "x/", "--from", "1", "--count", "4", "--exec", &script];
    let ended = synod.run(&watch).await?.with(1, "hint: ")?;
    let before = b.parse::<u64>()? - 1;
    ensure!(ended.stderr.contains(&format!("--from {b}")), "{before} is told: {ended:?}");
    let lines = std::fs::read_to_string(&told)?;
    ensure!(lines == "put x/a\nput x/b\nput x/b\n", "{lines}");

    let rest = [&watch[..3], &[&b, "--count", "2", "--exec", &script, "--keep-going"]].concat();
    synod.run(&rest).await?.with(0, "ended with 1")?;
    ensure!(std::fs::read_to_string(&told)?.ends_with("put x/b\ndelete x/a\n"));
    let first = ["watch", "x/", "--from", "1", "--count", "1", "--exec", &script];
    synod.text(&first).await?;
    ensure!(std::fs::read(format!("{}.value", told.display()))? == value, "the bytes as they are");
    let json: Value = serde_json::from_slice(&std::fs::read(format!("{}.json", told.display()))?)?;
    let data = json["data"].as_object().context("no data")?;
    ensure!(data["key"] == "x/a" && !data.contains_key("value"), "{json}");
    Ok(())
}
