//! The state of an acceptor is the sum of its records: what it was told live and what is
//! replayed at start take one path.

use shared::ids::{Ballot, ClusterId, Generation, Slot};
use shared::message::{Marks, Roster, SlotValue, Succession};

use crate::acceptor::{Acceptor, Record, StoredVote, cost};
use crate::succession::is_earlier;
use shared::bounds::MAX_NUMBER;

/// Why no acceptor that is in this state can have made a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// It joins a cluster once, and one that names it.
    #[error("it joins the cluster of {joined:?}, but belongs to {own:?}")]
    OtherCluster {
        /// As recorded.
        joined: Roster,
        /// The cluster it belongs to, if any.
        own: Option<Roster>,
    },
    /// A generation ends once, and the next one begins with who is in it.
    #[error(
        "it is told of generation {generation} of cluster {cluster}, but belongs to {own:?}, or is \
         not in it"
    )]
    NoSuccession {
        /// As recorded.
        generation: Generation,
        /// As recorded.
        cluster: ClusterId,
        /// The roster it belongs to, if any.
        own: Option<Roster>,
    },
    /// Only a member promises.
    #[error("it promises or votes at {ballot}, but belongs to no cluster")]
    NoMember {
        /// As recorded.
        ballot: Ballot,
    },
    /// Votes rise with the ballots.
    #[error("it votes in slot {slot} at {ballot}, but voted there at {held}")]
    SecondVote {
        /// As recorded.
        slot: Slot,
        /// As recorded.
        ballot: Ballot,
        /// At which ballot it voted before.
        held: Ballot,
    },
    /// Votes ascend by slot.
    #[error("it votes in slot {slot} after slot {before}")]
    Unordered {
        /// As recorded.
        slot: Slot,
        /// The one before it.
        before: Slot,
    },
    /// Only what is chosen is trimmed.
    #[error("it trims below {below}, but only what is below {chosen_below} is chosen")]
    TrimsUnchosen {
        /// As recorded.
        below: Slot,
        /// As recorded.
        chosen_below: Slot,
    },
    /// See [`MAX_NUMBER`].
    #[error("{what} {got} is above {MAX_NUMBER}")]
    OutOfRange {
        /// Which field.
        what: &'static str,
        /// Its number.
        got: u64,
    },
}

impl Acceptor {
    /// Whether a record that was read from a disk can be one of this acceptor, in this
    /// state. Its checksum says that it is what was written; this says that what was
    /// written makes sense, so that [`Acceptor::replay`] need not panic over it.
    ///
    /// # Errors
    /// When it cannot.
    pub fn check_record(&self, record: &Record) -> Result<(), Contradiction> {
        match record {
            Record::Joined(roster) => {
                let fits = roster.contains(self.id)
                    && self.roster.as_ref().is_none_or(|own| own == roster);
                let refuse = || Contradiction::OtherCluster {
                    joined: roster.clone(),
                    own: self.roster.clone(),
                };
                if fits { Ok(()) } else { Err(refuse()) }
            }
            Record::Promised(ballot) => self.check_ballot(*ballot),
            Record::Voted { ballot, votes, chosen_below } => {
                self.check_ballot(*ballot)?;
                in_range("chosen_below", chosen_below.0)?;
                if let Some(pair) = votes.windows(2).find(|pair| pair[0].slot >= pair[1].slot) {
                    return Err(Contradiction::Unordered {
                        slot: pair[1].slot,
                        before: pair[0].slot,
                    });
                }
                votes.iter().try_for_each(|vote| self.check_vote(*ballot, vote.slot))
            }
            Record::Trimmed { below, voted_below, chosen_below } => {
                in_range("voted_below", voted_below.0)?;
                in_range("chosen_below", chosen_below.0)?;
                let refuse =
                    Contradiction::TrimsUnchosen { below: *below, chosen_below: *chosen_below };
                if below <= chosen_below { Ok(()) } else { Err(refuse) }
            }
            Record::Sealed(succession) => {
                let own = self.roster.as_ref();
                let is_its = own == Some(&succession.previous().roster)
                    && self.sealed.as_ref().is_none_or(|sealed| *sealed == **succession);
                self.check_succession(succession, is_its)
            }
            Record::Opened(succession) => {
                let is_in_it = succession.next().roster.contains(self.id);
                let own = self.roster.as_ref();
                let follows = own.is_none_or(|own| {
                    is_earlier(own, succession) || *own == succession.next().roster
                });
                self.check_succession(succession, is_in_it && follows)
            }
        }
    }

