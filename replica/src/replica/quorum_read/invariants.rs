//! What holds of quorum reads after every step.

use shared::ids::Slot;

use super::{QuorumReads, State};

impl QuorumReads {
    /// A read never uses a probe that was sent before it arrived.
    pub(crate) fn invariant_a_read_uses_a_later_probe(&self) {
        let State::InFlight(probe) = &self.state else { return };
        for (id, sent_before) in &probe.readers {
            assert!(
                *sent_before < probe.id.0,
                "read {id} arrived after probe {sent_before} and uses probe {}",
                probe.id
            );
        }
    }

    /// No read waits for a slot that is executed.
    pub(crate) fn invariant_reads_wait_for_later_slots(&self, executed_below: Slot) {
        if let Some((slot, _)) = self.waiting.first_key_value() {
            assert!(
                *slot > executed_below,
                "reads wait for {slot}, and {executed_below} is executed"
            );
        }
    }
}
