//! The chosen values of slots that are older than the leader's window, from the
//! acceptors' votes.
//!
//! For a slot that *is* chosen (it lies below a chosen watermark, which is a fact), the
//! vote with the highest ballot among any quorum's answers holds the chosen value: some
//! acceptor of the quorum voted for it at the ballot at which it was chosen, or has voted
//! at a higher one since, and every proposal at a higher ballot has the same value (P2b
//! of Lamport, *Paxos Made Simple*, section 2.2). For a slot that is not chosen this
//! would be nonsense, so the mark is asked for. Nothing is written and no ballot is
//! needed.

use std::collections::BTreeMap;

use shared::ids::{AcceptorId, Slot};
use shared::message::{ChosenEntry, ChosenReply, Roster, Vote, VotesPage};
use shared::page::PageLimits;

/// Which entries are wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The cluster's acceptors.
    pub roster: Roster,
    /// The first slot.
    pub from: Slot,
    /// Every slot below is chosen, and was known to be before anybody is asked.
    pub below: Slot,
    /// What to say of how far slots are chosen.
    pub chosen_below: Slot,
    /// What one answer holds.
    pub limits: PageLimits,
}

/// Gathers the pages of all acceptors, until those that came suffice. Pure: the shell
/// makes the calls.
#[derive(Debug)]
pub struct Gathering {
    wanted: Wanted,
    /// How many acceptors have not answered.
    awaited: usize,
    pages: Vec<VotesPage>,
}

impl Gathering {
    /// So many acceptors are asked.
    #[must_use]
    pub fn new(wanted: Wanted, acceptors: usize) -> Self {
        Self { wanted, awaited: acceptors, pages: Vec::new() }
    }

    /// An acceptor gave a page, or will give none: the answer to whoever fetches, as soon
    /// as there is one.
    ///
    /// # Errors
    /// When an acceptor forgot a vote. Then there is no answer.
    pub fn take(&mut self, page: Option<VotesPage>) -> Result<Option<ChosenReply>, RecoverError> {
        self.awaited = self.awaited.saturating_sub(1);
        self.pages.extend(page);
        let Wanted { roster, from, below, chosen_below, limits } = &self.wanted;
        match recover(roster, *from, *below, &self.pages) {
            Ok(entries) if entries.is_empty() => Ok(Some(ChosenReply::Unavailable)),
            Ok(entries) => Ok(Some(ChosenReply::Entries {
                entries: limits.first_of(entries, |entry| entry.value.len()),
                chosen_below: *chosen_below,
                previous: None,
            })),
            Err(_) if self.awaited > 0 => Ok(None),
            Err(RecoverError::Trimmed { oldest }) => Ok(Some(ChosenReply::Trimmed { oldest })),
            Err(RecoverError::NoQuorum { .. }) => Ok(Some(ChosenReply::Unavailable)),
            Err(lost @ RecoverError::Lost { .. }) => Err(lost),
        }
    }
}

/// Why no value could be recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoverError {
    /// Acceptors have trimmed the slot: a replica must ask its peers.
    #[error("the acceptors keep no slot below {oldest}")]
    Trimmed {
        /// The oldest slot that may still be there.
        oldest: Slot,
    },
    /// Too few acceptors answered for this slot.
    #[error("{answers} of {quorum} acceptors needed answered for slot {slot}")]
    NoQuorum {
        /// The first slot asked for.
        slot: Slot,
        /// How many did.
        answers: usize,
        /// How many must.
        quorum: usize,
    },
    /// A quorum answered and none of it voted in a slot that is said to be chosen: an
    /// acceptor forgot a vote.
    #[error("slot {slot} is chosen, but a quorum of acceptors has no vote for it")]
    Lost {
        /// The slot.
        slot: Slot,
    },
}

/// Recovers the values of `from..chosen_below`, as far as the pages of a quorum reach.
/// Each page is the answer to a request from slot `from`, sent after `chosen_below` was
/// known.
///
/// # Errors
/// When not even the first slot can be told.
pub fn recover(
    roster: &Roster,
    from: Slot,
    chosen_below: Slot,
    pages: &[VotesPage],
) -> Result<Vec<ChosenEntry>, RecoverError> {
    let pages: BTreeMap<AcceptorId, &VotesPage> = pages
        .iter()
        .filter(|page| roster.contains(page.acceptor) && page.roster.as_ref() == Some(roster))
        .map(|page| (page.acceptor, page))
        .collect();
    let votes = highest_votes(pages.values().copied());

    let mut entries = Vec::new();
    for slot in (from.0..chosen_below.0).map(Slot) {
        let answers = pages.values().filter(|page| covers(page, slot)).count();
        let error = match votes.get(&slot) {
            Some(vote) if answers >= roster.quorum() => {
                entries.push(ChosenEntry { slot, ballot: vote.ballot, value: vote.value.clone() });
                continue;
            }
            None if answers >= roster.quorum() => RecoverError::Lost { slot },
            Some(_) | None => too_few(&pages, slot, answers, roster.quorum()),
        };
        return if entries.is_empty() { Err(error) } else { Ok(entries) };
    }
    Ok(entries)
}

/// Whether the page would hold the acceptor's vote for the slot, had it one.
fn covers(page: &VotesPage, slot: Slot) -> bool {
    slot >= page.marks.trimmed_below && page.next.is_none_or(|next| slot < next)
}

fn highest_votes<'a>(pages: impl Iterator<Item = &'a VotesPage>) -> BTreeMap<Slot, &'a Vote> {
    let mut highest: BTreeMap<Slot, &Vote> = BTreeMap::new();
    for vote in pages.flat_map(|page| &page.votes) {
        let best = highest.entry(vote.slot).or_insert(vote);
        if vote.ballot > best.ballot {
            *best = vote;
        }
    }
    highest
}

fn too_few(
    pages: &BTreeMap<AcceptorId, &VotesPage>,
    slot: Slot,
    answers: usize,
    quorum: usize,
) -> RecoverError {
    match pages.values().map(|page| page.marks.trimmed_below).max() {
        Some(oldest) if oldest > slot => RecoverError::Trimmed { oldest },
        Some(_) | None => RecoverError::NoQuorum { slot, answers, quorum },
    }
}
