//! How an acceptor comes from one roster to the next.
//!
//! It is *sealed* in the generation that it votes in when it is told that the stop of that
//! one is chosen, and votes and promises no more. It is *opened* in the next one when it is
//! told that a quorum of the one before is sealed. Both are on disk before it says so, and
//! whoever speaks to it of the generation before is told where to go.
//!
//! What it voted for before is dropped when it is opened: below the slot at which the next
//! generation begins all is chosen and durable at enough replicas, so it counts as trimmed;
//! from there on nothing of the generation before was ever chosen but its stop. The slot of
//! the stop counts as voted in: so the first leader of the next generation fills it at once,
//! and no read that saw the vote for the stop waits for it in vain.

use shared::bounds::{SLOTS_AHEAD, TooFar, within};
use shared::ids::{Generation, Slot};
use shared::message::{Marks, Roster, Succession, SuccessionReply, SuccessionRequest};

use crate::acceptor::{Acceptor, Plan, Record};

impl Acceptor {
    /// What it would do when it is told of a succession. One that it cannot follow changes
    /// nothing.
    ///
    /// # Errors
    /// When it begins where nobody can be.
    pub fn plan_succession(
        &self,
        request: &SuccessionRequest,
    ) -> Result<Plan<SuccessionReply>, TooFar> {
        let record = match request {
            SuccessionRequest::Tell => None,
            SuccessionRequest::Seal(succession) => self.seal(succession)?,
            SuccessionRequest::Open(succession) => self.open(succession)?,
        };
        let mut after = self.standing();
        match &record {
            Some(Record::Sealed(succession)) => after.sealed = Some((**succession).clone()),
            Some(Record::Opened(succession)) => {
                after = SuccessionReply {
                    acceptor: self.id,
                    roster: Some(succession.next().roster.clone()),
                    opened: Some((**succession).clone()),
                    sealed: None,
                    is_unused: false,
                    can_write: true,
                };
            }
            Some(
                Record::Joined(_)
                | Record::Promised(_)
                | Record::Voted { .. }
                | Record::Trimmed { .. },
            )
            | None => {}
        }
        Ok(Plan { records: record.into_iter().collect(), reply: after })
    }

    /// The latest succession that it knows of.
    #[must_use]
    pub fn succession(&self) -> Option<&Succession> {
        self.sealed.as_ref().or(self.opened.as_ref())
    }

    /// Whether its generation has ended and it is in no later one, as far as it knows.
    #[must_use]
    pub fn has_left(&self) -> bool {
        self.sealed.as_ref().is_some_and(|sealed| !sealed.next().roster.contains(self.id))
    }

    fn standing(&self) -> SuccessionReply {
        SuccessionReply {
            acceptor: self.id,
            roster: self.roster.clone(),
            opened: self.opened.clone(),
            sealed: self.sealed.clone(),
            is_unused: self.is_unused(),
            can_write: true,
        }
    }

    fn is_unused(&self) -> bool {
        self.roster.is_none() && self.promised.is_none() && self.marks == Marks::default()
    }

    fn seal(&self, succession: &Succession) -> Result<Option<Record>, TooFar> {
        let is_its = self.roster.as_ref() == Some(&succession.previous().roster);
        if !is_its || self.sealed.is_some() {
            return Ok(None);
        }
        self.check_begin(succession)?;
        Ok(Some(Record::Sealed(Box::new(succession.clone()))))
    }

    fn open(&self, succession: &Succession) -> Result<Option<Record>, TooFar> {
        let may_follow = match &self.roster {
            Some(own) => is_earlier(own, succession),
            None => self.is_unused(),
        };
        if !may_follow || !succession.next().roster.contains(self.id) {
            return Ok(None);
        }
        // One without data knows of no slot by which it could judge.
        if self.roster.is_some() {
            self.check_begin(succession)?;
        }
        Ok(Some(Record::Opened(Box::new(succession.clone()))))
    }

    /// As far as one that was away may be behind, and no further.
    fn check_begin(&self, succession: &Succession) -> Result<(), TooFar> {
        within("begin", succession.begin().0, self.marks.chosen_below.0, SLOTS_AHEAD)
    }

    /// A record of an earlier life may come again with the summary of a later segment: then
    /// it changes nothing.
    pub(crate) fn apply_sealed(&mut self, succession: &Succession) {
        if self.roster.as_ref() == Some(&succession.previous().roster) {
            let sealed = self.sealed.get_or_insert_with(|| succession.clone());
            assert_eq!(sealed, succession, "a generation ends once");
            // It names the next roster from now on, and a quorum of that is asked how far reads
            // must wait: for all of this generation, whatever it has voted for itself.
            self.end_at(succession.begin());
        }
    }

    /// As [`Acceptor::apply_sealed`]; what was voted since must not be dropped.
    pub(crate) fn apply_opened(&mut self, succession: &Succession) {
        if self.roster.as_ref().is_some_and(|own| !is_earlier(own, succession)) {
            return;
        }
        self.roster = Some(succession.next().roster.clone());
        self.opened = Some(succession.clone());
        self.sealed = None;
        self.votes.clear();
        self.vote_bytes = 0;
        self.end_at(succession.begin());
        self.marks.trimmed_below = self.marks.trimmed_below.max(succession.begin());
    }

    /// All below is chosen, and so is the stop in that slot.
    fn end_at(&mut self, begin: Slot) {
        self.marks.voted_below = self.marks.voted_below.max(begin.next());
        self.marks.chosen_below = self.marks.chosen_below.max(begin);
    }
}

/// Whether a roster is one that the succession, or one before it, has ended.
pub(crate) fn is_earlier(own: &Roster, succession: &Succession) -> bool {
    let Generation(next) = succession.generation();
    own.cluster() == succession.cluster() && own.generation().0 < next
}
