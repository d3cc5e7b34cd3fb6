//! Bits that flip and files that end too early while a service is stopped: it notices,
//! says where, and does not start; what was acknowledged is not lost.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tests::harness::cluster::{Cluster, Options, PATIENCE, eventually, until_reached};
use tests::harness::disk::{Copied, Rot, files};
use tests::harness::mix::Shape;
use tests::harness::process::Process;
use tests::harness::verify::fetch_log;

use crate::scenario::Scenario;

/// Damages of each file; each is a start of a service that fails.
const FLIPS: usize = 24;
const CUTS: usize = 8;
/// A database of so many bytes has pages in use that the WAL does not.
const CHECKPOINTED_BYTES: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_log_of_an_acceptor_is_noticed_and_named() -> Result<()> {
    let options =
        Options { args: &[("acceptor-1", &["--segment-mib", "1"])], ..Options::default() };
    let shape = Shape { value_bytes: 500, ..Shape::default() };
    Scenario::run("a damaged log", &options, shape, async |scenario| {
        loop {
            tokio::time::sleep(scenario.between(500, 2_000)).await;
            // Ended as it should: then it is known that everything up to the last mark
            // was synced.
            scenario.cluster.service("acceptor-1").terminate(PATIENCE)?;
            let segments = files(&scenario.cluster.data_dir("acceptor-1").join("log"))?;
            ensure!(!segments.is_empty(), "acceptor-1 has no segments");
            for (path, length) in segments {
                let used = used_bytes(&path)?;
                for rot in places(&mut scenario.random, used, length) {
                    is_noticed(scenario, "acceptor-1", &path, rot)?;
                }
            }
            scenario.cluster.service("acceptor-1").start()?;
            scenario.mix.check()?;
            if !scenario.goes_on() {
                break;
            }
        }
        // At the end it stays away, as an acceptor with a damaged log does; the two
        // others go on without it.
        scenario.cluster.service("acceptor-1").terminate(PATIENCE)?;
        scenario.mix.wait_for_progress(100).await
    })
    .await
}

/// Where the last frame of a segment starts: everything before it was synced and must
/// read back. It is a mark, which itself may be lost without harm.
pub(crate) fn used_bytes(path: &Path) -> Result<u64> {
    const BLOCK: usize = 64;
    let bytes = std::fs::read(path)?;
    let last = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .with_context(|| format!("{} is empty", path.display()))?;
    Ok((last / BLOCK * BLOCK) as u64)
}

fn places(random: &mut ChaCha8Rng, used: u64, length: u64) -> Vec<Rot> {
    let mut places: Vec<Rot> = (0..FLIPS)
        .map(|number| {
            // Headers are small: some of the flips are for them.
            let offset = if number % 4 == 0 {
                random.random_range(0..used.min(4_096))
            } else {
                random.random_range(0..used)
            };
            Rot::Flip { offset, bit: random.random_range(0..8) }
        })
        .collect();
    places.extend((0..CUTS).map(|_| Rot::Cut { length: random.random_range(0..length) }));
    places.push(Rot::Cut { length: 0 });
    places.push(Rot::Cut { length: length - 1 });
    places
}

/// Damages a file of a stopped service, and makes it whole again. The service must refuse
/// to start and name the file.
fn is_noticed(scenario: &mut Scenario, name: &str, path: &Path, rot: Rot) -> Result<()> {
    let copied = Copied::of(&scenario.cluster.data_dir(name))?;
    rot.befall(path)?;
    let outcome = refuses(scenario, name, path);
    copied.put_back()?;
    outcome.with_context(|| format!("{rot:?} of {}", path.display()))
}

/// Starts a service with a damaged file. It must refuse, and name the file.
pub(crate) fn refuses(scenario: &mut Scenario, name: &str, path: &Path) -> Result<()> {
    match start(scenario, name)? {
        Verdict::Ended { status, said } => is_refusal(name, path, status, &said),
        Verdict::Runs { said } => {
            scenario.cluster.service(name).kill()?;
            Err(anyhow!("{name} runs with a damaged file: {said}"))
        }
    }
}

/// What came of starting a service on damaged data, and what it said.
enum Verdict {
    Ended { status: ExitStatus, said: String },
    Runs { said: String },
}

