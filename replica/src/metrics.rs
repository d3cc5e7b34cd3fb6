//! What a replica counts and measures, for `GET /metrics`.

mod labels;
mod present;

use shared::metrics::{BYTES, COUNTS, Counter, Gauge, Histogram, Metrics, SECONDS, set};

use self::labels::{Outcome, ReadRefused, Refused};
pub(crate) use self::present::{Present, expose};
use crate::machine::execute::{ExecutionReport, SlotOutcome};
use crate::machine::outcome::Delivery;
use crate::machine::state::Meta;
use crate::replica::event::{Answer, NotApplied, Refusal};
use crate::verification::{Check, Overall};

const SLOTS: [&str; 4] = ["batch", "view", "noop", "void"];
/// What comparing states came to.
const CHECKS: [&str; 3] = ["agree", "diverged", "incomplete"];
const PROBES: [&str; 2] = ["answered", "failed"];
/// What the executor does on the database, in the order of [`Step`].
const STEPS: [&str; 5] = ["execute", "store", "sweep", "sync", "copy"];

/// Something that takes the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Executing slots on the state in memory, with what of it is loaded for that.
    Execute,
    /// Storing what is executed, in one transaction.
    Store,
    /// Sweeping deletions of many keys, in one transaction.
    Sweep,
    /// Syncing the WAL.
    Sync,
    /// Copying the WAL into the database file.
    Copy,
}

/// What the driver and its tasks count.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    slots: [Counter; SLOTS.len()],
    commands: [Counter; Outcome::NAMES.len()],
    replayed: Counter,
    batch_commands: Histogram,
    /// Of a value in a chosen slot.
    pub(crate) value_bytes: Histogram,
    steps: [Histogram; STEPS.len()],
    probes: [Counter; PROBES.len()],
    probe_seconds: Histogram,
    released: Histogram,
    /// From a linearizable read to the moment when it may read the state.
    pub(crate) read_wait_seconds: Histogram,
    /// Times that this replica asked a coordinator to have a batch chosen.
    pub(crate) proposals: Counter,
    mutations_refused: [Counter; Refused::NAMES.len()],
    reads_refused: [Counter; ReadRefused::NAMES.len()],
    /// Views executed in this life.
    pub(crate) views: Counter,
    /// Those of them that have another primary, or another life of it, than the one before.
    pub(crate) primary_changes: Counter,
    checks: [Counter; CHECKS.len()],
    diverged: Gauge,
    agreed_below: Gauge,
    leases: Gauge,
    claims: Gauge,
    locks: Gauge,
    answers: Gauge,
    free_pages: Gauge,
}

impl Measured {
    pub(crate) fn register(metrics: &mut Metrics) -> Self {
        let mut gauge = |name, help| metrics.gauge(name, help);
        let leases = gauge("synod_replica_leases", "Leases that there are");
        let locks = gauge("synod_replica_locks_held", "Locks that are held");
        let claims =
            gauge("synod_replica_lock_claims", "Leases that hold a lock or wait in its line");
        let answers = gauge(
            "synod_replica_idempotency_keys",
            "First answers that are kept for requests with an Idempotency-Key",
        );
        let diverged = gauge(
            "synod_replica_state_diverged",
            "Whether replicas had different states when this one last compared all of them",
        );
        let agreed_below = gauge(
            "synod_replica_state_agreed_below",
            "Every slot below was executed when this replica last found all states to be the same",
        );
        let free_pages = gauge(
            "synod_replica_database_free_pages",
            "Pages of the database that hold nothing, at the latest checkpoint",
        );
        Self {
            leases,
            locks,
            claims,
            answers,
            free_pages,
            diverged,
            agreed_below,
            checks: metrics.counters(
                "synod_replica_state_checks_total",
                "Comparisons of all replicas' states that this one made",
                "verdict",
                CHECKS,
            ),
            slots: metrics.counters(
                "synod_replica_executed_slots_total",
                "Slots executed by what they held",
                "kind",
                SLOTS,
            ),
            commands: metrics.counters(
                "synod_replica_executed_commands_total",
                "Mutations executed by what came of them",
                "outcome",
                Outcome::NAMES,
            ),
            replayed: metrics.counter(
                "synod_replica_replayed_commands_total",
                "Mutations that were answered with their kept first answer",
            ),
            batch_commands: metrics.histogram(
                "synod_replica_batch_commands",
                "Mutations of an executed batch",
                COUNTS,
            ),
            value_bytes: metrics.histogram(
                "synod_replica_value_bytes",
                "Sizes of the values in executed slots",
                BYTES,
            ),
            steps: metrics.histograms(
                "synod_replica_database_duration_seconds",
                "What is done on the database: execute, store and sweep by the one that \
                 executes, sync and copy beside it",
                ("step", STEPS),
                SECONDS,
            ),
            probes: metrics.counters(
                "synod_replica_probes_total",
                "Requests to acceptors for their watermarks, for quorum reads",
                "outcome",
                PROBES,
            ),
            probe_seconds: metrics.histogram(
                "synod_replica_probe_duration_seconds",
                "From such a request to its answer",
                SECONDS,
            ),
            released: metrics.histogram(
                "synod_replica_released_reads",
                "Reads that shared a release",
                COUNTS,
            ),
            read_wait_seconds: metrics.histogram(
                "synod_replica_read_wait_duration_seconds",
                "From a linearizable read to the moment when it may read the state",
                SECONDS,
            ),
            proposals: metrics.counter(
                "synod_replica_proposals_total",
                "Times that a coordinator was asked to have a batch chosen",
            ),
            mutations_refused: metrics.counters(
                "synod_replica_mutations_refused_total",
                "Mutations at this primary that were not executed, or of which nothing is known",
                "reason",
                Refused::NAMES,
            ),
            reads_refused: metrics.counters(
                "synod_replica_reads_refused_total",
                "Reads that were not released",
                "reason",
                ReadRefused::NAMES,
            ),
            views: metrics
                .counter("synod_replica_views_total", "Views executed since the process started"),
            primary_changes: metrics.counter(
                "synod_replica_primary_changes_total",
                "Views with another primary, or another life of it, than the view before",
            ),
        }
    }

