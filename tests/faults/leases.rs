//! Leases while services are killed: one that is renewed is kept, and its fence with it; those
//! that are not renewed end, not before their time and not long after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use tests::harness::cluster::{Cluster, Options, PATIENCE};
use tests::harness::mix::Shape;
use tests::harness::recorder::{Ask, Recorder};
use tests::operations::{Answer, Call, Key, Outcome, TenureAnswer, TenureCall};

use crate::scenario::{LONGEST_GAP, Scenario};

/// No gap in which nothing can be renewed is as long.
const KEPT: Duration = Duration::from_secs(20);
/// Between two renewals.
const PAUSE: Duration = Duration::from_millis(500);
/// A lease that is not renewed.
const SHORT: Duration = Duration::from_secs(1);
/// So many services are killed at least.
const KILLS: usize = 4;
/// After a request that failed, and before another look.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Where to ask: everywhere in turn.
#[derive(Clone)]
struct Doors {
    recorder: Arc<Recorder>,
    doors: Vec<String>,
}

impl Doors {
    fn of(cluster: &Cluster, recorder: &Arc<Recorder>) -> Self {
        let replicas = cluster.names("replica");
        let doors = replicas.iter().map(|name| cluster.door(name).to_owned());
        let doors = std::iter::once(cluster.door("balancer-1").to_owned()).chain(doors).collect();
        Self { recorder: Arc::clone(recorder), doors }
    }

    /// Asks until there is an answer: what it says, and at which revision.
    async fn ask(&self, call: &Call) -> Result<(u64, Answer)> {
        let began = Instant::now();
        for door in self.doors.iter().cycle() {
            let ask = Ask { door, timeout: Duration::from_secs(1) };
            if let Outcome::Answered { revision, answer } =
                self.recorder.perform(ask, call.clone()).await?
            {
                return Ok((revision, answer));
            }
            ensure!(began.elapsed() < PATIENCE, "nobody answers {call:?}");
            tokio::time::sleep(BACK_OFF).await;
        }
        unreachable!("there are doors")
    }

    async fn grant(&self, ttl: Duration) -> Result<u64> {
        let ttl_ms = u64::try_from(ttl.as_millis())?;
        Ok(self.ask(&Call::Tenure(TenureCall::Grant { ttl_ms })).await?.0)
    }

    async fn tenure(&self, call: TenureCall) -> Result<TenureAnswer> {
        match self.ask(&Call::Tenure(call)).await? {
            (_, Answer::Tenure(answer)) => Ok(answer),
            (_, other) => bail!("a lease or a lock is answered {other:?}"),
        }
    }

    /// Holds a lock, by a lease that it renews; says how often it did.
    async fn keep(self, stop: Arc<AtomicBool>) -> Result<u64> {
        let lease = self.grant(KEPT).await?;
        let (lock, key) = (Key::from("kept"), Key::from("kept/key"));
        let acquire = TenureCall::Acquire { lock: Key::clone(&lock), lease, wait: false };
        let answer = self.tenure(acquire).await?;
        let TenureAnswer::Held(fence) = answer else { bail!("nobody else holds it: {answer:?}") };
        let mut renewals = 0;
        while !stop.load(Ordering::Relaxed) {
            let answer = self.tenure(TenureCall::Renew { lease }).await?;
            ensure!(matches!(answer, TenureAnswer::Renewed(_)), "{lease}: {answer:?}");
            let value = self.recorder.value(0);
            let (lock, key) = (Key::clone(&lock), Key::clone(&key));
            let answer = self.tenure(TenureCall::FencedPut { lock, fence, key, value }).await?;
            ensure!(answer == TenureAnswer::Put, "at fence {fence}: {answer:?}");
            renewals += 1;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(renewals)
    }

    /// Lets a lease end; says how long that took since it was asked for.
    async fn end(self, number: usize) -> Result<Duration> {
        let asked = Instant::now();
        let lease = self.grant(SHORT).await?;
        let granted = Instant::now();
        let (key, value) = (Key::from(format!("ending/{number}")), self.recorder.value(0));
        let put = TenureCall::LeasedPut { lease, key: Key::clone(&key), value };
        let answer = self.tenure(put).await?;
        if answer == TenureAnswer::NoSuchLease && asked.elapsed() >= SHORT {
            return Ok(asked.elapsed());
        }
        ensure!(answer == TenureAnswer::Put, "{lease}: {answer:?}");
        loop {
            let (_, answer) = self.ask(&Call::read(&key)).await?;
            let lasted = asked.elapsed();
            if answer == Answer::Read(None) {
                ensure!(lasted >= SHORT, "lease {lease} ended after {lasted:?}");
                return Ok(lasted);
            }
            let late = granted.elapsed();
            ensure!(late < SHORT + LONGEST_GAP, "lease {lease} is there after {late:?}");
            tokio::time::sleep(BACK_OFF).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_last_as_long_as_they_are_renewed_while_services_are_killed() -> Result<()> {
    let shape = Shape { clients: 4, ..Shape::default() };
    Scenario::run("leases", &Options::default(), shape, async |scenario| {
        let doors = Doors::of(&scenario.cluster, &scenario.recorder);
        let stop = Arc::new(AtomicBool::new(false));
        let keeping = tokio::spawn(doors.clone().keep(Arc::clone(&stop)));
        let (mut ended, mut longest) = (0, Duration::ZERO);
        while ended < KILLS || scenario.goes_on() {
            let ending = tokio::spawn(doors.clone().end(ended));
            let all = scenario.cluster.all();
            let victim = match ended % 3 {
                0 => scenario.replicas().await?.0,
                1 => scenario.cluster.leader().await?,
                _ => scenario.pick(&all),
            };
            let dead_for = scenario.between(20, 2_000);
            scenario.note(format!("{victim} dead for {} ms", dead_for.as_millis()));
            scenario.cluster.service(&victim).kill()?;
            tokio::time::sleep(dead_for).await;
            scenario.cluster.service(&victim).start()?;
            longest = longest.max(ending.await??);
            ended += 1;
            scenario.mix.check()?;
        }
        stop.store(true, Ordering::Relaxed);
        let renewals = keeping.await??;
        println!("{renewals} renewals; of {ended} leases of {SHORT:?} one lasted {longest:?}");
        ensure!(renewals > 0, "nothing was renewed");
        Ok(())
    })
    .await
}
