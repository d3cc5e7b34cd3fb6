//! What is true of the batches between any two inputs.

use shared::ids::{BatchNumber, Epoch};

use super::Batching;

impl Batching {
    /// What flies is of this epoch, not yet executed, and not too much.
    pub(crate) fn invariant_flying_batches_are_due(&self, epoch: Epoch, next_batch: BatchNumber) {
        let (Some((first, _)), Some((last, _))) =
            (self.flying.first_key_value(), self.flying.last_key_value())
        else {
            return;
        };
        assert_eq!(self.epoch, epoch, "batches fly in an epoch that is not the one executed last");
        assert!(
            *first >= next_batch,
            "batch {first} flies and batch {next_batch} is due: it was executed"
        );
        assert!(
            *last < self.next_number,
            "batch {last} flies and {} was not made yet",
            self.next_number
        );
        assert!(
            self.flying.len() <= self.pipeline,
            "{} batches fly, the limit is {}",
            self.flying.len(),
            self.pipeline
        );
    }

    /// A request has one command here, and whoever waits waits for one that is here.
    pub(crate) fn invariant_a_request_is_here_once(&self) {
        let here = self.queue.len() + self.flying_mutations();
        assert_eq!(here, self.requesters.requests(), "mutations here, and requests waited for");
        for command in self.commands() {
            let request = &command.request;
            assert!(self.requesters.knows(request), "request {request} is here and not known");
        }
    }

    /// The bytes that wait are counted right.
    pub(crate) fn invariant_queue_is_counted(&self) {
        let bytes: usize = self.queue.iter().map(|mutation| mutation.command.op.size()).sum();
        assert_eq!(bytes, self.queued_bytes, "bytes in the queue, and what is counted");
    }
}
