//! What an operator does, one act after the other, while services are killed and stopped.
//!
//! Each act is asked for until it is answered, the last times in peace. After each time, be
//! it answered or not, nothing of it may be under way any more: it is finished, or it is
//! undone, and all services say the same of the cluster. What was asked for while somebody
//! else died is asked for again, which must do no harm.

mod act;
mod settled;
mod strikes;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared::service::REMOVED;
use tests::harness::cluster::{Options, PATIENCE, Size, eventually};
use tests::harness::mix::Shape;
use tests::harness::verify::keep_log;
use tokio::time::timeout;

use self::act::{Act, Answer, Asking};
use self::settled::Settled;
use crate::scenario::{Scenario, with_tls};

/// An act is asked for so often while services die; and then in peace, until it is done.
const UNDER_FIRE: usize = 2;
/// What is taken out ends within this.
const ENDING: Duration = Duration::from_secs(20);
/// History is dropped but for so many of the newest revisions.
const KEPT_REVISIONS: u64 = 50;

/// Every act once, in an order in which each can be.
const EACH: [Act; 8] = [
    Act::FewerAcceptors,
    Act::SwitchOver,
    Act::Remove,
    Act::Compact,
    Act::Join,
    Act::ReplaceAcceptor,
    Act::MoreAcceptors,
    Act::FewerAcceptors,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_does_is_finished_or_undone_whoever_is_killed_or_stopped() -> Result<()> {
    let size = Size { acceptors: 5, ..Size::default() };
    let options = Options { size, ..Options::default() };
    Scenario::run("acts", &options, Shape::default(), async |scenario| {
        let mut operator = Operator::new(scenario);
        for act in EACH {
            operator.does(act).await.with_context(|| format!("{act:?}"))?;
        }
        while operator.scenario.goes_on() {
            let possible = operator.possible();
            let act = operator.scenario.pick(&possible);
            operator.does(act).await.with_context(|| format!("{act:?}"))?;
        }
        // All replicas are held to the log.
        if operator.out.is_some() {
            operator.does(Act::Join).await.context("joining in the end")?;
        }
        Ok(())
    })
    .await
}

/// Who does it, and how things should stand.
struct Operator<'a> {
    scenario: &'a mut Scenario,
    /// Those that vote, by name.
    acceptors: BTreeSet<String>,
    /// The replica that was taken out, and has no data.
    out: Option<String>,
}

impl<'a> Operator<'a> {
    fn new(scenario: &'a mut Scenario) -> Self {
        let acceptors = scenario.cluster.names("acceptor").into_iter().collect();
        Self { scenario, acceptors, out: None }
    }

    fn possible(&self) -> Vec<Act> {
        let mut acts = vec![Act::SwitchOver, Act::Compact];
        acts.push(if self.out.is_some() { Act::Join } else { Act::Remove });
        if self.acceptors.len() == 3 {
            acts.extend([Act::ReplaceAcceptor, Act::MoreAcceptors]);
        } else {
            acts.push(Act::FewerAcceptors);
        }
        acts
    }

    fn outsiders(&self) -> Vec<String> {
        let mut names = self.scenario.cluster.names("acceptor");
        names.retain(|name| !self.acceptors.contains(name));
        names
    }

    /// The replicas that should be in the view.
    fn replicas(&self) -> BTreeSet<String> {
        let names = self.scenario.cluster.names("replica").into_iter();
        names.filter(|name| self.out.as_ref() != Some(name)).collect()
    }

    /// Where the others reach an acceptor.
    fn url(&self, acceptor: &str) -> String {
        let scheme = if with_tls() { "https" } else { "http" };
        format!("{scheme}://{}", self.scenario.cluster.addresses(acceptor).1)
    }

    /// Does it, whatever happens meanwhile.
    async fn does(&mut self, act: Act) -> Result<()> {
        let asking = self.prepare(act).await?;
        let mut times = 0;
        let settled = loop {
            times += 1;
            let answer = if times <= UNDER_FIRE {
                self.scenario.note(format!("{act:?}: {asking}"));
                self.asked_under_fire(&asking).await?
            } else {
                timeout(PATIENCE, self.asked_until_done(&asking)).await.context("in peace")??
            };
            let settled = self.settles().await.with_context(|| format!("after {answer:?}"))?;
            if answer == Answer::Done {
                break settled;
            }
        };
        println!("  {act:?} ({asking}) was asked for {times} times");
        self.conclude(&asking)?;
        let replicas = self.replicas();
        ensure!(settled.view == replicas, "{:?} and not {replicas:?}", settled.view);
        let acceptors: BTreeSet<String> =
            self.acceptors.iter().map(|name| self.url(name)).collect();
        ensure!(settled.acceptors == acceptors, "{:?} and not {acceptors:?}", settled.acceptors);
        self.scenario.mix.check()
    }