    fn check_succession(&self, told: &Succession, fits: bool) -> Result<(), Contradiction> {
        let (generation, cluster) = (told.generation(), told.cluster());
        let refuse =
            || Contradiction::NoSuccession { generation, cluster, own: self.roster.clone() };
        if fits { Ok(()) } else { Err(refuse()) }
    }

    fn check_ballot(&self, ballot: Ballot) -> Result<(), Contradiction> {
        in_range("ballot.round", ballot.round)?;
        if self.roster.is_some() { Ok(()) } else { Err(Contradiction::NoMember { ballot }) }
    }

    fn check_vote(&self, ballot: Ballot, slot: Slot) -> Result<(), Contradiction> {
        // There is one above it.
        in_range("slot", slot.0.saturating_add(1))?;
        let held = self.votes.get(&slot).map(|vote| vote.ballot);
        match held.filter(|held| *held >= ballot && slot >= self.marks.trimmed_below) {
            Some(held) => Err(Contradiction::SecondVote { slot, ballot, held }),
            None => Ok(()),
        }
    }

    /// Rebuilds the state at start: every record, in the order in which the decisions
    /// were made.
    pub fn replay(&mut self, record: Record) {
        self.apply(&record);
    }

    /// The records that rebuild everything but the votes.
    #[must_use]
    pub fn summary(&self) -> Vec<Record> {
        let Marks { voted_below, chosen_below, trimmed_below } = self.marks;
        let joined = match self.opened.clone() {
            Some(opened) => Some(Record::Opened(Box::new(opened))),
            None => self.roster.clone().map(Record::Joined),
        };
        let promised = self.promised.map(Record::Promised);
        let trimmed = Record::Trimmed { below: trimmed_below, voted_below, chosen_below };
        let sealed = self.sealed.clone().map(|sealed| Record::Sealed(Box::new(sealed)));
        joined.into_iter().chain(promised).chain([trimmed]).chain(sealed).collect()
    }

    /// Changes the state, in whatever order facts arrive: nothing ever goes back.
    pub(crate) fn apply(&mut self, record: &Record) {
        match record {
            Record::Joined(roster) => {
                let own = self.roster.get_or_insert_with(|| roster.clone());
                assert_eq!(own, roster, "acceptor {} joins one cluster", self.id);
            }
            Record::Promised(ballot) => self.promised = self.promised.max(Some(*ballot)),
            Record::Voted { ballot, votes, chosen_below } => {
                self.promised = self.promised.max(Some(*ballot));
                self.marks.chosen_below = self.marks.chosen_below.max(*chosen_below);
                for vote in votes {
                    self.vote(*ballot, vote);
                }
            }
            Record::Trimmed { below, voted_below, chosen_below } => {
                self.marks.voted_below = self.marks.voted_below.max(*voted_below);
                self.marks.chosen_below = self.marks.chosen_below.max(*chosen_below);
                self.trim(*below);
            }
            Record::Sealed(succession) => self.apply_sealed(succession),
            Record::Opened(succession) => self.apply_opened(succession),
        }
    }

    fn vote(&mut self, ballot: Ballot, SlotValue { slot, value }: &SlotValue) {
        self.marks.voted_below = self.marks.voted_below.max(slot.next());
        if *slot < self.marks.trimmed_below {
            return;
        }
        self.vote_bytes += cost(value);
        if let Some(old) = self.votes.insert(*slot, StoredVote { ballot, value: value.clone() }) {
            assert!(
                old.ballot < ballot,
                "slot {slot} is voted in at rising ballots, not at {} then {ballot}",
                old.ballot
            );
            self.vote_bytes -= cost(&old.value);
        }
    }

    fn trim(&mut self, below: Slot) {
        if below > self.marks.trimmed_below {
            self.marks.trimmed_below = below;
            let kept = self.votes.split_off(&below);
            let dropped = std::mem::replace(&mut self.votes, kept);
            self.vote_bytes -= dropped.values().map(|vote| cost(&vote.value)).sum::<usize>();
        }
    }
}

fn in_range(what: &'static str, got: u64) -> Result<(), Contradiction> {
    if got > MAX_NUMBER { Err(Contradiction::OutOfRange { what, got }) } else { Ok(()) }
}
