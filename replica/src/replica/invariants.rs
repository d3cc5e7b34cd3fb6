//! What holds of a replica after every step.

use crate::replica::Replica;
use crate::replica::config::Config;
use crate::replica::event::{Role, Storage};
use crate::replica::history::History;

impl Replica {
    /// Runs every `invariant_…` of the replica and its parts.
    ///
    /// # Panics
    /// When one is broken.
    pub fn check_invariants(&self) {
        self.invariant_only_a_primary_has_mutations();
        self.invariant_queues_are_bounded();
        self.invariant_nothing_waits_while_the_disk_is_full();
        self.batching.invariant_flying_batches_are_due(self.meta.epoch(), self.meta.next_batch);
        self.batching.invariant_queue_is_counted();
        self.batching.invariant_a_request_is_here_once();
        self.compacting.invariant_notes_are_bounded();
        self.learner.invariant_learned_is_contiguous();
        self.learner.invariant_executed_is_what_meta_says(self.meta.executed_below);
        self.learner.invariant_stored_is_executed(self.stored.executed_below);
        self.reads.invariant_a_read_uses_a_later_probe();
        if self.history == History::Confirmed {
            self.reads.invariant_reads_wait_for_later_slots(self.stored.executed_below);
        }
    }

    fn invariant_only_a_primary_has_mutations(&self) {
        let (queued, flying) = (self.batching.queued(), self.batching.flying_mutations());
        assert!(
            self.role() == Role::Primary || queued + flying == 0,
            "not primary, with {queued} queued and {flying} flying"
        );
    }

    fn invariant_nothing_waits_while_the_disk_is_full(&self) {
        let queued = self.batching.queued();
        assert!(
            self.storage != Storage::Full || queued == 0,
            "{queued} mutations wait, and the disk is full"
        );
    }

    fn invariant_queues_are_bounded(&self) {
        let Config { queued_mutations, waiting_reads, .. } = self.config;
        // What flew in the epoch before goes back to the queue beside what waited.
        let limit = queued_mutations + self.config.flying_mutations();
        assert!(
            self.batching.queued() <= limit,
            "{} mutations wait, the limit is {limit}",
            self.batching.queued()
        );
        assert!(
            self.waiting_reads() <= waiting_reads,
            "{} reads wait, the limit is {waiting_reads}",
            self.waiting_reads()
        );
    }
}
