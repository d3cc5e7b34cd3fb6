//! When a replica asks another one for its whole state, and whom.
//!
//! Executing a log from its beginning takes about as long as writing it took, and nobody
//! keeps all of it for ever. So a replica asks for a snapshot when it has executed nothing
//! and the log is long, and when another replica says that what comes next is trimmed and
//! nobody else has it. Backups are asked before the primary, which has enough to do. After
//! one that could not be had somebody else is asked, in a while. The log is fetched as ever,
//! but for a moment after asking: whichever comes first is of use, and a source that hangs
//! holds nothing up.
//!
//! The shell fetches the snapshot, holds it against its digest and the cluster, and ends
//! this life of the replica: the next one begins with the new state. (It is Raft's *Install
//! snapshot*, asked for by whoever needs it: Ongaro and Ousterhout, *In Search of an
//! Understandable Consensus Algorithm*, 2014, section 7.)

use std::time::Duration;

use shared::ids::{ClusterId, Name, Slot};
use shared::message::Member;

use crate::replica::Replica;
use crate::replica::event::{Effect, Role, Timer};

/// The snapshots that one replica asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Installing {
    /// Who is asked for one now.
    asked: Option<Asked>,
    /// After one that could not be had.
    not_before: Duration,
    /// How many could not be had: by it the next one is asked of somebody else.
    failures: usize,
    /// Where the log went on when a replica said that it has trimmed that.
    trimmed_at: Option<Slot>,
}

/// One that is under way.
#[derive(Clone, Debug)]
struct Asked {
    from: Name,
    at: Duration,
}

impl Replica {
    /// Asks for a snapshot, if the log is not the way to go on. Says whether the log is to
    /// wait for it.
    pub(super) fn awaits_snapshot(
        &mut self,
        now: Duration,
        cluster: ClusterId,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if let Some(asked) = &self.installing.asked {
            return now < asked.at + self.config.snapshot_patience;
        }
        if now < self.installing.not_before || !self.is_snapshot_due() {
            return false;
        }
        let Some(source) = self.snapshot_source() else { return false };
        self.installing.asked = Some(Asked { from: source.name.clone(), at: now });
        let after = self.config.snapshot_patience;
        effects.push(Effect::Arm { timer: Timer::Fetch, after, jitter: Duration::ZERO });
        effects.push(Effect::FetchSnapshot { source, cluster });
        true
    }

    fn is_snapshot_due(&self) -> bool {
        let (learned, chosen) = (self.learner.learned_below(), self.learner.chosen_below());
        let is_new = learned == Slot(0) && chosen.0 >= self.config.snapshot_from_slots;
        let is_trimmed = self.installing.trimmed_at == Some(learned) && self.fetching.all_failed();
        self.role() != Role::Primary && (is_new || is_trimmed)
    }

    /// All others in turn, the primary after the others.
    fn snapshot_source(&self) -> Option<Member> {
        let primary = self.meta.view.as_ref().map(|view| &view.primary);
        let (last, first): (Vec<&Member>, Vec<&Member>) =
            self.members.replicas().partition(|member| Some(&member.name) == primary);
        let in_turn: Vec<&Member> = first.into_iter().chain(last).collect();
        let turn = self.installing.failures.checked_rem(in_turn.len())?;
        in_turn.get(turn).copied().cloned()
    }

    /// A replica has trimmed the slot that is due here.
    pub(super) fn note_trimmed(&mut self) {
        self.installing.trimmed_at = Some(self.learner.learned_below());
    }

    /// The snapshot that was asked for could not be had, or is no newer than the state here.
    pub(super) fn snapshot_failed(&mut self, now: Duration) {
        self.installing.asked = None;
        self.installing.failures += 1;
        self.installing.not_before = now + self.config.snapshot_backoff;
    }

    /// Who is asked for a snapshot now.
    pub(super) fn snapshot_from(&self) -> Option<Name> {
        self.installing.asked.as_ref().map(|asked| asked.from.clone())
    }

    /// Whether a replica that answers can give a state in which the slot that is due here is
    /// executed.
    pub(super) fn is_in_a_snapshot(&self) -> bool {
        self.installing.trimmed_at == Some(self.learner.learned_below())
    }
}
