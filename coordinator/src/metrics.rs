//! What a coordinator counts and measures, for `GET /metrics`.

use shared::message::{Phase, ProposalReply, View};
use shared::metrics::{BYTES, Counter, Gauge, Histogram, Metrics, SECONDS, TracedHistogram, set};

use crate::config::Config;
use crate::coordinator::Coordinator;
use crate::driver::handle::Handle;
use crate::effect::{PhaseChange, Reason};

const PHASES: [&str; 3] = ["inactive", "phase1", "phase2"];
const ELECTIONS: [&str; 3] = ["begun", "won", "lost"];
const ENDINGS: [&str; 4] = ["outbid", "quorum_silent", "replicas_silent", "other"];
const VIEWS: [&str; 6] =
    ["first", "primary_replaced", "primary_restarted", "joined", "left", "format"];
const PROPOSALS: [&str; 4] = ["chosen", "not_leading", "overloaded", "unresolved"];
const NACKS: [&str; 2] = ["prepare", "accept"];

/// Which message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nacked {
    /// Phase 1a.
    Prepare,
    /// Phase 2a.
    Accept,
}

/// Why a view was proposed: the first of these that tells it from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ViewChange {
    First,
    PrimaryReplaced,
    PrimaryRestarted,
    Joined,
    Left,
    Format,
}

impl ViewChange {
    fn of(before: Option<&View>, after: &View) -> Self {
        let Some(before) = before else { return Self::First };
        if before.primary != after.primary {
            Self::PrimaryReplaced
        } else if before.primary_instance != after.primary_instance {
            Self::PrimaryRestarted
        } else if after.backups.iter().any(|backup| !before.contains(backup)) {
            Self::Joined
        } else if before.backups.iter().any(|backup| !after.contains(backup)) {
            Self::Left
        } else {
            Self::Format
        }
    }
}

/// What the driver counts and publishes.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    phases: [Gauge; PHASES.len()],
    ballot_round: Gauge,
    epoch: Gauge,
    chosen_below: Gauge,
    trimmed_below: Gauge,
    next_slot: Gauge,
    in_flight_slots: Gauge,
    in_flight_bytes: Gauge,
    waiting_proposals: Gauge,
    roster_acceptors: Gauge,
    quorum_acceptors: Gauge,
    elections: [Counter; ELECTIONS.len()],
    endings: [Counter; ENDINGS.len()],
    views: [Counter; VIEWS.len()],
    proposals: [Counter; PROPOSALS.len()],
    nacks: [Counter; NACKS.len()],
    /// From the arrival of a proposal to its value being chosen.
    pub(crate) chosen_seconds: TracedHistogram,
    /// Of a proposed value.
    pub(crate) value_bytes: Histogram,
    /// Slots that became chosen under this coordinator's leadership.
    pub(crate) decisions: Counter,
    /// Votes that acceptors sent it.
    pub(crate) votes: Counter,
    /// Requests to acceptors that asked for votes.
    pub(crate) accepts: Counter,
}

