//! What is known of the chosen log: learned, handed out for execution, executed.
//!
//! Learned entries come from anywhere and in any order (a primary learns the slots of its
//! own batches from the coordinator's answers), but they are handed out and served to
//! peers only without a gap. The same slot may be learned twice, at different ballots,
//! never with different values: that would be two decisions, and ends the process.
//!
//! The hash of the log below each slot is kept as long as the entries: pages for peers
//! carry it, and what peers send is held against it.
//!
//! ```text
//!   0 ─────── stored_below ─── executed_below ─── executing_below ─── learned_below ─── chosen_below
//!     in the database    executed    handed to the shell    in memory      known to exist      (a hole, and what was learned ahead of it)
//! ```

mod claims;
mod footprint;

use std::collections::BTreeMap;
use std::time::Duration;

use shared::bounds::{SLOTS_AHEAD, TooFar, within};
use shared::chain::ChainHash;
use shared::ids::Slot;
use shared::message::{ChosenEntry, ChosenReply, LogPrefix, Value};
use shared::page::PageLimits;

use crate::machine::command::Commands;
use crate::replica::config::Config;
use crate::replica::status::LogPage;
pub use claims::Claimant;
use claims::Claims;

/// The learner's part of a replica.
#[derive(Clone, Debug)]
pub(crate) struct Learner {
    entry_limit: usize,
    byte_limit: usize,
    run_entries: usize,
    run_bytes: usize,
    stored_below: Slot,
    executed_below: Slot,
    executing_below: Slot,
    learned_below: Slot,
    chosen_below: Slot,
    /// What is handed out at once does not go beyond this slot.
    stop_at: Option<Slot>,
    claims: Claims,
    /// The newest stored entries, all learned ones after them, and those ahead of a
    /// hole.
    entries: BTreeMap<Slot, ChosenEntry>,
    /// The hash of the log below each slot, from the oldest entry without a gap before
    /// `learned_below` to `learned_below` itself.
    hashes: BTreeMap<Slot, ChainHash>,
    /// What batches before this slot say of the log is settled.
    agreed_below: Slot,
    bytes: usize,
    unexecuted: usize,
    unexecuted_bytes: usize,
}

impl Learner {
    pub(crate) fn new(config: &Config, executed_below: Slot, hash: ChainHash) -> Self {
        Self {
            entry_limit: config.learned_entries,
            byte_limit: config.learned_bytes,
            run_entries: config.execute_entries,
            run_bytes: config.execute_bytes,
            stored_below: executed_below,
            executed_below,
            executing_below: executed_below,
            learned_below: executed_below,
            chosen_below: executed_below,
            stop_at: None,
            claims: Claims::default(),
            entries: BTreeMap::new(),
            hashes: BTreeMap::from([(executed_below, hash)]),
            agreed_below: Slot(0),
            bytes: 0,
            unexecuted: 0,
            unexecuted_bytes: 0,
        }
    }

    pub(crate) fn learned_below(&self) -> Slot {
        self.learned_below
    }

    pub(crate) fn chosen_below(&self) -> Slot {
        self.chosen_below
    }

    /// Takes somebody's word that every slot below is chosen.
    ///
    /// # Errors
    /// When it is too far above what is learned to be believed.
    pub(crate) fn note_chosen(
        &mut self,
        now: Duration,
        from: Claimant,
        below: Slot,
    ) -> Result<(), TooFar> {
        let taken = self.claims.take(now, from, below, self.learned_below);
        self.count_claims();
        taken
    }

    /// Forgets the word of those who are silent.
    pub(crate) fn forget_silent(&mut self, now: Duration) {
        self.claims.forget_silent(now);
        self.count_claims();
    }

    fn count_claims(&mut self) {
        self.chosen_below = self.learned_below.max(self.claims.highest());
    }

    /// Whether a slot can be chosen, as far as what is learned says.
    ///
    /// # Errors
    /// When it is too far above that.
    pub(crate) fn check_slot(&self, what: &'static str, slot: Slot) -> Result<(), TooFar> {
        within(what, slot.0, self.learned_below.0, SLOTS_AHEAD)
    }