fn start(scenario: &mut Scenario, name: &str) -> Result<Verdict> {
    let service = scenario.cluster.service(name);
    let said_before = service.output()?.len();
    service.start()?;
    let ended = wait_for_verdict(service, said_before)?;
    let said = service.output()?.split_off(said_before);
    ensure!(!said.contains("panicked"), "{name} panicked: {said}");
    Ok(match ended {
        Some(status) => Verdict::Ended { status, said },
        None => Verdict::Runs { said },
    })
}

fn is_refusal(name: &str, path: &Path, status: ExitStatus, said: &str) -> Result<()> {
    ensure!(!status.success(), "{name} ended with {status}: {said}");
    let file = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
    ensure!(said.contains(&file), "{name} does not name {file}: {said}");
    Ok(())
}

/// Waits until a service has ended, or says that it has read its data.
fn wait_for_verdict(service: &mut Process, said_before: usize) -> Result<Option<ExitStatus>> {
    let started = Instant::now();
    loop {
        if let Ok(status) = service.wait(Duration::from_millis(20)) {
            return Ok(Some(status));
        }
        let is_read = service.output()?[said_before..].contains("is opened")
            || service.output()?[said_before..].contains("is read");
        if is_read {
            return Ok(service.wait(Duration::from_millis(200)).ok());
        }
        ensure!(started.elapsed() < PATIENCE, "{} neither starts nor ends", service.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: `.ci/long` runs it"]
async fn a_damaged_database_of_a_replica_is_noticed_and_named() -> Result<()> {
    let options = Options::default();
    Scenario::run(
        "a damaged database",
        &options,
        Shape { value_bytes: 500, ..Shape::default() },
        async |scenario| {
            let (primary, backups) = scenario.replicas().await?;
            for name in [&backups[0], &primary] {
                holds_what_was_written(scenario, name).await?;
                tokio::time::sleep(scenario.between(500, 1_500)).await;
                scenario.cluster.service(name).terminate(PATIENCE)?;
                let path = database(&scenario.cluster.data_dir(name))?;
                let length = std::fs::metadata(&path)?.len();
                let places = places(&mut scenario.random, length, length);
                let (mut flips, mut cuts) = (0, 0);
                for rot in &places {
                    let noticed = is_noticed_or_harmless(scenario, name, &path, *rot).await?;
                    *(if matches!(rot, Rot::Flip { .. }) { &mut flips } else { &mut cuts }) +=
                        usize::from(noticed);
                }
                println!(
                    "  {flips} of {FLIPS} flips and {cuts} of {} cuts of {name}'s database refused",
                    places.len() - FLIPS
                );
                ensure!(
                    flips > 0 && cuts > 0,
                    "{flips} flips and {cuts} cuts were refused: the others met nothing in use"
                );
                scenario.cluster.service(name).start()?;
                scenario.mix.check()?;
            }
            damaged_wal(scenario, &backups[1]).await?;
            removed(scenario, &backups[1]).await
        },
    )
    .await
}

/// What is only in the WAL so far is nothing that the database could lose.
async fn holds_what_was_written(scenario: &mut Scenario, name: &str) -> Result<()> {
    let dir = scenario.cluster.data_dir(name);
    let bytes = async || database(&dir).map_or(0, |path| length_of(&path));
    let what = format!("bytes of the database of {name}");
    until_reached(&what, CHECKPOINTED_BYTES, bytes).await
}

/// The length of a file, 0 where there is none.
fn length_of(path: &Path) -> usize {
    std::fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).expect("64 bits"))
}

/// Not every bit of a database is in use. Where a damage is not noticed, everything that
/// the replica has must be right, at every revision and in every slot; and a state that
/// has vanished whole must be named. Says whether it was refused.
async fn is_noticed_or_harmless(
    scenario: &mut Scenario,
    name: &str,
    path: &Path,
    rot: Rot,
) -> Result<bool> {
    let copied = Copied::of(&scenario.cluster.data_dir(name))?;
    rot.befall(path)?;
    let outcome = match start(scenario, name)? {
        Verdict::Ended { status, said } => is_refusal(name, path, status, &said).map(|()| true),
        Verdict::Runs { said } => {
            let outcome = match rot {
                Rot::Cut { length: 0 } => is_named(&said, path),
                // What is cut off reads as zeros, which it may have been.
                Rot::Cut { .. } | Rot::Flip { .. } => holds_what_others_hold(scenario, name).await,
            };
            scenario.cluster.service(name).kill()?;
            outcome.map(|()| false)
        }
    };
    copied.put_back()?;
    outcome.with_context(|| format!("{rot:?} of {}", path.display()))
}

fn is_named(said: &str, path: &Path) -> Result<()> {
    ensure!(
        said.contains("WARN") && said.contains(&*path.to_string_lossy()),
        "nothing is said of {}: {said}",
        path.display()
    );
    Ok(())
}

/// Compares a replica with another: the log, and the keys at some revisions.
async fn holds_what_others_hold(scenario: &Scenario, name: &str) -> Result<()> {
    let cluster = &scenario.cluster;
    // Before, it answers no local read.
    let status = eventually("a replica has known itself current", || async {
        let status = cluster.json(name, "/v1/status").await?;
        ensure!(status["lag_ms"].is_u64(), "its lag is {}", status["lag_ms"]);
        Ok(status)
    })
    .await?;
    let revision = status["revision"].as_u64().context("a status has a revision")?;
    let other =
        cluster.names("replica").into_iter().find(|other| other != name).expect("three replicas");
    let (own_log, other_log) = (fetch_log(cluster, name).await?, fetch_log(cluster, &other).await?);
    for (own, other) in own_log.iter().zip(&other_log) {
        ensure!(
            (own.slot, &own.value) == (other.slot, &other.value),
            "slot {} is another one",
            own.slot
        );
    }
    for eighth in 1..=8 {
        let at = revision * eighth / 8;
        let (own, other) = (keys_at(cluster, name, at).await?, keys_at(cluster, &other, at).await?);
        ensure!(own == other, "at revision {at} it is {own}, and should be {other}");
    }
    Ok(())
}

async fn keys_at(cluster: &Cluster, name: &str, revision: u64) -> Result<String> {
    let url = format!("{}/v1/kv?prefix=&consistency=local&revision={revision}", cluster.url(name));
    let request = cluster
        .http()
        .get(url)
        .header("accept", "application/x-ndjson")
        .header("synod-min-revision", revision);
    Ok(request.send().await?.error_for_status()?.text().await?)
}

fn database(dir: &Path) -> Result<PathBuf> {
    let found = files(dir)?
        .into_iter()
        .find(|(path, _)| path.extension().is_some_and(|end| end == "sqlite"));
    Ok(found.with_context(|| format!("no database in {}", dir.display()))?.0)
}

/// What was executed last stands in the WAL when a replica is killed. Its end may be
/// lost, since the log is fetched again from there; but it must not be lost in part.
async fn damaged_wal(scenario: &mut Scenario, name: &str) -> Result<()> {
    tokio::time::sleep(scenario.between(2_500, 4_000)).await;
    let wal = database(&scenario.cluster.data_dir(name))?.with_extension("sqlite-wal");
    until_reached("bytes of the WAL", 1, async || length_of(&wal)).await?;
    scenario.cluster.service(name).kill()?;
    let length = std::fs::metadata(&wal).context("a replica that was killed leaves a WAL")?.len();
    for rot in places(&mut scenario.random, length, length) {
        let copied = Copied::of(&scenario.cluster.data_dir(name))?;
        rot.befall(&wal)?;
        let outcome = match start(scenario, name)? {
            Verdict::Ended { status, said } => {
                is_refusal(name, &wal.with_extension("sqlite"), status, &said)
            }
            Verdict::Runs { .. } => {
                let outcome = holds_what_others_hold(scenario, name).await;
                scenario.cluster.service(name).kill()?;
                outcome
            }
        };
        copied.put_back()?;
        outcome.with_context(|| format!("{rot:?} of {}", wal.display()))?;
    }
    scenario.cluster.service(name).start()
}

/// What the error says helps: without its data directory the replica fetches everything
/// again.
async fn removed(scenario: &mut Scenario, name: &str) -> Result<()> {
    scenario.cluster.service(name).kill()?;
    std::fs::remove_dir_all(scenario.cluster.data_dir(name))?;
    scenario.cluster.service(name).start()?;
    let cluster = &scenario.cluster;
    eventually("a replica without its data has fetched it again", || async {
        let slot = cluster.json(name, "/v1/status").await?["executed_slot"].as_u64();
        let others =
            cluster.json(&cluster.primary().await?, "/v1/status").await?["executed_slot"].as_u64();
        ensure!(
            slot.is_some() && slot.zip(others).is_some_and(|(slot, other)| slot + 50 > other),
            "{slot:?} of {others:?}"
        );
        Ok(())
    })
    .await
}