    /// Chooses of what it is to be, and starts with an empty folder whoever comes.
    async fn prepare(&mut self, act: Act) -> Result<Asking> {
        let present: Vec<String> = self.acceptors.iter().cloned().collect();
        Ok(match act {
            Act::SwitchOver => {
                let (primary, _) = self.scenario.replicas().await?;
                let mut others: Vec<String> = self.replicas().into_iter().collect();
                others.retain(|name| *name != primary);
                Asking::Primary(self.scenario.pick(&others))
            }
            Act::Remove => {
                let replicas: Vec<String> = self.replicas().into_iter().collect();
                Asking::Removal(self.scenario.pick(&replicas))
            }
            Act::Join => {
                let name = self.out.clone().context("one is out")?;
                self.scenario.cluster.service(&name).start()?;
                Asking::Joined(name)
            }
            Act::Compact => {
                let asked = self.scenario.cluster.primary().await?;
                let Scenario { cluster, recorder, .. } = &*self.scenario;
                let status = cluster.json(&asked, "/v1/status").await?;
                let revision = status["revision"].as_u64().context("a revision")?;
                // What is dropped is held to what clients heard all the same.
                keep_log(cluster, &asked, recorder).await?;
                Asking::Compaction(revision.saturating_sub(KEPT_REVISIONS))
            }
            Act::ReplaceAcceptor => {
                let (leaves, outsiders) = (self.scenario.pick(&present), self.outsiders());
                let comes = self.scenario.pick(&outsiders);
                self.empty(&comes)?;
                let names = present.into_iter().filter(|name| *name != leaves);
                let names = names.chain([comes.clone()]).collect();
                let body = (self.url(&leaves), self.url(&comes));
                Asking::Replacement { names, leaves: body.0, comes: body.1, subject: comes }
            }
            Act::MoreAcceptors => {
                let outsiders = self.outsiders();
                outsiders.iter().try_for_each(|name| self.empty(name))?;
                let subject = self.scenario.pick(&outsiders);
                let names = self.scenario.cluster.names("acceptor");
                self.listed(names, subject)
            }
            Act::FewerAcceptors => {
                let mut names = present;
                while names.len() > 3 {
                    let leaves = self.scenario.pick(&names);
                    names.retain(|name| *name != leaves);
                }
                let subject = self.scenario.pick(&names);
                self.listed(names, subject)
            }
        })
    }

    fn listed(&self, names: Vec<String>, subject: String) -> Asking {
        let urls = names.iter().map(|name| self.url(name)).collect();
        Asking::Acceptors { names: names.into_iter().collect(), urls, subject }
    }

    /// Has an acceptor that does not vote begin with an empty folder.
    fn empty(&mut self, acceptor: &str) -> Result<()> {
        let folder = self.scenario.cluster.data_dir(acceptor);
        let service = self.scenario.cluster.service(acceptor);
        service.kill()?;
        fs::remove_dir_all(folder)?;
        service.start()
    }

    /// Asks for it until it is done.
    async fn asked_until_done(&self, asking: &Asking) -> Result<Answer> {
        let Scenario { cluster, recorder, .. } = &*self.scenario;
        eventually("it is done", async || {
            let answer = asking.ask(cluster.http(), cluster.front(), recorder).await?;
            ensure!(answer == Answer::Done, "{asking}: {answer:?}");
            Ok(answer)
        })
        .await
        .with_context(|| cluster.last_words())
    }

    /// Waits until nothing is under way.
    async fn settles(&self) -> Result<Settled> {
        let cluster = &self.scenario.cluster;
        eventually("no act is under way, and all say the same", || settled::look(cluster)).await
    }

    /// Notes how things should stand now.
    fn conclude(&mut self, asking: &Asking) -> Result<()> {
        match asking {
            Asking::Primary(_) | Asking::Compaction(_) => {}
            Asking::Joined(_) => self.out = None,
            Asking::Removal(name) => {
                let folder = self.scenario.cluster.data_dir(name);
                let ended = self.scenario.cluster.service(name).wait(ENDING)?;
                ensure!(ended.code() == Some(REMOVED.into()), "{name} ended with {ended}");
                fs::remove_dir_all(folder)?;
                self.out = Some(name.clone());
            }
            Asking::Replacement { names, .. } | Asking::Acceptors { names, .. } => {
                self.acceptors.clone_from(names);
            }
        }
        Ok(())
    }
}
