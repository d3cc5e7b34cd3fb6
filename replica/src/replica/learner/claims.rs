//! How far others say that slots are chosen.
//!
//! What is learned is a fact; this is the word of others, by which a replica knows that it
//! is behind. The word of one, should it not be true, holds no longer than that one is
//! heard from: the latest that each says counts, for [`LASTS`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use shared::bounds::{SLOTS_AHEAD, TooFar, within};
use shared::ids::{Name, Slot};

/// How long the word of somebody who is silent is remembered: many heartbeats.
pub(crate) const LASTS: Duration = Duration::from_secs(5);

/// Who says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claimant {
    /// A quorum of acceptors.
    Acceptors,
    /// The coordinator that answered a proposal last.
    Leader,
    /// The source that gave the latest page of the log.
    Source,
    /// A coordinator that answered a heartbeat.
    Coordinator(Name),
}

impl fmt::Display for Claimant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acceptors => f.write_str("a quorum of acceptors"),
            Self::Leader => f.write_str("the coordinator that took a proposal"),
            Self::Source => f.write_str("the source of the log"),
            Self::Coordinator(name) => name.fmt(f),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    below: Slot,
    at: Duration,
}

/// What each has said last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims(BTreeMap<Claimant, Claim>);

impl Claims {
    /// Takes what somebody says, where all below `learned_below` is learned.
    ///
    /// # Errors
    /// When it is too far above that to be believed.
    pub(crate) fn take(
        &mut self,
        now: Duration,
        from: Claimant,
        below: Slot,
        learned_below: Slot,
    ) -> Result<(), TooFar> {
        within("chosen_below", below.0, learned_below.0, SLOTS_AHEAD)?;
        self.0.insert(from, Claim { below, at: now });
        self.forget_silent(now);
        Ok(())
    }

    /// Forgets what those have said who are silent.
    pub(crate) fn forget_silent(&mut self, now: Duration) {
        self.0.retain(|_, claim| now.saturating_sub(claim.at) < LASTS);
    }

    /// The highest of them.
    pub(crate) fn highest(&self) -> Slot {
        self.0.values().map(|claim| claim.below).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_one_lasts_until_it_says_another_or_falls_silent() {
        let (mut claims, second) = (Claims::default(), Duration::from_secs(1));
        let one = || Claimant::Coordinator("coordinator-1".parse().unwrap());
        claims.take(second, one(), Slot(900), Slot(5)).unwrap();
        claims.take(second, Claimant::Acceptors, Slot(7), Slot(5)).unwrap();
        assert_eq!(claims.highest(), Slot(900));
        claims.take(second, one(), Slot(8), Slot(5)).unwrap();
        assert_eq!(claims.highest(), Slot(8));
        claims.take(4 * second, Claimant::Acceptors, Slot(7), Slot(5)).unwrap();
        claims.forget_silent(second + LASTS);
        assert_eq!(claims.highest(), Slot(7));
    }

    #[test]
    fn what_is_too_far_above_what_is_learned_is_not_believed() {
        let mut claims = Claims::default();
        let (known, ahead) = (5, 1 << 40);
        let mut take =
            |below| claims.take(Duration::ZERO, Claimant::Acceptors, Slot(below), Slot(known));
        assert_eq!(take(known + ahead), Ok(()));
        let (what, got) = ("chosen_below", known + ahead + 1);
        assert_eq!(take(got), Err(TooFar { what, got, known, ahead }));
    }
}
