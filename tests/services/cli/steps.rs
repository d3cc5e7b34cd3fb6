//! Transactions, and what is said of the past: comparisons, SQL and the log.

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Size, eventually};
use tests::harness::ports::nobody;

use super::command::Synod;
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_is_read_from_text_and_from_json() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let claim = b"if t/owner missing\nput t/owner \"me, myself\"\nget t/owner\nelse\nget t/owner\n";
    let first = synod.feed(&["txn"], claim).await?.with(0, "")?;
    let first: serde_json::Value = serde_json::from_slice(&first.stdout)?;
    ensure!(first["succeeded"] == true && first["results"][1]["value"] == "me, myself", "{first}");
    let second = synod.feed(&["txn"], claim).await?.with(4, "")?;
    let second: serde_json::Value = serde_json::from_slice(&second.stdout)?;
    ensure!(second["succeeded"] == false && second["results"][0]["version"] == 1, "{second}");

    let printed = synod.feed(&["txn", "--print"], claim).await?.with(0, "")?;
    let file = cluster.dir().join("txn.json");
    std::fs::write(&file, &printed.stdout)?;
    let file = file.to_string_lossy();
    synod.run(&["txn", &file]).await?.with(4, "")?;
    synod.text(&["delete", "t/owner"]).await?;
    let shown = synod.terminal(&["txn", &file]).await?;
    ensure!(shown.starts_with("the guards held, at revision "), "{shown}");
    ensure!(shown.contains("\nput t/owner (version 1)\nt/owner = me, myself (rev"), "{shown}");

    let wrong = synod.feed(&["txn"], b"put t/a 1\nset t/b 2\n").await?.with(1, "line 2: ")?;
    ensure!(wrong.stderr.contains("synod help txn"), "{wrong:?}");
    synod.run(&["get", "t/a"]).await?.with(3, "")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_is_told_as_lines_tables_and_json() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let from = synod.text(&["put", "h/a", "1"]).await?.trim().to_owned();
    let to = synod.text(&["put", "h/a", "2"]).await?.trim().to_owned();
    let created = synod.text(&["put", "h/b", "new"]).await?.trim().to_owned();

    let diff = synod.text(&["diff", &from, "--prefix", "h/"]).await?;
    let expected = format!("updated\t{from}\t{to}\th/a\ncreated\t-\t{created}\th/b\n");
    ensure!(diff == expected, "{diff}");
    let shown = synod.terminal(&["diff", &from, &to, "--prefix", "h/"]).await?;
    ensure!(shown.contains(&format!("- h/a (revision {from}): 1")), "{shown}");
    let changes = synod.json(&["diff", &from, "--prefix", "h/"]).await?;
    ensure!(changes[1]["after"]["value"] == "new", "{changes:?}");
    synod.run(&["diff", "99999"]).await?.with(1, "400")?;

    let query = "SELECT key, version FROM kv WHERE key LIKE ? ORDER BY key";
    ensure!(synod.text(&["sql", query, "h/%"]).await? == "key,version\nh/a,2\nh/b,1\n");
    let shown = synod.terminal(&["sql", query, "h/%"]).await?;
    ensure!(shown.starts_with("  key  version\n  h/a        2\n"), "{shown}");
    let fed = synod.feed(&["sql", "--output", "json"], b"SELECT 1 AS one").await?.with(0, "")?;
    ensure!(fed.stdout.starts_with(br#"{"columns":["one"],"rows":[[1]],"revision":"#), "{fed:?}");
    synod.run(&["sql", "DELETE FROM kv"]).await?.with(1, "is a view")?;

    let slots = synod.json(&["log"]).await?;
    let numbers: Vec<u64> = slots.iter().filter_map(|slot| slot["slot"].as_u64()).collect();
    ensure!(numbers == (0..slots.len() as u64).collect::<Vec<_>>(), "{numbers:?}");
    ensure!(synod.json(&["log", "--from", "1", "--limit", "2"]).await? == slots[1..3], "a part");
    let shown = synod.terminal(&["log"]).await?;
    ensure!(shown.contains("\n    put h/b\n"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_verified_at_every_replica_and_a_receipt_says_where_a_write_is() -> Result<()> {
    let mut cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let first: u64 = synod.text(&["put", "r/a", "1"]).await?.trim().parse()?;
    synod.text(&["put", "r/a", "2"]).await?;
    synod.feed(&["txn"], b"put r/b 1\nput r/c 1\n").await?.with(0, "")?;
    cluster.wait_until_equal().await?;
    eventually("every replica has heard of the others", || async {
        for replica in cluster.names("replica") {
            let said = cluster.json(&replica, "/v1/cluster").await?;
            let replicas = said["replicas"].as_array().into_iter().flatten();
            ensure!(replicas.filter(|replica| replica["url"].is_string()).count() == 3, "{said}");
        }
        Ok(())
    })
    .await?;

    let verified = &synod.json(&["log", "verify"]).await?[0];
    let end = verified["to"].as_u64().unwrap_or_default();
    let replicas = verified["replicas"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(verified["from"] == 0 && replicas.len() == 3, "{verified}");
    for replica in replicas {
        ensure!(replica["found"] == "equal" && replica["to"] == end, "{verified}");
    }
    let status = cluster.json("replica-1", "/v1/status").await?;
    ensure!(end > 3 && verified["hash"] == status["hash"], "{verified} and {status}");
    let shown = synod.terminal(&["log", "verify", "--from", "2"]).await?;
    ensure!(shown.starts_with("slots 2 to ") && shown.contains(" equal"), "{shown}");

    let receipt =
        &synod.json(&["log", "receipt", "r/a", "--revision", &first.to_string()]).await?[0];
    let slot = receipt["slot"].as_u64().unwrap_or_default();
    let entry = &synod.json(&["log", "--from", &slot.to_string(), "--limit", "1"]).await?[0];
    ensure!(receipt["hash"] == entry["hash"] && entry["revision"] == first, "{receipt} {entry}");
    ensure!(receipt["commands"][0]["key"] == "r/a", "{receipt}");
    let later = &synod.json(&["log", "receipt", "r/c"]).await?[0];
    ensure!(later["slot"].as_u64() > Some(slot) && later["commands"][0]["op"] == "txn", "{later}");
    let shown = synod.terminal(&["log", "receipt", "--slot", &slot.to_string()]).await?;
    ensure!(shown.contains("\nput r/a of trace "), "{shown}");
    synod.run(&["log", "receipt", "r/none"]).await?.with(3, "r/none")?;
    synod.run(&["log", "receipt", "--slot", "99999"]).await?.with(3, "not chosen")?;

    // Two dead replicas are said to be, and the third is recomputed all the same.
    for replica in ["replica-1", "replica-2"] {
        cluster.service(replica).kill()?;
    }
    cluster.wait_until_serving().await?;
    let verified = &synod.json(&["log", "verify"]).await?[0];
    let found = |found: &str| {
        let replicas = verified["replicas"].as_array().into_iter().flatten();
        replicas.filter(|replica| replica["found"] == found).count()
    };
    ensure!(found("equal") == 1, "{verified}");
    let nobody = nobody()?;
    let unreached = format!("http://{}", nobody.local_addr()?);
    let weak = synod.run(&["log", "verify", "--replicas", &unreached]).await?.with(5, "")?;
    let weak = String::from_utf8(weak.stdout)?;
    ensure!(weak.contains("each names the hash of the one before it"), "{weak}");
    ensure!(weak.contains("could not be recomputed"), "{weak}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_appended_to_the_log_and_prefixes_are_rolled_back() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let append = ["log", "append", "entry", "--idempotency-key", "entry-1"];
    let slot = synod.text(&append).await?.trim().to_owned();
    ensure!(synod.text(&append).await?.trim() == slot, "a repeat gets the first slot");
    let entry = &synod.json(&["log", "--from", &slot, "--limit", "1"]).await?[0];
    ensure!(entry["commands"][0]["op"] == "append", "{entry}");
    ensure!(entry["commands"][0]["value"] == "entry", "{entry}");
    let fed = synod.feed(&["log", "append", "--output", "json"], b"\x00\xff").await?.with(0, "")?;
    ensure!(fed.stdout.starts_with(br#"{"slot":"#), "{fed:?}");

    synod.text(&["put", "u/kept", "1"]).await?;
    let at = synod.text(&["put", "u/changed", "before"]).await?.trim().to_owned();
    synod.text(&["put", "u/changed", "after"]).await?;
    synod.text(&["put", "u/new", "1"]).await?;
    let dry = ["rollback", "u/", &at, "--dry-run"];
    ensure!(synod.text(&dry).await? == "restored\tu/changed\ndeleted\tu/new\n");
    ensure!(synod.json(&dry).await?[0]["restored"] == 1);
    ensure!(synod.text(&["get", "u/changed"]).await? == "after", "nothing was changed yet");
    ensure!(synod.text(&["rollback", "u/", &at]).await? == "1\t1\n");
    ensure!(synod.text(&["get", "u/changed"]).await? == "before");
    ensure!(synod.text(&["list", "u/"]).await? == "u/changed\nu/kept\n");
    synod.run(&["rollback", "u/", "99999"]).await?.with(1, "yet to come")?;
    Ok(())
}

#[tokio::test]
async fn shells_complete_every_verb() -> Result<()> {
    let synod = Synod::at("http://127.0.0.1:1");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = synod.text(&["completions", shell]).await?;
        for verb in ["get", "put", "delete", "list", "watch", "txn", "diff", "sql", "log"] {
            ensure!(script.contains(verb), "{shell} does not know {verb}");
        }
    }
    Ok(())
}
