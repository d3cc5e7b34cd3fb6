//! Disks of 8 MB that fill up and are freed: services refuse what they can't keep, go on
//! reading, and heal by themselves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use serde_json::Value;
use tests::harness::cluster::{Cluster, Options, eventually};
use tests::harness::disk::SmallDisk;
use tests::harness::mix::Shape;
use tests::harness::recorder::Ask;
use tests::operations::{Call, Guard};

use crate::scenario::Scenario;

const MEBIBYTES: u64 = 8;
/// How long the disks stay full.
const FULL: Duration = Duration::from_secs(3);
/// A service with a full disk has tried again by then, and again.
const SEVERAL_ATTEMPTS: Duration = Duration::from_millis(700);

fn disks(number: usize) -> Result<Option<Vec<SmallDisk>>> {
    (0..number).map(|_| SmallDisk::mount(MEBIBYTES)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptors_whose_disks_fill_up_refuse_votes_and_heal() -> Result<()> {
    let Some(disks) = disks(2)? else { return Ok(()) };
    let folders = [disks[0].folder("acceptor-1"), disks[1].folder("acceptor-2")];
    let options = Options {
        data_dirs: &[("acceptor-1", &folders[0]), ("acceptor-2", &folders[1])],
        args: &[("acceptor-1", &["--segment-mib", "1"]), ("acceptor-2", &["--segment-mib", "1"])],
        ..Options::default()
    };
    // Values of many kilobytes, so that a segment is full in seconds.
    let shape = Shape { value_bytes: 6_000, ..Shape::default() };
    Scenario::run("full acceptors", &options, shape, async |scenario| {
        let pids = [
            scenario.cluster.service("acceptor-1").pid()?,
            scenario.cluster.service("acceptor-2").pid()?,
        ];
        fills_up(scenario, &disks[0], "acceptor-1", "no space left").await?;
        let disk = std::slice::from_ref(&disks[0]);
        tokio::select! {
            outcome = says_of_its_disk(&scenario.cluster, "acceptor-1", "full") => outcome?,
            outcome = keep_full(disk) => outcome?,
        }
        scenario.mix.wait_for_progress(100).await.context("two acceptors are left")?;
        fills_up(scenario, &disks[1], "acceptor-2", "no space left").await?;
        tokio::select! {
            outcome = reads_go_on_and_mutations_do_not(scenario) => outcome?,
            outcome = keep_full(&disks) => outcome?,
        }
        scenario.cluster.service("acceptor-1").kill()?;
        scenario.cluster.service("acceptor-1").start()?;
        tokio::time::sleep(FULL).await;
        disks.iter().try_for_each(SmallDisk::free)?;
        scenario.mix.wait_for_progress(300).await.context("the disks have space again")?;
        ensure!(
            scenario.cluster.service("acceptor-2").pid()? == pids[1],
            "acceptor-2 was never restarted"
        );
        for name in ["acceptor-1", "acceptor-2"] {
            says_of_its_disk(&scenario.cluster, name, "writable").await?;
        }
        scenario.mix.check()
    })
    .await
}

/// In its status, in that of the cluster, and as a warning of its readiness.
async fn says_of_its_disk(cluster: &Cluster, name: &str, storage: &str) -> Result<()> {
    eventually(&format!("{name} says that its disk is {storage}"), || async {
        let status = cluster.json(name, "/v1/status").await?;
        ensure!(status["storage"] == storage, "{status}");
        let shown = cluster.json("replica-1", "/v1/cluster").await?;
        let is_it = |one: &&Value| one["id"] == name && one["storage"] == storage;
        ensure!(shown["acceptors"].as_array().is_some_and(|all| all.iter().any(|one| is_it(&one))));
        let ready = cluster.http().get(format!("{}/readyz", cluster.url(name))).send().await?;
        let (code, text) = (ready.status(), ready.text().await?);
        let warns = text.contains("warning: storage: the disk is full");
        ensure!(code == 200 && warns == (storage == "full"), "{code} {text}");
        Ok(())
    })
    .await
}

/// Takes what trimming gives back, at once; does not end by itself.
async fn keep_full(disks: &[SmallDisk]) -> Result<()> {
    loop {
        disks.iter().try_for_each(|disk| disk.fill(0))?;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// What a leader says of two full acceptors.
const NO_ROOM: &str = "2 acceptors have no room";

async fn reads_go_on_and_mutations_do_not(scenario: &Scenario) -> Result<()> {
    let cluster = &scenario.cluster;
    eventually("the leader names two full acceptors", || async {
        let status = cluster.json(&cluster.leader().await?, "/v1/status").await?;
        ensure!(status["full_acceptors"] == 2, "full are {}", status["full_acceptors"]);
        Ok(())
    })
    .await?;
    eventually("those who wait for the acceptors hear so", || async {
        let reason = refusal(cluster).await?;
        ensure!(reason.as_ref().is_some_and(|reason| reason.contains(NO_ROOM)), "heard {reason:?}");
        Ok(())
    })
    .await?;
    let until = scenario.recorder.now() + FULL;
    let (mut asked, mut refused, mut named) = (0, 0, 0);
    while scenario.recorder.now() < until {
        let read = scenario.recorder.perform(Ask::at(cluster.front()), Call::read("hot/0")).await?;
        ensure!(read.is_answered(), "reads go on while disks are full: {read:?}");
        asked += 1;
        if let Some(reason) = refusal(cluster).await? {
            refused += 1;
            named += usize::from(reason.contains(NO_ROOM));
        }
    }
    println!(
        "  {refused} of {asked} mutations refused while two of three acceptors are full, {named} \
         with the reason"
    );
    // A segment that is given back may be had again before its space is taken.
    ensure!(
        2 * refused > asked,
        "only {refused} of {asked} mutations were refused while two of three acceptors are full"
    );
    ensure!(
        2 * named > refused,
        "only {named} of {refused} refused mutations heard that the acceptors are full"
    );
    Ok(())
}

/// Asks for a mutation; the reason why it is not acknowledged, if it is not. A quorum
/// answers and a coordinator leads, so it is the limit that the leader meets, or (a vote
/// on its way to a disk that fills up) that it took too long.
async fn refusal(cluster: &Cluster) -> Result<Option<String>> {
    let url = format!("{}/v1/kv/harness/full", cluster.front());
    let response =
        cluster.http().put(url).header("synod-timeout", "500ms").body("more").send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(None);
    }
    let problem: Value = response.json().await?;
    let is_known = match problem["outcome"].as_str() {
        Some("unknown") => status == StatusCode::GATEWAY_TIMEOUT,
        Some("not_applied") => {
            matches!(status, StatusCode::GATEWAY_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE)
        }
        Some(_) | None => false,
    };
    ensure!(is_known, "while acceptors are full, {status} {problem}");
    Ok(Some(problem["detail"].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn replicas_whose_disks_fill_up_refuse_mutations_read_on_and_heal() -> Result<()> {
    let Some(disks) = disks(3)? else { return Ok(()) };
    let names = ["replica-1", "replica-2", "replica-3"];
    let folders: Vec<_> = names.iter().zip(&disks).map(|(name, disk)| disk.folder(name)).collect();
    let data_dirs = [(names[0], &*folders[0]), (names[1], &*folders[1]), (names[2], &*folders[2])];
    let options = Options { data_dirs: &data_dirs, ..Options::default() };
    Scenario::run(
        "full replicas",
        &options,
        Shape { clients: 4, ..Shape::default() },
        async |scenario| {
            let disk_of = |name: &str| {
                names
                    .iter()
                    .position(|other| *other == name)
                    .map(|index| &disks[index])
                    .expect("a replica")
            };
            let (primary, backups) = scenario.replicas().await?;
            full_primary(scenario, &primary, &backups[0], disk_of(&primary)).await?;
            let (_, backups) = scenario.replicas().await?;
            let backup = &backups[0];
            fills_up(scenario, disk_of(backup), backup, "full").await?;
            scenario.mix.wait_for_progress(100).await.context("a full backup holds nobody up")?;
            scenario.cluster.service(backup).kill()?;
            scenario.cluster.service(backup).start()?;
            scenario
                .mix
                .wait_for_progress(100)
                .await
                .context("a full backup that was restarted holds nobody up")?;
            disk_of(backup).free()?;
            scenario.cluster.service(backup).ensure_running()?;
            scenario.mix.check()
        },
    )
    .await
}

/// Fills the primary's disk, looks at what is answered, and frees it.
async fn full_primary(
    scenario: &mut Scenario,
    primary: &str,
    backup: &str,
    disk: &SmallDisk,
) -> Result<()> {
    let pid = scenario.cluster.service(primary).pid()?;
    fills_up(scenario, disk, primary, "full").await?;
    let outcome = reads_and_refuses(scenario, primary, backup, disk).await;
    // On a busy machine it may be replaced meanwhile, and then sends mutations on.
    if scenario.replicas().await?.0 == primary {
        outcome?;
    }
    tokio::select! {
        went_on = scenario.mix.wait_for_progress(100) => {
            went_on.context("another takes over from a primary whose disk is full")?;
        }
        outcome = keep_full(std::slice::from_ref(disk)) => outcome?,
    }
    disk.free()?;
    scenario.mix.wait_for_progress(100).await.context("the primary's disk has space again")?;
    ensure!(scenario.cluster.service(primary).pid()? == pid, "{primary} was never restarted");
    Ok(())
}

/// What a primary with a full disk answers.
async fn reads_and_refuses(
    scenario: &Scenario,
    primary: &str,
    backup: &str,
    disk: &SmallDisk,
) -> Result<()> {
    stays_full(&scenario.cluster, primary, disk).await?;
    let (at_primary, at_backup) =
        (Ask::at(scenario.cluster.url(primary)), Ask::at(scenario.cluster.url(backup)));
    let recorder = &scenario.recorder;
    let local = recorder.perform(at_primary, Call::read_locally("hot/0", 0)).await?;
    ensure!(local.is_answered(), "{primary}, full, does not read: {local:?}");
    let read = recorder.perform(at_backup, Call::read("hot/0")).await?;
    ensure!(read.is_answered(), "{backup} does not read while {primary} is full: {read:?}");
    let write = recorder.put(at_primary, "hot/0", Guard::Always).await?;
    ensure!(!write.is_acknowledged(), "{primary}, full, acknowledged a write: {write:?}");
    refuses_as_full(&scenario.cluster, primary).await
}

/// Waits until a primary finds no room any more: at first it does, in the file that holds
/// the newest transactions, which it begins anew once they are in the database.
async fn stays_full(cluster: &Cluster, primary: &str, disk: &SmallDisk) -> Result<()> {
    eventually(&format!("{primary} finds no room any more"), || async {
        disk.fill(0)?;
        refuses_as_full(cluster, primary).await?;
        tokio::time::sleep(SEVERAL_ATTEMPTS).await;
        refuses_as_full(cluster, primary).await
    })
    .await
}

async fn refuses_as_full(cluster: &Cluster, primary: &str) -> Result<()> {
    let url = format!("{}/v1/kv/harness/full", cluster.url(primary));
    // Not for as long as it may wait in a batch that is being tried again and again.
    let response =
        cluster.http().put(url).header("synod-timeout", "1s").body("more").send().await?;
    let (status, problem) = (response.status(), response.text().await?);
    ensure!(
        status.is_server_error() && problem.contains("full"),
        "{primary}, full, says {status} {problem}"
    );
    Ok(())
}

/// Fills a service's disk, with what it gives back meanwhile, until its log says so. It
/// says so once, perhaps before all is taken.
async fn fills_up(
    scenario: &mut Scenario,
    disk: &SmallDisk,
    name: &str,
    words: &str,
) -> Result<()> {
    let service = scenario.cluster.service(name);
    let said_before = service.output()?.len();
    eventually(&format!("{name} says {words:?}"), || async {
        disk.fill(0)?;
        let output = service.output()?;
        ensure!(output[said_before..].contains(words), "it says {:?}", output.lines().last());
        Ok(())
    })
    .await
}