    /// Slots are executed.
    pub(crate) fn executed(&self, report: &ExecutionReport) {
        let [batch, view, noop, void] = &self.slots;
        for executed in &report.slots {
            let counter = match &executed.outcome {
                SlotOutcome::Batch { commands, .. } => {
                    self.batch_commands.observe(commands.len() as f64);
                    for command in commands {
                        match command.delivery {
                            Delivery::First => {
                                self.commands[Outcome::of(&command.outcome) as usize].inc()
                            }
                            Delivery::Replayed => self.replayed.inc(),
                        };
                    }
                    batch
                }
                SlotOutcome::View(_) => view,
                SlotOutcome::Noop => noop,
                SlotOutcome::Void(_) => void,
            };
            counter.inc();
        }
    }

    /// A state is stored, in which so many locks are held.
    pub(crate) fn stored(&self, meta: &Meta, locks: usize) {
        set(&self.leases, meta.leases);
        set(&self.claims, meta.claims);
        set(&self.answers, meta.answers);
        set(&self.locks, locks as u64);
    }

    /// Another replica compares the states from now on.
    pub(crate) fn left_to_the_primary(&self) {
        set(&self.diverged, 0);
    }

    /// The states of all replicas were compared.
    pub(crate) fn checked(&self, check: &Check) {
        let [agree, diverged, incomplete] = &self.checks;
        match check.verdict {
            Overall::Agree => {
                agree.inc();
                set(&self.diverged, 0);
                set(&self.agreed_below, check.executed_below.0);
            }
            Overall::Diverged => {
                diverged.inc();
                set(&self.diverged, 1);
            }
            // What was found before may still be so.
            Overall::Incomplete => {
                incomplete.inc();
            }
        }
    }

    /// So many pages of the database hold nothing.
    pub(crate) fn free_pages(&self, pages: u64) {
        set(&self.free_pages, pages);
    }

    /// Something was done on the database.
    pub(crate) fn took(&self, step: Step, seconds: f64) {
        self.steps[step as usize].observe(seconds);
    }

    /// An acceptor was asked for its watermarks.
    pub(crate) fn probed(&self, is_answered: bool, seconds: f64) {
        let [answered, failed] = &self.probes;
        if is_answered {
            answered.inc();
            self.probe_seconds.observe(seconds);
        } else {
            failed.inc();
        }
    }

    /// So many reads are released at once.
    pub(crate) fn released(&self, reads: usize) {
        self.released.observe(reads as f64);
    }

    /// A mutation has its answer.
    pub(crate) fn answered(&self, answer: &Answer) {
        match answer {
            Answer::Executed { .. } => {}
            Answer::NotApplied(reason) => self.mutation_refused(reason),
            Answer::Unknown(_) => self.count(Refused::Unknown),
            Answer::Forgotten => self.count(Refused::Forgotten),
        }
    }

    /// A mutation is not executed.
    pub(crate) fn mutation_refused(&self, reason: &NotApplied) {
        self.count(Refused::of(reason));
    }

    fn count(&self, refused: Refused) {
        self.mutations_refused[refused as usize].inc();
    }

    /// A read is not released.
    pub(crate) fn read_refused(&self, refusal: &Refusal) {
        self.reads_refused[ReadRefused::of(refusal) as usize].inc();
    }
}
