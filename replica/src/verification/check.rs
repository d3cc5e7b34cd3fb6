//! Asking all replicas for their digests at one slot.
//!
//! The slot must be executed nowhere yet, or be the last one everywhere: so it is chosen as
//! far ahead as the log moves in less than half a second, which is nothing where nothing is written.
//! Where one was past it already, or none came to it, another one is chosen.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use shared::client::{Peer, ReplicaClient};
use shared::config::BaseUrl;
use shared::ids::{ClusterId, Name, Slot};
use shared::message::{Service, View};

use super::message::{DigestOutcome, DigestReply};
use super::verdict::{AskedReplica, Check, judge};
use super::{READ_AT_MOST, Verification};
use crate::store::DIGEST_FORMAT;

/// How long it is looked how fast the log moves …
const LOOK: Duration = Duration::from_millis(200);
/// … and how many times as far ahead the slot is chosen.
const AHEAD: u64 = 2;
/// How many slots are tried.
const ATTEMPTS: u32 = 8;
/// Between two of them: those who were asked before have let go by then.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a replica may take to say that it is there.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it may take with its digest.
const WAIT: Duration = READ_AT_MOST.saturating_add(Duration::from_secs(10));

/// Why nothing was compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotChecked {
    /// One check at a time.
    #[error("this replica compares the states already, one check at a time")]
    UnderWay,
    /// There is nobody to compare with yet.
    #[error("this replica has executed no view yet, or does not know its cluster")]
    NoView,
}

/// What one slot came to.
enum Round {
    Compared(Vec<AskedReplica>),
    /// This replica was beyond.
    Passed {
        executed_below: Slot,
    },
    /// Nobody has come so far.
    NobodyThere,
}

impl Verification {
    /// Compares the states of all replicas, at this slot if they can say what was there.
    pub(crate) async fn check(&self, first: Option<Slot>) -> Result<Check, NotChecked> {
        let _one = self.one.try_acquire().map_err(|_| NotChecked::UnderWay)?;
        let status = self.driver.published().status;
        let (Some(cluster), Some(view)) = (status.cluster, status.view) else {
            return Err(NotChecked::NoView);
        };
        let check = self.compare(cluster, &view, first).await;
        self.conclude(cluster, &check).await;
        Ok(check)
    }

    async fn compare(&self, cluster: ClusterId, view: &View, first: Option<Slot>) -> Check {
        let replicas = self.replicas(view);
        let of_view = 1 + view.backups.len();
        let (mut next, mut slots) = (first, 0);
        let mut attempt = 1;
        loop {
            let below = match next.take() {
                Some(below) => below,
                None => {
                    slots = self.slots_ahead().await.max(slots);
                    Slot(self.head().0 + slots)
                }
            };
            match self.round(cluster, &replicas, below, attempt == ATTEMPTS).await {
                Round::Compared(asked) => return judge(below, of_view, &asked),
                Round::Passed { executed_below } => {
                    slots = slots.max(self.slots_ahead().await).saturating_mul(2);
                    next = Some(Slot(self.head().max(executed_below).0 + slots));
                }
                Round::NobodyThere => {
                    slots = 0;
                    next = Some(self.head());
                }
            }
            attempt += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Every slot below is chosen, as far as is known here.
    fn head(&self) -> Slot {
        let status = self.driver.published().status;
        status.chosen_below.max(status.executed_below)
    }

    /// By how many slots the log will have moved on.
    async fn slots_ahead(&self) -> u64 {
        let before = self.head();
        tokio::time::sleep(LOOK).await;
        let moved = self.head().0.saturating_sub(before.0);
        moved.saturating_mul(AHEAD)
    }

    /// All that there are, and whether the view names them.
    fn replicas(&self, view: &View) -> Vec<(Name, bool)> {
        let mut names: Vec<Name> =
            [&view.primary].into_iter().chain(&view.backups).cloned().collect();
        let mut replicas: Vec<(Name, bool)> =
            names.iter().map(|name| (name.clone(), true)).collect();
        let members = self.members.borrow();
        let heard = members.iter().filter(|member| member.service == Service::Replica);
        for name in heard.map(|member| &member.name).chain([&self.name]) {
            if !names.contains(name) {
                names.push(name.clone());
                replicas.push((name.clone(), false));
            }
        }
        replicas.sort();
        replicas
    }

    async fn round(
        &self,
        cluster: ClusterId,
        replicas: &[(Name, bool)],
        below: Slot,
        is_last: bool,
    ) -> Round {
        let ask = |(name, in_view): &(Name, bool)| {
            let (name, in_view) = (name.clone(), *in_view);
            async move {
                let said = if name == self.name {
                    Ok(self.digests.of(below).await)
                } else {
                    self.ask(&name, cluster, below).await
                };
                (name, in_view, said)
            }
        };
        // Those that are still under way when this is dropped are given up.
        let mut asking: FuturesUnordered<_> = replicas.iter().map(ask).collect();
        let (mut asked, mut not_there, mut read) = (Vec::new(), 0, 0);
        while let Some((replica, in_view, said)) = asking.next().await {
            let said = match said {
                Ok(DigestOutcome::Digest(digest)) if digest.format != DIGEST_FORMAT => {
                    Err(format!(
                        "its program makes digests of format {}, and this one {DIGEST_FORMAT}",
                        digest.format
                    ))
                }
                Ok(DigestOutcome::Digest(digest)) if digest.executed_below != below => {
                    Err(format!("it read another state, below slot {}", digest.executed_below))
                }
                Ok(DigestOutcome::Digest(digest)) => {
                    read += 1;
                    Ok(*digest)
                }
                Ok(DigestOutcome::Passed { executed_below }) if !is_last => {
                    return Round::Passed { executed_below };
                }
                Ok(DigestOutcome::Passed { executed_below }) => Err(format!(
                    "it was ahead each time: the slots below {executed_below} are executed there"
                )),
                Ok(DigestOutcome::NotReached { executed_below }) => {
                    not_there += 1;
                    Err(format!("it is behind: only the slots below {executed_below} are executed"))
                }
                Ok(DigestOutcome::NotGiven { reason }) | Err(reason) => Err(reason),
            };
            asked.push(AskedReplica { replica, in_view, said });
        }
        if !is_last && read == 0 && not_there > 0 {
            return Round::NobodyThere;
        }
        asked.sort_by(|a, b| a.replica.cmp(&b.replica));
        Round::Compared(asked)
    }

    /// Where a replica is.
    pub(super) fn url_of(&self, name: &Name) -> Option<BaseUrl> {
        let members = self.members.borrow();
        let mut replicas = members.iter().filter(|member| member.service == Service::Replica);
        replicas.find(|member| member.name == *name)?.url.parse().ok()
    }

    async fn ask(
        &self,
        name: &Name,
        cluster: ClusterId,
        below: Slot,
    ) -> Result<DigestOutcome, String> {
        let url = self.url_of(name).ok_or_else(|| "it is not heard of".to_owned())?;
        // One that hangs is not waited for as long as reading may take.
        let status = Peer::of(Service::Replica, url.clone()).status(PATIENCE).await;
        status.map_err(|error| format!("it does not answer: {error}"))?;
        let answer = ReplicaClient::new(url).digest::<DigestReply>(cluster, below, WAIT).await;
        let answer = answer.map_err(|error| format!("it gives no digest: {error}"))?;
        let DigestReply { replica, outcome } =
            answer.for_cluster(cluster).map_err(|error| error.to_string())?;
        if replica == *name {
            Ok(outcome)
        } else {
            Err(format!("{replica} answers at its address"))
        }
    }
}
