//! When a replica asks another one for its whole state, and whom.
//!
//! Executing a log from its beginning takes about as long as writing it took, and nobody
//! keeps all of it for ever. So a replica asks for a snapshot when it has executed nothing
//! and the log is long, and when another replica says that what comes next is trimmed and
//! nobody else has it: then only those are asked who said so, for their state is newer. Backups
//! are asked before the primary, which has enough to do. After one that could not be had
//! somebody else is asked, in a while; in a longer and longer one after those that came and were
//! of no use. The log is fetched as ever, but for a moment after asking: whichever comes first
//! is of use, and a source that hangs holds nothing up.
//!
//! The shell fetches the snapshot, holds it against its digest and the cluster, and ends
//! this life of the replica: the next one begins with the new state. (It is Raft's *Install
//! snapshot*, asked for by whoever needs it: Ongaro and Ousterhout, *In Search of an
//! Understandable Consensus Algorithm*, 2014, section 7.)

use std::collections::BTreeSet;
use std::time::Duration;

use shared::ids::{ClusterId, Name, Slot};
use shared::message::Member;

use crate::replica::Replica;
use crate::replica::event::{Effect, Role, SnapshotFailure, SourceKind, Timer};
use crate::replica::fetching::Source;
use crate::replica::history::History;

/// The snapshots that one replica asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Installing {
    /// Who is asked for one now.
    asked: Option<AskedSource>,
    /// After one that could not be had.
    pub(super) not_before: Duration,
    /// How many could not be had, or were of no use: by it the next one is asked of somebody
    /// else.
    failures: usize,
    /// How many of them came.
    useless: u32,
    /// Where the log went on when replicas said that they have trimmed that, and which did …
    trimmed: Option<(Slot, BTreeSet<Name>)>,
    /// … and when a coordinator could not give it.
    not_led_at: Option<Slot>,
}

/// The most that the wait after a snapshot of no use grows: 2 to the power of this. Whoever is
/// asked copies its whole state each time.
const MAX_DOUBLINGS: u32 = 7;

/// Why a source does not give a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lacks {
    /// It does not keep it any more.
    Trimmed,
    /// It cannot now.
    Now,
}

/// One that is under way.
#[derive(Clone, Debug)]
struct AskedSource {
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
        if now < self.installing.not_before || !self.is_snapshot_due(now) {
            return false;
        }
        let Some(source) = self.snapshot_source() else { return false };
        self.installing.asked = Some(AskedSource { from: source.name.clone(), at: now });
        let after = self.config.snapshot_patience;
        effects.push(Effect::Arm { timer: Timer::Fetch, after, jitter: Duration::ZERO });
        effects.push(Effect::FetchSnapshot { source, cluster });
        true
    }

    fn is_snapshot_due(&self, now: Duration) -> bool {
        let (learned, chosen) = (self.learner.learned_below(), self.learner.chosen_below());
        let is_new = learned == Slot(0) && chosen.0 >= self.config.snapshot_from_slots;
        // The leader is asked only once the history is confirmed, and has what acceptors have.
        let leader_lacks =
            self.members.leader(now).is_none() || self.installing.not_led_at == Some(learned);
        let is_trimmed = self.is_trimmed() && self.fetching.all_failed() && leader_lacks;
        is_new || (is_trimmed && self.history == History::Confirmed)
    }

    /// Whether another replica has trimmed the slot that is due here. A primary of whom that
    /// is true is none any more.
    fn is_trimmed(&self) -> bool {
        self.trimmed_by().is_some()
    }

    /// Who has said so.
    fn trimmed_by(&self) -> Option<&BTreeSet<Name>> {
        let (due, by) = self.installing.trimmed.as_ref()?;
        (*due == self.learner.learned_below()).then_some(by)
    }

    /// Whether to end for a state in which the slots below are executed.
    #[must_use]
    pub fn takes_state(&self, executed_below: Slot) -> bool {
        executed_below > self.executed_below()
            && (self.role() != Role::Primary || self.is_trimmed())
    }

    /// All others in turn whose state may be newer, the primary after the others.
    fn snapshot_source(&self) -> Option<Member> {
        let primary = self.meta.view.as_ref().map(|view| &view.primary);
        let newer = self.trimmed_by();
        let (last, first): (Vec<&Member>, Vec<&Member>) = self
            .members
            .replicas()
            .filter(|member| newer.is_none_or(|newer| newer.contains(&member.name)))
            .partition(|member| Some(&member.name) == primary);
        let in_turn: Vec<&Member> = first.into_iter().chain(last).collect();
        let turn = self.installing.failures.checked_rem(in_turn.len())?;
        in_turn.get(turn).copied().cloned()
    }

    /// A source cannot give the slot that is due here.
    pub(super) fn note_lacking(&mut self, source: &Source, lacks: Lacks) {
        let due = self.learner.learned_below();
        match (source.kind, lacks) {
            (SourceKind::Replica, Lacks::Trimmed) => {
                let name = source.member.name.clone();
                match &mut self.installing.trimmed {
                    Some((at, by)) if *at == due => _ = by.insert(name),
                    trimmed => *trimmed = Some((due, BTreeSet::from([name]))),
                }
            }
            (SourceKind::Replica, Lacks::Now) => {}
            (SourceKind::Coordinator, Lacks::Trimmed | Lacks::Now) => {
                self.installing.not_led_at = Some(due);
            }
        }
    }

    /// The snapshot that was asked for could not be had, or is of no use.
    pub(super) fn snapshot_failed(&mut self, now: Duration, failure: SnapshotFailure) {
        let Installing { asked, failures, useless, not_before, .. } = &mut self.installing;
        *asked = None;
        *failures += 1;
        let doublings = match failure {
            SnapshotFailure::NotGiven => 0,
            SnapshotFailure::Useless => {
                *useless += 1;
                (*useless - 1).min(MAX_DOUBLINGS)
            }
        };
        *not_before = now + self.config.snapshot_backoff * (1 << doublings);
    }

    /// Who is asked for a snapshot now.
    pub(super) fn snapshot_from(&self) -> Option<Name> {
        self.installing.asked.as_ref().map(|asked| asked.from.clone())
    }

    /// Whether a state in which the slot that is due here is executed is to be had, as far as
    /// is known.
    pub(super) fn may_get_a_state(&self) -> bool {
        self.is_trimmed() && self.installing.failures == 0
    }
}
