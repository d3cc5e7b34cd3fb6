//! What an acceptor counts and measures, for `GET /metrics`.

use std::path::PathBuf;
use std::time::Duration;

use shared::message::{AcceptReply, PrepareReply};
use shared::metrics::{COUNTS, Counter, Histogram, Metrics, SECONDS};

use crate::handle::{Handle, QUEUE_REQUESTS};
use crate::limits::Limits;

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It was done.
    Done,
    /// A higher ballot was promised.
    Nack,
    /// It is of another cluster.
    Stranger,
    /// There is no room, on disk or for more votes.
    Full,
    /// No correct coordinator sends it.
    Broken,
}

impl Answered {
    /// Their names, in their order.
    const NAMES: [&str; 5] = ["done", "nack", "stranger", "full", "broken"];

    pub(crate) fn prepare(reply: &PrepareReply) -> Self {
        match reply {
            PrepareReply::Promise(_) => Self::Done,
            PrepareReply::Nack(_) => Self::Nack,
            PrepareReply::Stranger(_) => Self::Stranger,
        }
    }

    pub(crate) fn accept(reply: &AcceptReply) -> Self {
        match reply {
            AcceptReply::Accepted(_) => Self::Done,
            AcceptReply::Nack(_) => Self::Nack,
            AcceptReply::Stranger(_) => Self::Stranger,
            AcceptReply::Full(_) => Self::Full,
        }
    }
}

/// What the writer counts.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    prepares: [Counter; Answered::NAMES.len()],
    accepts: [Counter; Answered::NAMES.len()],
    pub(crate) accepted_slots: Counter,
    sync_seconds: Histogram,
    group_requests: Histogram,
    written_bytes: Counter,
}

impl Measured {
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        Self {
            prepares: metrics.counters(
                "synod_acceptor_prepares_total",
                "Prepares by what became of them: done is promised",
                "answer",
                Answered::NAMES,
            ),
            accepts: metrics.counters(
                "synod_acceptor_accepts_total",
                "Accepts by what became of them: done is voted",
                "answer",
                Answered::NAMES,
            ),
            accepted_slots: metrics.counter(
                "synod_acceptor_accepted_slots_total",
                "Votes given, a slot voted in again included",
            ),
            sync_seconds: metrics.histogram(
                "synod_acceptor_sync_duration_seconds",
                "Writing a group of records to the log and syncing it",
                SECONDS,
            ),
            group_requests: metrics.histogram(
                "synod_acceptor_sync_group_requests",
                "Requests that shared a sync",
                COUNTS,
            ),
            written_bytes: metrics.counter(
                "synod_acceptor_log_written_bytes_total",
                "Bytes of records written to the log",
            ),
        }
    }

    pub(crate) fn prepare(&self, answered: Answered) {
        self.prepares[answered as usize].inc();
    }

    pub(crate) fn accept(&self, answered: Answered) {
        self.accepts[answered as usize].inc();
    }

    /// So many bytes of records, for so many requests, are on disk after so long.
    pub(crate) fn synced(&self, bytes: usize, requests: usize, took: Duration) {
        self.sync_seconds.observe(took.as_secs_f64());
        self.group_requests.observe(requests as f64);
        self.written_bytes.inc_by(bytes as u64);
    }
}

/// Has the rest read from what is published whenever somebody asks.
pub(crate) fn expose(metrics: &mut Metrics, handle: Handle, limits: Limits, data_dir: PathBuf) {
    metrics.disk(data_dir);
    metrics.at_scrape(move |scrape| {
        let durable = handle.durable();
        let round = durable.promised.map_or(0, |ballot| ballot.round);
        let marks = durable.marks;
        let roster = durable.roster.as_ref();
        for (name, help, value) in [
            ("synod_acceptor_promised_round", "Round of the highest ballot promised", round),
            (
                "synod_acceptor_voted_below",
                "One above the highest slot voted in",
                marks.voted_below.0,
            ),
            (
                "synod_acceptor_chosen_below",
                "Every slot below is chosen, as far as a leader has said",
                marks.chosen_below.0,
            ),
            (
                "synod_acceptor_trimmed_below",
                "Every slot below is gone from here",
                marks.trimmed_below.0,
            ),
            (
                "synod_acceptor_roster_acceptors",
                "Acceptors of the cluster as far as it knows, 0 while it belongs to none",
                roster.map_or(0, |roster| roster.acceptors().len() as u64),
            ),
            (
                "synod_acceptor_quorum_acceptors",
                "How many of them are a quorum",
                roster.map_or(0, |roster| roster.quorum() as u64),
            ),
            ("synod_acceptor_votes", "Untrimmed votes", durable.votes as u64),
            (
                "synod_acceptor_vote_bytes",
                "What the untrimmed votes count against their limit",
                durable.vote_bytes as u64,
            ),
            (
                "synod_acceptor_vote_limit_bytes",
                "Bytes of untrimmed votes up to which new slots are voted in",
                limits.vote_bytes as u64,
            ),
            ("synod_acceptor_log_bytes", "What the log takes on disk", durable.log_bytes),
            ("synod_acceptor_log_segments", "Files of the log", durable.log_segments as u64),
            (
                "synod_acceptor_queue_requests",
                "Requests that wait for the log",
                handle.waiting() as u64,
            ),
            (
                "synod_acceptor_queue_requests_limit",
                "How many may wait for the log",
                QUEUE_REQUESTS as u64,
            ),
        ] {
            scrape.gauge(name, help, value)?;
        }
        scrape.gauge(
            "synod_acceptor_leader_silence_seconds",
            "How long ago a leader was last heard from",
            durable.heard.elapsed().as_secs_f64(),
        )
    });
}
