//! Services are killed and stopped while an act is asked for.

use std::sync::Arc;

use anyhow::Result;
use rand::RngExt;
use rustix::process::Signal;
use tokio::time::sleep;

use super::Operator;
use super::act::{Answer, Asking};

/// So many strikes at most while an act is asked for once: one that takes longer is to be
/// finished, too.
const STRIKES: usize = 6;

impl Operator<'_> {
    /// Asks for it once, while one service after the other is killed, or stopped for a while;
    /// at least one. All live again once it is answered.
    pub(super) async fn asked_under_fire(&mut self, asking: &Asking) -> Result<Answer> {
        let (cluster, recorder) = (&self.scenario.cluster, Arc::clone(&self.scenario.recorder));
        let (http, front) = (cluster.http().clone(), cluster.front().to_owned());
        let asked = asking.clone();
        let answer = tokio::spawn(async move { asked.ask(&http, &front, &recorder).await });
        let mut strikes = 0;
        while strikes == 0 || strikes < STRIKES && !answer.is_finished() {
            strikes += 1;
            sleep(self.scenario.between(0, 300)).await;
            self.strike(asking).await?;
        }
        answer.await?
    }

    /// One service is dead, or stands still, for a while.
    async fn strike(&mut self, asking: &Asking) -> Result<()> {
        let victim = self.victim(asking).await?;
        let stops = self.scenario.random.random_range(0..2) == 0;
        let (signal, lasts) = if stops {
            (Signal::STOP, self.scenario.between(100, 2_500))
        } else {
            (Signal::KILL, self.scenario.between(20, 1_200))
        };
        self.scenario.note(format!("{victim} {} for {lasts:?}", how(signal)));
        let service = self.scenario.cluster.service(&victim);
        if stops {
            service.signal(signal)?
        } else {
            service.kill()?
        }
        sleep(lasts).await;
        if stops { service.signal(Signal::CONT) } else { service.start() }
    }

    /// Whom it strikes: who has most to do, who leads, who is primary, or anybody who runs.
    async fn victim(&mut self, asking: &Asking) -> Result<String> {
        let mut anybody = self.scenario.cluster.all();
        anybody.retain(|name| self.out.as_ref() != Some(name) || asking.subject() == Some(name));
        Ok(match (self.scenario.random.random_range(0..6), asking.subject()) {
            (0 | 1, Some(subject)) => subject.to_owned(),
            (2, _) => self.scenario.cluster.leader().await?,
            (3, _) => self.scenario.cluster.primary().await?,
            _ => self.scenario.pick(&anybody),
        })
    }
}

/// What a signal does, in words.
fn how(signal: Signal) -> &'static str {
    if signal == Signal::STOP { "stands still" } else { "is dead" }
}
