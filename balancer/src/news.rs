//! What is told of at `GET /v1/events`, as the balancer hears of it: what replicas say of
//! themselves when they are checked, and which of them answer.
//!
//! A replica tells of each view that it executes; here only the last one is told of those
//! that came between two checks.
#![expect(clippy::disallowed_methods, reason = "a shell: how often is a matter of the clock")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use serde::Deserialize;
use serde_json::Value;
use shared::events::{Events, LeaderSeen, Observer, Seen, Sources, ViewSeen};
use shared::ids::{Ballot, ClusterId, Epoch, Name, Revision, Slot};
use shared::message::Storage;

use crate::pool::Health;

/// The news of a balancer.
#[derive(Debug)]
pub(crate) struct News {
    events: Arc<Events>,
    heard: Mutex<Observer>,
    began: Instant,
}

/// What of a replica's status is told of. An older program says less.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    cluster_id: Option<ClusterId>,
    leader: Option<LeaderSaid>,
    view: Option<ViewSaid>,
    executed_below: Slot,
    trimmed_below: Slot,
    compacted_below: Revision,
    storage: Option<Storage>,
    missing: Option<Value>,
    refusals: BTreeMap<String, u64>,
}

#[derive(Debug, Deserialize)]
struct LeaderSaid {
    coordinator: String,
    url: String,
    ballot: Ballot,
}

#[derive(Debug, Deserialize)]
struct ViewSaid {
    epoch: Epoch,
    primary: String,
    backups: Vec<String>,
}

impl News {
    pub(crate) fn new(events: Arc<Events>) -> Self {
        let heard = Mutex::new(Observer::new(Sources::Many));
        Self { events, heard, began: Instant::now() }
    }

    /// A replica was checked: what it says, if it does, and how it is taken to be now.
    pub(crate) fn checked(&self, replica: &Name, status: Option<&Value>, health: Option<Health>) {
        let said = status.and_then(|status| Said::deserialize(status).ok());
        let of_health = format!("{replica} health");
        let mut heard = self.lock();
        let mut seen = match said {
            Some(said) => seen_of(replica, said),
            // Who does not answer has not said that a warning is over.
            None => Seen { warnings: heard.warned_of(replica.as_str()), ..Seen::default() },
        };
        seen.warnings.remove(&of_health);
        if health.is_some_and(|health| health == Health::Unhealthy) {
            seen.warnings.insert(of_health, format!("{replica} does not answer"));
        }
        let news = heard.take(self.began.elapsed(), replica.as_str(), &seen);
        self.events.executed(heard.executed_below());
        drop(heard);
        self.events.tell_all(news);
    }

    /// A replica is not checked any more.
    pub(crate) fn forget(&self, replica: &Name) {
        let news = self.lock().keep(|source| source != replica.as_str());
        self.events.tell_all(news);
    }

    fn lock(&self) -> MutexGuard<'_, Observer> {
        self.heard.lock().expect("a panic under the lock ends the process")
    }
}

fn seen_of(replica: &Name, said: Said) -> Seen {
    let leader = said.leader.map(|LeaderSaid { coordinator, url, ballot }| LeaderSeen {
        coordinator,
        url,
        ballot,
    });
    let view =
        said.view.map(|ViewSaid { epoch, primary, backups }| ViewSeen { epoch, primary, backups });
    let storage = match said.storage {
        Some(Storage::Writable) | None => None,
        Some(Storage::Full) => Some("its disk is full"),
        Some(Storage::Locked) => Some("another process keeps its database locked"),
    };
    let missing = said.missing.map(|_| "slots are missing that can be had nowhere");
    let warnings: BTreeMap<String, String> = [("storage", storage), ("missing", missing)]
        .into_iter()
        .filter_map(|(what, detail)| {
            Some((format!("{replica} {what}"), format!("{replica}: {}", detail?)))
        })
        .collect();
    Seen {
        cluster: said.cluster_id,
        leader,
        view,
        executed_below: said.executed_below,
        trimmed_below: said.trimmed_below,
        compacted_below: said.compacted_below,
        warnings,
        refusals: said.refusals,
    }
}
