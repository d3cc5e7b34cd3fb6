//! Transactions, and what is said of the past: comparisons, SQL and the log.

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Size};

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