    /// Takes a chosen entry, unless there is no room for it: it can be fetched again.
    ///
    /// # Panics
    /// When another value is known for the slot: two values were chosen.
    pub(crate) fn learn(&mut self, entry: ChosenEntry) {
        if let Some(known) = self.entries.get(&entry.slot) {
            invariant_one_value_is_chosen(known, &entry);
            return;
        }
        if !self.takes(entry.slot) {
            return;
        }
        self.bytes += entry.value.len();
        self.unexecuted += 1;
        self.unexecuted_bytes += entry.value.len();
        self.entries.insert(entry.slot, entry);
        self.learn_on();
    }

    /// Learns what came, up to a hole or to what is disputed.
    fn learn_on(&mut self) {
        while let Some(next) = self.entries.get(&self.learned_below)
            && self.dispute().is_none()
        {
            let hash = self.hashes[&self.learned_below].next(next.slot, &next.value);
            self.learned_below = self.learned_below.next();
            self.hashes.insert(self.learned_below, hash);
        }
        self.count_claims();
        self.forget_stored();
    }

    /// What the batch that comes next says of the log before it, where that is another one here:
    /// it is not learned.
    pub(crate) fn dispute(&self) -> Option<Dispute> {
        let next = self.entries.get(&self.learned_below)?;
        let claimed =
            Commands::executed_of(&next.value).filter(|_| next.slot >= self.agreed_below)?;
        match self.compare(claimed) {
            Comparison::Differs { own } => Some(Dispute { slot: next.slot, claimed, own }),
            Comparison::Same | Comparison::Unknown => None,
        }
    }

    /// Another replica has the same log up to what is disputed: what the batch says is not so.
    pub(crate) fn overrule(&mut self) {
        if let Some(Dispute { slot, .. }) = self.dispute() {
            self.agreed_below = slot.next();
            self.learn_on();
        }
    }

    /// How the log below a slot compares with what somebody else says of theirs.
    pub(crate) fn compare(&self, theirs: LogPrefix) -> Comparison {
        match self.hashes.get(&theirs.below) {
            Some(own) if *own == theirs.hash => Comparison::Same,
            Some(own) => Comparison::Differs { own: *own },
            None => Comparison::Unknown,
        }
    }

    /// The log below a slot, where its hash is still known.
    pub(crate) fn prefix(&self, below: Slot) -> Option<LogPrefix> {
        self.hashes.get(&below).map(|hash| LogPrefix { below, hash: *hash })
    }

    /// Whether more can be learned. The very slot that is due is always taken, lest those
    /// ahead of it fill the room for ever.
    pub(crate) fn has_room(&self) -> bool {
        self.takes(self.learned_below)
    }

    fn takes(&self, slot: Slot) -> bool {
        let is_free = self.unexecuted < self.entry_limit && self.unexecuted_bytes < self.byte_limit;
        slot >= self.learned_below && (is_free || slot == self.executed_below)
    }

    /// Whether slots are known to be chosen that are not learned.
    pub(crate) fn is_behind(&self) -> bool {
        self.chosen_below > self.learned_below || self.has_hole()
    }

    /// Whether something was learned ahead of a slot that wasn't.
    pub(crate) fn has_hole(&self) -> bool {
        self.entries.last_key_value().is_some_and(|(last, _)| *last >= self.learned_below)
    }

    /// The state of exactly the slots below is to be seen: no run goes beyond.
    pub(crate) fn stop_at(&mut self, below: Slot) {
        self.stop_at = Some(below).filter(|below| *below > self.executed_below);
    }

    /// Hands out the next entries to execute, if none are out: no removal but as the last, so
    /// that each is looked at before it may be forgotten for later ones.
    pub(crate) fn take_run(&mut self) -> Option<Vec<ChosenEntry>> {
        if self.executing_below > self.executed_below || self.learned_below == self.executed_below {
            return None;
        }
        let mut run = Vec::new();
        let mut bytes = 0;
        for entry in
            self.entries.range(self.executed_below..self.learned_below).map(|(_, entry)| entry)
        {
            bytes += entry.value.len();
            if run.len() == self.run_entries || (bytes > self.run_bytes && !run.is_empty()) {
                break;
            }
            run.push(entry.clone());
            if self.stop_at == Some(entry.slot.next()) {
                break;
            }
            if Value::removal(&entry.value).is_some() {
                break;
            }
        }
        self.executing_below = run.last()?.slot.next();
        Some(run)
    }

