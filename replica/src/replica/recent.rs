//! The requests that were executed lately, and what came of each, for those that are sent
//! again because their answer was lost.
//!
//! A request names a slot below which everything was executed before it was made
//! (`since`), so it can only be executed from there on. A primary has executed its own
//! view, and with it whatever of former epochs will ever count. So where it knows all that
//! was executed from `since` on, a request is either known here, or waits or flies in one of
//! the primary's own batches, or was never executed and comes as if for the first time.
//!
//! Every replica keeps this of what it executes, in memory, since any may become primary.
//! It is no part of the replicated state: what is forgotten is refused, and never executed
//! twice.

use std::collections::{BTreeMap, VecDeque};

use shared::ids::Slot;

use crate::machine::execute::{CommandOutcome, ExecutedCommand};
use crate::machine::identity::RequestIdentity;

/// So many are known: those of a few seconds, at the highest rates.
const REQUESTS: usize = 65_536;

/// The longest answer that is kept, in bytes as it travels: of a transaction that reads.
const ANSWER_BYTES: usize = 4 << 10;

/// What all answers of transactions take that are kept, in bytes as they travel.
const ANSWERS_BYTES: usize = 8 << 20;

/// The requests executed lately.
#[derive(Clone, Debug)]
pub(crate) struct RecentRequests {
    /// All that was executed at this slot and above is known.
    from: Slot,
    /// Where each was executed, and what came of it; none where that is too long to keep.
    outcomes: BTreeMap<RequestIdentity, (Slot, Option<CommandOutcome>)>,
    order: VecDeque<Kept>,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    slot: Slot,
    request: RequestIdentity,
    /// Beyond what every answer takes.
    bytes: usize,
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It was executed at that slot and came to this; none where that is not kept.
    Executed(Slot, Option<CommandOutcome>),
    /// It was not executed by now.
    NotExecuted,
    /// It may have been executed before what is known.
    Forgotten,
}

impl RecentRequests {
    /// Of a replica that has executed every slot below in a life before.
    pub(crate) fn new(executed_below: Slot) -> Self {
        let (outcomes, order) = (BTreeMap::new(), VecDeque::new());
        Self { from: executed_below, outcomes, order, bytes: 0 }
    }

    /// All that was executed at this slot and above is known.
    pub(crate) fn from(&self) -> Slot {
        self.from
    }

    /// A command was executed. One that is named by an `Idempotency-Key` is known elsewhere,
    /// and of one that was denied, or for which there was only no room, the repeat is as good
    /// as the first.
    pub(crate) fn executed(&mut self, slot: Slot, command: &ExecutedCommand) {
        let ExecutedCommand { request, outcome, .. } = command;
        match request {
            RequestIdentity::Drawn(_) if !outcome.is_for_now() => {}
            RequestIdentity::Drawn(_) | RequestIdentity::Keyed(_) => return,
        }
        let bytes = size_of(outcome);
        let answer = (bytes <= ANSWER_BYTES).then(|| outcome.clone());
        let bytes = if answer.is_some() { bytes } else { 0 };
        if self.outcomes.insert(*request, (slot, answer)).is_none() {
            self.order.push_back(Kept { slot, request: *request, bytes });
            self.bytes += bytes;
        }
        while (self.order.len() > REQUESTS || self.bytes > ANSWERS_BYTES)
            && let Some(kept) = self.order.pop_front()
        {
            self.bytes -= kept.bytes;
            self.outcomes.remove(&kept.request);
            self.from = kept.slot.next();
        }
    }

    /// What is known of a request that was made when every slot below `since` was executed.
    pub(crate) fn find(&self, request: &RequestIdentity, since: Slot) -> Known {
        match self.outcomes.get(request) {
            Some((slot, outcome)) => Known::Executed(*slot, outcome.clone()),
            None if since < self.from => Known::Forgotten,
            None => Known::NotExecuted,
        }
    }
}

/// Bytes of an answer as it travels, where that is more than a few.
fn size_of(outcome: &CommandOutcome) -> usize {
    let CommandOutcome::Txn(txn) = outcome else { return 0 };
    postcard::experimental::serialized_size(txn).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use shared::ids::Revision;

    use super::*;
    use crate::machine::access::authorize::Denied;
    use crate::machine::access::outcome::AccessRefused;
    use crate::machine::execute::Delivery;

    fn request(number: usize) -> RequestIdentity {
        RequestIdentity::Drawn((number as u128).to_be_bytes())
    }

    fn command(number: usize) -> ExecutedCommand {
        let outcome = CommandOutcome::Created { revision: Revision(number as u64) };
        ExecutedCommand { request: request(number), outcome, delivery: Delivery::First }
    }

    #[test]
    fn a_request_is_known_with_what_came_of_it() {
        let mut recent = RecentRequests::new(Slot(5));
        recent.executed(Slot(6), &command(1));
        let outcome = CommandOutcome::Created { revision: Revision(1) };
        assert_eq!(recent.find(&request(1), Slot(5)), Known::Executed(Slot(6), Some(outcome)));
        assert_eq!(recent.find(&request(2), Slot(5)), Known::NotExecuted);
        assert_eq!(
            recent.find(&request(2), Slot(4)),
            Known::Forgotten,
            "it may be of a life before"
        );
    }

    #[test]
    fn the_oldest_are_forgotten_and_nothing_is_said_of_what_may_be_among_them() {
        let mut recent = RecentRequests::new(Slot(0));
        for number in 0..=REQUESTS {
            recent.executed(Slot(number as u64 / 2), &command(number));
        }
        assert_eq!(recent.order.len(), REQUESTS);
        assert_eq!(recent.from(), Slot(1));
        assert_eq!(recent.find(&request(0), Slot(0)), Known::Forgotten);
        assert_eq!(recent.find(&request(REQUESTS + 1), Slot(1)), Known::NotExecuted);
    }

    #[test]
    fn what_found_no_room_or_was_denied_may_come_again() {
        let mut recent = RecentRequests::new(Slot(0));
        let revision = Revision(1);
        for outcome in [
            CommandOutcome::TxnWithoutRoom { revision },
            CommandOutcome::AccessRefused { revision, why: AccessRefused::TooManyTokens },
            CommandOutcome::Denied { revision, why: Denied::NoToken },
        ] {
            recent.executed(Slot(0), &ExecutedCommand { outcome, ..command(1) });
            assert_eq!(recent.find(&request(1), Slot(0)), Known::NotExecuted);
        }
    }
}
