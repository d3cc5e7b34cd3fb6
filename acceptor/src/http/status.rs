//! What an acceptor says of itself: `GET /v1/status` and `GET /readyz`.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use shared::disk::Space;
use shared::health::Check;
use shared::ids::{AcceptorId, Ballot, ClusterId};
use shared::message::{Marks, Roster, Storage, Succession};
use shared::wire::json;

use super::Service;
use crate::handle::Durable;

/// How long a refusal of another cluster's message keeps an acceptor from being ready:
/// leaders repeat theirs every 100 ms.
const ESTRANGED: Duration = Duration::from_secs(3);

/// So long after the disk was found full, what is left of it says whether it still is. Votes
/// that come meanwhile find out by themselves.
const FULL_FOR: Duration = Duration::from_secs(2);

impl Service {
    /// What its readiness rests on.
    pub(super) fn checks(&self) -> Vec<Check> {
        let durable = self.handle.durable();
        let estranged = durable.estranged.is_some_and(|at| at.elapsed() < ESTRANGED);
        let stranger = || match &durable.roster {
            Some(roster) if durable.estranged_in == Some(roster.cluster()) => format!(
                "coordinators speak of another generation of its cluster's acceptors than {}, which \
                 it knows",
                roster.generation()
            ),
            Some(roster) => format!(
                "coordinators speak of another cluster than {}, which it belongs to",
                roster.cluster()
            ),
            None => "coordinators speak of a cluster that does not name it".to_owned(),
        };
        let closed = || "the log is closed".to_owned();
        let left = "it is no acceptor of the cluster any more: it may be stopped";
        let mut checks = vec![
            Check::new("log", self.handle.is_closed().then(closed)),
            Check::new("cluster", estranged.then(stranger)),
            Check::new("roster", durable.has_left.then(|| left.to_owned())),
        ];
        // What needs no space is answered all the same.
        let full = "the disk is full, so that it votes for nothing new: free some space";
        match self.storage(durable.full) {
            Storage::Full => checks.push(Check::warning("storage", full.to_owned())),
            Storage::Writable | Storage::Locked => {}
        }
        checks
    }

    /// Whether the disk takes more, as far as is known: nobody may have written since it was
    /// found full, and then it is seen by what is left of it.
    fn storage(&self, found_full: Option<Instant>) -> Storage {
        let Some(at) = found_full else { return Storage::Writable };
        let has_room = || {
            let space = Space::of(&self.log.path).ok()?;
            Some(space.free_bytes > self.log.segment_bytes)
        };
        if at.elapsed() > FULL_FOR && has_room() == Some(true) {
            Storage::Writable
        } else {
            Storage::Full
        }
    }
}

/// What an acceptor says of itself in `GET /v1/status`.
#[derive(Serialize)]
struct AcceptorStatus {
    /// Its identity, which lies in its log; `id` is only its name.
    acceptor: AcceptorId,
    cluster_id: Option<ClusterId>,
    roster: Option<Roster>,
    /// The latest change of the acceptors that it knows of.
    succession: Option<Succession>,
    /// Whether it is no acceptor of the cluster any more.
    has_left: bool,
    promised: Option<Ballot>,
    /// Untrimmed votes, and what they count against the limit.
    votes: usize,
    vote_bytes: usize,
    #[serde(flatten)]
    marks: Marks,
    log_bytes: u64,
    log_segments: usize,
    /// Since the process started: how often the log was synced, and how long all of that took.
    syncs: u64,
    sync_us: u64,
    leader_silent_ms: u64,
    storage: Storage,
}

/// `GET /v1/status`.
pub(super) fn status(State(service): State<Arc<Service>>) -> Ready<Response> {
    let Durable {
        acceptor,
        roster,
        succession,
        has_left,
        promised,
        marks,
        votes,
        vote_bytes,
        log_bytes,
        log_segments,
        syncs,
        heard,
        full,
        ..
    } = service.handle.durable();
    let leader_silent_ms = u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX);
    let cluster_id = roster.as_ref().map(Roster::cluster);
    let status = AcceptorStatus {
        acceptor,
        cluster_id,
        roster,
        succession,
        has_left,
        promised,
        votes,
        vote_bytes,
        marks,
        log_bytes,
        log_segments,
        syncs: syncs.count,
        sync_us: u64::try_from(syncs.time.as_micros()).unwrap_or(u64::MAX),
        leader_silent_ms,
        storage: service.storage(full),
    };
    ready(json(&service.identity.status(status)))
}
