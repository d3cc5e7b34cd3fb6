//! Other acceptors, on request.

use anyhow::{Result, ensure};
use tests::harness::cluster::{Cluster, Size};

use super::command::Synod;
use crate::synod;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptors_are_changed_by_name_and_by_address_and_refusals_have_a_code() -> Result<()> {
    let cluster = Cluster::start(synod(), Size::default(), &[]).await?;
    let synod = Synod::at(cluster.front());
    let [first, second, third] =
        ["acceptor-1", "acceptor-2", "acceptor-3"].map(|name| cluster.url(name));

    let nobody = "http://127.0.0.1:9";
    synod
        .run(&["acceptors", "replace", "acceptor-3", nobody])
        .await?
        .with(7, "not an acceptor of Synod")?;
    synod.run(&["acceptors", "replace", "acceptor-9", nobody]).await?.with(3, "acceptor-9")?;
    synod.run(&["acceptors", "set", first, second]).await?.with(7, "odd number")?;
    let same = synod.text(&["acceptors", "set", first, second, third]).await?;
    ensure!(same.trim() == format!("{first},{second},{third}\t0"), "{same}");
    synod.run(&["acceptors", "set", first]).await?.with(1, "say --yes to have only one")?;
    let one = synod.json(&["acceptors", "set", first, "--yes"]).await?;
    ensure!(one[0]["generation"] == 1 && one[0]["acceptors"][0] == first, "{one:?}");
    Ok(())
}
