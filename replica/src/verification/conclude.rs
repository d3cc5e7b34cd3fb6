//! What follows from a check: an alarm, and the end of whoever is odd.
#![expect(clippy::disallowed_methods, reason = "the shell waits and starts tasks")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use shared::client::ReplicaClient;
use shared::events::{Happening, Standing};
use shared::ids::{ClusterId, Name};
use shared::message::{OfCluster, same_cluster};
use shared::problem::Problem;

use super::message::{Suspicion, SuspicionReply};
use super::verdict::{Check, Overall};
use super::{NotChecked, Verification};
use crate::replica::event::Role;

/// Where the last check has found states to differ, the next one follows after this, or earlier
/// where that is told; where not all could be compared, after twice as long each time.
const AGAIN_AFTER: Duration = Duration::from_secs(600);
/// How long a suspicion may take to be heard.
const PATIENCE: Duration = Duration::from_secs(2);

impl Verification {
    /// Compares the states every so often while this replica is primary; never, where that is
    /// nothing.
    pub(crate) async fn rounds(self: Arc<Self>, every: Duration) -> Infallible {
        let (mut pause, mut again) = (every, AGAIN_AFTER);
        while !every.is_zero() {
            tokio::time::sleep(pause.min(every)).await;
            if self.driver.published().status.role != Role::Primary {
                (pause, again) = (every, AGAIN_AFTER);
                self.leave_to_the_primary();
                continue;
            }
            let verdict = self.check(None).await.map(|check| {
                if check.verdict == Overall::Incomplete {
                    tracing::warn!("not all states could be compared: {}", check.sentence());
                }
                check.verdict
            });
            (pause, again) = match verdict {
                Ok(Overall::Agree) => (every, AGAIN_AFTER),
                Ok(Overall::Diverged) | Err(NotChecked::UnderWay | NotChecked::NoView) => {
                    (AGAIN_AFTER, AGAIN_AFTER)
                }
                // All of it was read, for nothing.
                Ok(Overall::Incomplete) => (again, again.saturating_mul(2)),
            };
        }
        std::future::pending().await
    }

    /// Somebody says that this replica is odd: that is no more than a reason to look.
    pub(crate) fn suspected(
        self: &Arc<Self>,
        suspicion: &Suspicion,
    ) -> Result<OfCluster<SuspicionReply>, Problem> {
        let Suspicion { cluster, below } = *suspicion;
        let own = self.driver.cluster();
        let cluster = same_cluster(own, cluster).map_err(Problem::of_cluster)?;
        let reply = if self.digests.kept(below).is_none() {
            SuspicionReply::Unknown
        } else if self.one.available_permits() == 0 {
            SuspicionReply::UnderWay
        } else {
            let verification = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = verification.check(Some(below)).await {
                    tracing::debug!(%error, "a suspicion is not looked into");
                }
            });
            SuspicionReply::Looks
        };
        Ok(OfCluster::new(cluster, reply))
    }

    pub(super) async fn conclude(&self, cluster: ClusterId, check: &Check) {
        self.measured.checked(check);
        match check.verdict {
            Overall::Agree => self.all_clear(check),
            Overall::Incomplete => {}
            Overall::Diverged => self.alarm(check),
        }
        // Itself first: whoever waits for the check may stop to.
        let (own, others): (Vec<_>, Vec<_>) = check.odd().partition(|odd| odd.replica == self.name);
        for odd in own.into_iter().chain(others) {
            if odd.replica == self.name {
                let detail = odd.detail.as_deref().unwrap_or_default();
                self.diverged.declare(&format!(
                    "what executing the log has come to is not the same here as at a majority of \
                     the view: the state below slot {} {detail}. Keep this data directory for \
                     whoever looks into that, and start this replica on an empty one",
                    check.executed_below
                ));
            } else {
                self.tell(&odd.replica, cluster, check).await;
            }
        }
    }

    fn all_clear(&self, check: &Check) {
        tracing::info!(executed_below = %check.executed_below, "all replicas have the same state");
        if let Some(alarm) = self.alarm.send_replace(None) {
            self.events.tell(Happening::warning("state", Standing::Ended, &alarm));
        }
    }

    /// Another replica is primary, and compares: it is alarmed where that is due.
    fn leave_to_the_primary(&self) {
        if let Some(alarm) = self.alarm.send_replace(None) {
            self.measured.left_to_the_primary();
            self.events.tell(Happening::warning("state", Standing::Ended, &alarm));
        }
    }

    fn alarm(&self, check: &Check) {
        let sentence = check.sentence();
        tracing::error!("replicas have come to different states: {sentence}");
        if self.alarm.send_replace(Some(sentence.clone())).is_none() {
            self.events.tell(Happening::warning("state", Standing::Began, &sentence));
        }
    }

    /// Has the odd one look by itself.
    async fn tell(&self, odd: &Name, cluster: ClusterId, check: &Check) {
        let Some(url) = self.url_of(odd) else { return };
        let suspicion = Suspicion { cluster, below: check.executed_below };
        let told = ReplicaClient::new(url).suspect(&suspicion, PATIENCE).await;
        match told.map(|reply: OfCluster<SuspicionReply>| reply.for_cluster(cluster)) {
            Ok(Ok(SuspicionReply::Looks | SuspicionReply::UnderWay)) => {}
            Ok(Ok(SuspicionReply::Unknown)) => {
                tracing::warn!(replica = %odd, "it has forgotten the state that differs");
            }
            Ok(Err(error)) => tracing::warn!(replica = %odd, %error, "it cannot be told"),
            Err(error) => tracing::warn!(replica = %odd, %error, "it cannot be told"),
        }
    }
}
