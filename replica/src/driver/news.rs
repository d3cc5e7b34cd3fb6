//! What is told of at `GET /v1/events`, as the driver knows it.
//!
//! A view is told with its slot when it is executed, the cluster when it is joined. What
//! else the core knows is compared, after each step, with what was told last.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::events::{Events, Happening, LeaderSeen, Observer, Seen, Sources, Standing};
use shared::ids::{ClusterId, Epoch, Name, Revision, Slot};
use shared::message::{Storage, View};

use super::published::Published;
use crate::machine::command::limits;
use crate::machine::state::RemovedReplica;
use crate::replica::Dispute;
use crate::replica::status::{Leader, Missing};

/// The news of a replica.
#[derive(Debug)]
pub(super) struct News {
    events: Arc<Events>,
    heard: Observer,
    last: Looked,
    /// Whether a quorum has ever answered: until then its silence is no news.
    was_current: bool,
    /// The view that was told last: the one that a start finds is told once.
    told: Epoch,
    /// Who was out for good then.
    removed: Arc<Vec<RemovedReplica>>,
}

/// What of a status is looked at after each step: cheap to compare, and seldom different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Looked {
    cluster: Option<ClusterId>,
    leader: Option<Leader>,
    trimmed_below: Slot,
    compacted_below: Revision,
    storage: Option<Storage>,
    missing: Option<Missing>,
    dispute: Option<Dispute>,
    quorum_answers: bool,
    is_checkpointing_held_up: bool,
}

impl News {
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self {
            events,
            heard: Observer::new(Sources::One),
            last: Looked::default(),
            was_current: false,
            told: Epoch(0),
            removed: Arc::default(),
        }
    }

    /// A view is executed.
    pub(super) fn view(&mut self, slot: Option<Slot>, view: &View) {
        self.told = view.epoch;
        self.events.tell(Happening::View {
            epoch: view.epoch,
            slot,
            primary: view.primary.to_string(),
            backups: view.backups.iter().map(ToString::to_string).collect(),
        });
    }

    /// Somebody says what cannot be.
    pub(super) fn not_believed(&self, detail: &str) {
        self.events.tell(Happening::warning("claims", Standing::Began, detail));
    }

    /// How the replica is now.
    pub(super) fn take(&mut self, now: Duration, published: &Published) {
        let status = &published.status;
        self.events.executed(status.executed_below);
        if let Some(view) = status.view.as_ref().filter(|view| view.epoch > self.told) {
            self.view(None, view);
        }
        self.say_who_is_forgotten(&status.removed);
        let same = self.last.cluster == status.cluster
            && self.last.leader == status.leader
            && self.last.trimmed_below == status.trimmed_below
            && self.last.compacted_below == status.compacted_below
            && self.last.storage == Some(status.storage)
            && self.last.missing == status.missing
            && self.last.dispute == status.dispute
            && self.last.quorum_answers == status.quorum_answers
            && self.last.is_checkpointing_held_up == published.wal.complaint().is_some();
        if same {
            return;
        }
        self.last = Looked {
            cluster: status.cluster,
            leader: status.leader.clone(),
            trimmed_below: status.trimmed_below,
            compacted_below: status.compacted_below,
            storage: Some(status.storage),
            missing: status.missing,
            dispute: status.dispute,
            quorum_answers: status.quorum_answers,
            is_checkpointing_held_up: published.wal.complaint().is_some(),
        };
        self.was_current |= status.quorum_answers;
        let leader = status.leader.as_ref().map(|Leader { member, ballot }| LeaderSeen {
            coordinator: member.name.to_string(),
            url: member.url.clone(),
            ballot: *ballot,
        });
        let seen = Seen {
            cluster: status.cluster,
            leader,
            view: None,
            executed_below: status.executed_below,
            trimmed_below: status.trimmed_below,
            compacted_below: status.compacted_below,
            warnings: self.warnings(published),
            refusals: BTreeMap::new(),
        };
        self.events.tell_all(self.heard.take(now, "this", &seen));
    }

    /// Those past the bound on what is remembered: their data could join again.
    fn say_who_is_forgotten(&mut self, removed: &Arc<Vec<RemovedReplica>>) {
        if Arc::ptr_eq(&self.removed, removed) {
            return;
        }
        for forgotten in forgotten(&self.removed, removed) {
            tracing::warn!(replica = %forgotten, limit = limits::REMOVALS, "it is no longer remembered \
                that this replica was taken out: delete its data, or it could join again");
        }
        self.removed = Arc::clone(removed);
    }

    fn warnings(&self, published: &Published) -> BTreeMap<String, String> {
        let status = &published.status;
        let storage = match status.storage {
            Storage::Writable => None,
            Storage::Full => Some("the disk is full: mutations are refused".to_owned()),
            Storage::Locked => Some("another process keeps the database locked".to_owned()),
        };
        let is_alone = self.was_current && !status.quorum_answers;
        let quorum = is_alone.then(|| "no quorum of acceptors answers".to_owned());
        let all = [
            ("storage", storage),
            ("missing", status.missing.map(|missing| missing.to_string())),
            ("history", status.dispute.map(|dispute| dispute.to_string())),
            ("quorum", quorum),
            ("checkpoints", published.wal.complaint()),
        ];
        all.into_iter().filter_map(|(what, detail)| Some((what.to_owned(), detail?))).collect()
    }
}

/// Those who were out and are not among them any more.
fn forgotten<'a>(
    before: &'a [RemovedReplica],
    now: &'a [RemovedReplica],
) -> impl Iterator<Item = &'a Name> {
    let is_remembered = |name: &Name| now.iter().any(|removed| removed.replica == *name);
    before.iter().map(|removed| &removed.replica).filter(move |name| !is_remembered(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_pushed_out_of_what_is_remembered_is_named() {
        let removed = |names: &[&str]| -> Vec<RemovedReplica> {
            let of = |name: &&str| RemovedReplica {
                replica: name.parse().unwrap(),
                slot: Slot(1),
                epoch: Epoch(1),
            };
            names.iter().map(of).collect()
        };
        let (before, now) = (removed(&["a", "b", "c"]), removed(&["c", "b", "d"]));
        let named: Vec<&str> = forgotten(&before, &now).map(Name::as_str).collect();
        assert_eq!(named, ["a"]);
    }
}