impl Measured {
    pub(crate) fn register(metrics: &mut Metrics, config: &Config) -> Self {
        let limits = [
            (
                "synod_coordinator_in_flight_slots_limit",
                "How many slots may be in flight",
                config.max_in_flight_slots,
            ),
            (
                "synod_coordinator_in_flight_limit_bytes",
                "How many bytes of values may be in flight",
                config.max_in_flight_bytes as u64,
            ),
            (
                "synod_coordinator_waiting_proposals_limit",
                "How many may wait: for each slot in flight, those who have proposed its value",
                config.max_in_flight_slots * config.max_waiters_per_slot as u64,
            ),
        ];
        for (name, help, limit) in limits {
            set(&metrics.gauge(name, help), limit);
        }
        let mut gauge = |name, help| metrics.gauge(name, help);
        let ballot_round = gauge(
            "synod_coordinator_ballot_round",
            "Round of the ballot that it prepares or leads at, 0 while it stands by",
        );
        let epoch = gauge("synod_coordinator_epoch", "Highest epoch that a replica told of");
        let chosen_below = gauge("synod_coordinator_chosen_below", "Every slot below is chosen");
        let trimmed_below =
            gauge("synod_coordinator_trimmed_below", "Some acceptor has trimmed every slot below");
        let next_slot = gauge(
            "synod_coordinator_next_slot",
            "The next slot that it gives away, 0 while it does not lead",
        );
        let in_flight_slots =
            gauge("synod_coordinator_in_flight_slots", "Slots proposed and not yet chosen");
        let in_flight_bytes =
            gauge("synod_coordinator_in_flight_bytes", "Bytes of the values in those slots");
        let waiting_proposals =
            gauge("synod_coordinator_waiting_proposals", "Proposals that wait for an answer");
        let roster_acceptors = gauge(
            "synod_coordinator_roster_acceptors",
            "Acceptors of the cluster as far as it knows, 0 while it knows of none",
        );
        let quorum_acceptors =
            gauge("synod_coordinator_quorum_acceptors", "How many of them are a quorum");
        Self {
            ballot_round,
            epoch,
            chosen_below,
            trimmed_below,
            next_slot,
            in_flight_slots,
            in_flight_bytes,
            waiting_proposals,
            roster_acceptors,
            quorum_acceptors,
            phases: metrics.gauges(
                "synod_coordinator_phase",
                "1 for the phase that it is in: phase2 leads",
                "phase",
                PHASES,
            ),
            elections: metrics.counters(
                "synod_coordinator_elections_total",
                "Elections in which this coordinator stood",
                "outcome",
                ELECTIONS,
            ),
            endings: metrics.counters(
                "synod_coordinator_leaderships_ended_total",
                "Leaderships of this coordinator that ended, and why",
                "reason",
                ENDINGS,
            ),
            views: metrics.counters(
                "synod_coordinator_views_proposed_total",
                "Views that this coordinator proposed, and why",
                "reason",
                VIEWS,
            ),
            proposals: metrics.counters(
                "synod_coordinator_proposals_total",
                "Proposals of primaries by what became of them",
                "outcome",
                PROPOSALS,
            ),
            nacks: metrics.counters(
                "synod_coordinator_nacks_total",
                "Refusals of acceptors that have promised a higher ballot",
                "message",
                NACKS,
            ),
            chosen_seconds: metrics.traced_histogram(
                "synod_coordinator_chosen_duration_seconds",
                "From the arrival of a proposal to its value being chosen",
                SECONDS,
            ),
            value_bytes: metrics.histogram(
                "synod_coordinator_value_bytes",
                "Sizes of the batches that primaries proposed",
                BYTES,
            ),
            decisions: metrics.counter(
                "synod_coordinator_decisions_total",
                "Slots that became chosen under this coordinator",
            ),
            votes: metrics.counter("synod_coordinator_votes_total", "Votes that acceptors sent"),
            accepts: metrics.counter(
                "synod_coordinator_accepts_total",
                "Requests to acceptors that asked for votes",
            ),
        }
    }

    /// Publishes where the core is.
    pub(crate) fn publish(&self, core: &Coordinator, waiting_proposals: usize) {
        let phase = match core.phase() {
            Phase::Inactive => 0,
            Phase::Phase1 => 1,
            Phase::Phase2 => 2,
        };
        for (of, gauge) in self.phases.iter().enumerate() {
            set(gauge, u64::from(of == phase));
        }
        set(&self.ballot_round, core.ballot().map_or(0, |ballot| ballot.round));
        set(&self.epoch, core.epoch().0);
        set(&self.chosen_below, core.chosen_below().0);
        set(&self.trimmed_below, core.trimmed_below().0);
        let (next_slot, slots, bytes) = core.in_flight().unwrap_or_default();
        set(&self.next_slot, next_slot.0);
        set(&self.in_flight_slots, slots as u64);
        set(&self.in_flight_bytes, bytes as u64);
        set(&self.waiting_proposals, waiting_proposals as u64);
        let sizes = core.roster().map(|roster| (roster.acceptors().len(), roster.quorum()));
        let (roster, quorum) = sizes.unwrap_or_default();
        set(&self.roster_acceptors, roster as u64);
        set(&self.quorum_acceptors, quorum as u64);
    }

    pub(crate) fn phase_changed(&self, change: PhaseChange) {
        let [begun, won, lost] = &self.elections;
        let ended = match (change.from, change.to) {
            (Phase::Inactive, _) => None,
            (Phase::Phase1, Phase::Phase2) => Some(won),
            (Phase::Phase1, Phase::Inactive | Phase::Phase1) => Some(lost),
            (Phase::Phase2, _) => Some(&self.endings[ending(change.reason)]),
        };
        let begins = (change.to == Phase::Phase1).then_some(begun);
        ended.into_iter().chain(begins).for_each(|counter| {
            counter.inc();
        });
    }