    /// The entries that were handed out are executed.
    ///
    /// # Panics
    /// When others are.
    pub(crate) fn executed(&mut self, executed_below: Slot) {
        assert!(
            self.executing_below > self.executed_below,
            "invariant: {executed_below} is executed, and nothing was handed out"
        );
        assert_eq!(
            executed_below, self.executing_below,
            "invariant: what was handed out is executed"
        );
        for (_, entry) in self.entries.range(self.executed_below..executed_below) {
            self.unexecuted -= 1;
            self.unexecuted_bytes -= entry.value.len();
        }
        self.executed_below = executed_below;
        self.stop_at = self.stop_at.filter(|below| *below > executed_below);
    }

    /// Every slot below is in the database.
    pub(crate) fn stored(&mut self, below: Slot) {
        self.stored_below = below;
        self.forget_stored();
    }

    fn forget_stored(&mut self) {
        while self.entries.len() > self.entry_limit || self.bytes > self.byte_limit {
            match self.entries.first_entry() {
                Some(first) if *first.key() < self.stored_below => {
                    self.bytes -= first.remove().value.len()
                }
                Some(_) | None => break,
            }
        }
        let oldest = self.entries.keys().next().copied().unwrap_or(self.learned_below);
        while self
            .hashes
            .first_key_value()
            .is_some_and(|(below, _)| *below < oldest.min(self.learned_below))
        {
            self.hashes.pop_first();
        }
    }

    /// A piece of what is learned, for a peer: at least one entry where there is one.
    pub(crate) fn log_from(&self, from: Slot, limits: PageLimits) -> LogPage {
        let (chosen_below, previous) = (self.chosen_below, self.prefix(from));
        if from >= self.learned_below {
            return LogPage::Nothing(ChosenReply::Entries {
                entries: Vec::new(),
                chosen_below,
                previous,
            });
        }
        if !self.entries.contains_key(&from) {
            return LogPage::Stored { below: self.stored_below, chosen_below };
        }
        let learned = self.entries.range(from..self.learned_below).map(|(_, entry)| entry.clone());
        let entries = limits.first_of(learned, |entry| entry.value.len());
        LogPage::Ready(ChosenReply::Entries { entries, chosen_below, previous })
    }

    /// What is executed is what the meta data says.
    pub(crate) fn invariant_executed_is_what_meta_says(&self, executed_below: Slot) {
        assert_eq!(
            self.executed_below, executed_below,
            "executed below, by the learner and by the meta data"
        );
    }

    /// Nobody is told of more than the database has.
    pub(crate) fn invariant_stored_is_executed(&self, stored_below: Slot) {
        assert_eq!(self.stored_below, stored_below, "stored below, by the learner and for readers");
    }

    /// Stored, executed, executing, learned, chosen: each is below the next, and nothing
    /// between the first and the fourth is missing.
    pub(crate) fn invariant_learned_is_contiguous(&self) {
        let marks = [
            self.stored_below,
            self.executed_below,
            self.executing_below,
            self.learned_below,
            self.chosen_below,
        ];
        assert!(
            marks.is_sorted(),
            "stored, executed, executing, learned and chosen go back: {marks:?}"
        );
        let unexecuted = self.entries.range(self.executed_below..self.learned_below).count() as u64;
        assert_eq!(
            unexecuted,
            self.learned_below.0 - self.executed_below.0,
            "a slot below {} is missing",
            self.learned_below
        );
        assert!(
            self.hashes.contains_key(&self.learned_below),
            "the hash of the log below {} is not known",
            self.learned_below
        );
    }
}

/// A batch says of the log before it what is not so here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "two histories: the log below slot {} has hash {own} here and {} by the batch of slot {slot}: \
     nothing is read or executed here until another replica has said which one it has",
    claimed.below,
    claimed.hash
)]
pub struct Dispute {
    /// Where the batch stands.
    pub slot: Slot,
    /// What its primary had executed, as it says.
    pub claimed: LogPrefix,
    /// The hash of the log here below the same slot.
    pub own: ChainHash,
}

/// Two logs below the same slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// They are the same log.
    Same,
    /// They are two histories.
    Differs {
        /// The hash of the log here.
        own: ChainHash,
    },
    /// It is not known here any more, or not yet.
    Unknown,
}

fn invariant_one_value_is_chosen(known: &ChosenEntry, learned: &ChosenEntry) {
    assert!(
        known.value == learned.value,
        "invariant: one value is chosen for slot {}, not two: {} bytes at {}, {} bytes at {}",
        known.slot,
        known.value.len(),
        known.ballot,
        learned.value.len(),
        learned.ballot
    );
}
