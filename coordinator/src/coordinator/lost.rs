//! What a leader finds to be lost: votes that acceptors have forgotten, and slots that no
//! replica has any more.
//!
//! **Forgotten votes.** A replica says that it has executed a slot that this leader has
//! yet to give away. Either another leads by now, whose ballot some acceptor of every
//! quorum has promised; or the acceptors have forgotten votes: their disks were put back
//! from an older copy. For the slot was chosen at some ballot. At a lower one than this
//! leader's, Phase 1 would have met a vote for it, which no acceptor may forget; at its
//! own, it would know; at a higher one, a quorum has promised that one. So once a quorum
//! that was asked after the heartbeat still promises nothing higher, it is certain. From
//! the heartbeat on nothing is proposed: it would be a second value for that slot.

use std::time::Duration;

use shared::ids::{Name, Slot};

use super::{Coordinator, State};
use crate::effect::{Effect, PollNumber};
use crate::replicas::TwoHistories;

/// A replica has executed what this leader has yet to give away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) replica: Name,
    pub(super) executed_below: Slot,
    /// Answers to this poll and later ones count.
    since: PollNumber,
    /// Whether no other leader can be the reason.
    pub(super) is_certain: bool,
}

/// Something that people must mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The acceptors have forgotten votes: nothing is proposed.
    VotesLost(String),
    /// Slots that acceptors have trimmed are on no replica: no view is proposed.
    SlotsLost(String),
    /// Two replicas have executed other logs.
    TwoHistories(String),
    /// The acceptors fill up, and somebody holds trimming up.
    TrimmingHeldUp(String),
}

impl Trouble {
    /// What it is.
    #[must_use]
    pub fn into_words(self) -> String {
        match self {
            Self::VotesLost(what)
            | Self::SlotsLost(what)
            | Self::TwoHistories(what)
            | Self::TrimmingHeldUp(what) => what,
        }
    }
}

impl Coordinator {
    /// Why nothing may be proposed: some replica is ahead of this leader.
    pub(super) fn refuses_for(ahead: &Ahead) -> String {
        let Ahead { replica, executed_below, is_certain, .. } = ahead;
        let why = if *is_certain {
            "the acceptors have lost votes (were their disks put back from an older copy?)"
        } else {
            "whether another coordinator leads is being asked"
        };
        format!("{replica} has executed below {executed_below}, above this leader's log: {why}")
    }

    /// Looks whether a replica is ahead of this leader, and asks the acceptors if so.
    pub(super) fn look_for_lost_votes(&mut self) {
        let State::Phase2(leader) = &self.state else { return };
        let next_slot = leader.phase2.next_slot();
        let found = self.replicas.beyond(&self.config, self.now, next_slot);
        let found = found.map(|(name, said)| (name.clone(), said));
        let Some((replica, executed_below)) = found else {
            if let State::Phase2(leader) = &mut self.state {
                leader.ahead = None;
            }
            return;
        };
        let before = leader.ahead.as_ref().map(|ahead| (ahead.since, ahead.is_certain));
        let (since, is_certain) = before.unwrap_or_else(|| (self.poll(), false));
        if let State::Phase2(leader) = &mut self.state {
            leader.ahead = Some(Ahead { replica, executed_below, since, is_certain });
        }
    }

    /// Asks again while it is not certain: answers may be lost.
    pub(super) fn ask_about_lost_votes(&mut self) {
        if let State::Phase2(leader) = &self.state
            && leader.ahead.as_ref().is_some_and(|ahead| !ahead.is_certain)
        {
            self.poll();
        }
    }

    /// Acceptors answered a poll, and none has promised a higher ballot.
    pub(super) fn confirm_lost_votes(&mut self) {
        let State::Phase2(leader) = &mut self.state else { return };
        let Some(ahead) = leader.ahead.as_mut().filter(|ahead| !ahead.is_certain) else { return };
        let answers = self.membership.answers();
        let asked_since = answers.iter().filter(|answer| answer.poll >= ahead.since).count();
        if asked_since >= leader.phase2.quorum() {
            ahead.is_certain = true;
            self.effects.push(Effect::VotesLost(Self::refuses_for(ahead)));
        }
    }

    /// What people must mend, as a leader sees it.
    #[must_use]
    pub fn troubles(&self, now: Duration) -> Vec<Trouble> {
        let State::Phase2(leader) = &self.state else { return Vec::new() };
        let votes = leader.ahead.as_ref().filter(|ahead| ahead.is_certain);
        let marks = (
            leader.fill(&self.config, now),
            leader.phase2.trim_below(),
            leader.phase2.chosen_below(),
        );
        let held_up =
            crate::replicas::trimming::held_up_by(&self.config, now, &self.replicas, marks);
        let slots = self.lost_slots(now);
        votes
            .map(|ahead| Trouble::VotesLost(Self::refuses_for(ahead)))
            .into_iter()
            .chain(slots.map(Trouble::SlotsLost))
            .chain(self.two_histories(now).map(Trouble::TwoHistories))
            .chain(held_up.map(Trouble::TrimmingHeldUp))
            .collect()
    }

    /// Replicas that tell of other hashes of their logs below one slot; in words.
    fn two_histories(&self, now: Duration) -> Option<String> {
        let TwoHistories { below, logs } = self.replicas.two_histories(&self.config, now)?;
        let [(one, of_one), (other, of_other)] = logs;
        Some(format!(
            "two histories: the log below slot {below} has hash {of_one} at {one} and {of_other} at \
             {other}: the data of one of them was put back from an older copy, or is damaged. Stop \
             the one whose writes are not to be kept, and give it an empty data directory"
        ))
    }

    /// Slots that were trimmed, and that no replica has which was heard from lately; in
    /// words, with all that are known and what each has or had.
    fn lost_slots(&self, now: Duration) -> Option<String> {
        let recent = self.replicas.all().filter(|(_, heard)| heard.is_recent(&self.config, now));
        let first_lost = recent.map(|(_, heard)| heard.executed_below).max()?;
        if first_lost >= self.trimmed_below || !self.replicas.has_listened(&self.config, now) {
            return None;
        }
        let of_view = self
            .replicas
            .view()
            .into_iter()
            .flat_map(|view| std::iter::once(&view.primary).chain(&view.backups));
        let unheard = of_view
            .filter(|name| self.replicas.get(name).is_none())
            .map(|name| format!("{name} was never heard from and may have them"));
        let heard = self.replicas.all().map(|(name, heard)| {
            let silence = self.replicas.silence(now, name).as_secs();
            let durable = heard.former_durable_below.max(heard.durable_below);
            if durable <= first_lost {
                format!("{name} has executed below {}", heard.executed_below)
            } else if heard.is_recent(&self.config, now) {
                format!("{name} had them durably below {durable}, and has lost that disk")
            } else {
                format!("{name} has them durably below {durable}, and is silent for {silence} s")
            }
        });
        let replicas: Vec<String> = heard.chain(unheard).collect();
        Some(format!(
            "slots {first_lost} to {} are trimmed, and no replica that is heard from has them: {}",
            self.trimmed_below.0 - 1,
            replicas.join("; ")
        ))
    }
}