    pub(crate) fn view_proposed(&self, before: Option<&View>, after: &View) {
        self.views[ViewChange::of(before, after) as usize].inc();
    }

    pub(crate) fn proposal_answered(&self, reply: &ProposalReply) {
        let outcome = match reply {
            ProposalReply::Chosen { .. } => 0,
            ProposalReply::NotLeading => 1,
            ProposalReply::Overloaded { .. } => 2,
            ProposalReply::Unresolved => 3,
        };
        self.proposals[outcome].inc();
    }

    pub(crate) fn nacked(&self, message: Nacked) {
        self.nacks[message as usize].inc();
    }
}

fn ending(reason: Reason) -> usize {
    match reason {
        Reason::Outbid(_) => 0,
        Reason::QuorumSilent => 1,
        Reason::ReplicasSilent => 2,
        Reason::LeaderSilent
        | Reason::LeaderEnded
        | Reason::NoLeaderYet
        | Reason::Promised
        | Reason::Phase1TimedOut
        | Reason::Succeeded => 3,
    }
}

/// Has the rest read from what is published whenever somebody asks.
pub(crate) fn expose(metrics: &mut Metrics, handle: Handle) {
    metrics.at_scrape(move |scrape| {
        scrape.gauge(
            "synod_coordinator_quorum_answers",
            "Whether it knows its cluster and a quorum of acceptors answers it",
            u32::from(handle.waiting_for().is_none()),
        )?;
        scrape.gauge(
            "synod_coordinator_troubles",
            "What people must mend, as its log and its status say",
            handle.troubles().len(),
        )
    });
}

#[cfg(test)]
mod tests {
    use shared::ids::{Ballot, CoordinatorId, Epoch, Instance, LogFormat, Name};
    use shared::message::Service;

    use super::*;

    fn measured() -> (Measured, Metrics) {
        let mut metrics = Metrics::new(Service::Coordinator, &"coordinator-1".parse().unwrap());
        let measured = Measured::register(&mut metrics, &Config::new(3));
        (measured, metrics)
    }

    #[test]
    fn elections_and_leaderships_are_counted_as_they_begin_and_end() {
        let (measured, metrics) = measured();
        let ballot = Ballot { round: 3, coordinator: CoordinatorId(1) };
        for (from, to, reason) in [
            (Phase::Inactive, Phase::Phase1, Reason::LeaderSilent),
            (Phase::Phase1, Phase::Inactive, Reason::Phase1TimedOut),
            (Phase::Inactive, Phase::Phase1, Reason::LeaderSilent),
            (Phase::Phase1, Phase::Phase2, Reason::Promised),
            (Phase::Phase2, Phase::Inactive, Reason::Outbid(ballot)),
        ] {
            measured.phase_changed(PhaseChange { from, to, ballot, reason });
        }
        let text = metrics.text();
        for expected in [
            "elections_total{outcome=\"begun\"} 2\n",
            "elections_total{outcome=\"won\"} 1\n",
            "elections_total{outcome=\"lost\"} 1\n",
            "leaderships_ended_total{reason=\"outbid\"} 1\n",
        ] {
            assert!(text.contains(&format!("synod_coordinator_{expected}")), "{expected}: {text}");
        }
    }

    #[test]
    fn a_view_is_counted_by_what_tells_it_from_the_one_before() {
        let view = |primary: &str, instance: u64, backups: &[&str], format: u16| View {
            epoch: Epoch(1),
            primary: primary.parse().unwrap(),
            primary_instance: Instance(instance),
            backups: backups.iter().map(|name| name.parse::<Name>().unwrap()).collect(),
            format: LogFormat(format),
        };
        let before = view("a", 1, &["b", "c"], 1);
        for (after, change) in [
            (view("b", 2, &["a", "c"], 1), ViewChange::PrimaryReplaced),
            (view("a", 2, &["b", "c"], 1), ViewChange::PrimaryRestarted),
            (view("a", 1, &["b", "c", "d"], 1), ViewChange::Joined),
            (view("a", 1, &["b"], 1), ViewChange::Left),
            (view("a", 1, &["b", "c"], 2), ViewChange::Format),
        ] {
            assert_eq!(ViewChange::of(Some(&before), &after), change, "{after:?}");
        }
        assert_eq!(ViewChange::of(None, &before), ViewChange::First);
    }
}
