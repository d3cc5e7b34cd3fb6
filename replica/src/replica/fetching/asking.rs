//! Fetching the chosen log: whom to ask, and what to do with what comes.

use std::time::Duration;

use shared::ids::ClusterId;
use shared::message::{ChosenEntry, ChosenReply, LogPrefix, Member};

use super::{After, FetchOutcome, Next, Source, Stalled};
use crate::replica::event::{Effect, FetchId, Followed, NoAnswer, Role, SourceKind, Timer};
use crate::replica::history::History;
use crate::replica::installing::Lacks;
use crate::replica::learner::{Claimant, Comparison};
use crate::replica::{Replica, WrongHistory};

/// What to do with what a source gave.
enum Trust {
    /// It continues the log here.
    Learn,
    /// It does not, or nobody knows.
    Ignore,
}

impl Replica {
    /// Fetches from the next source if something is missing, or (on a backup) may come.
    pub(in crate::replica) fn fetch_missing(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let Some(cluster) = self.cluster else { return };
        let wants = match self.role() {
            Role::Backup | Role::Waiting => true,
            // While a proposal is open, what is missing is most likely its own slot, and
            // the answer is on its way.
            Role::Primary => {
                self.learner.has_hole()
                    || (self.learner.is_behind() && !self.batching.has_open_proposal())
            }
        };
        if self.is_waited_for() {
            self.fetching.end_pause();
        }
        if wants {
            self.fetch(now, cluster, effects);
        }
        if self.learner.is_behind()
            && self.learner.has_room()
            && let Some(after) =
                self.fetching.watch(self.learner.learned_below(), self.config.fetch_stall)
        {
            effects.push(Effect::Arm { timer: Timer::FetchStall, after, jitter: Duration::ZERO });
        }
    }

    fn fetch(&mut self, now: Duration, cluster: ClusterId, effects: &mut Vec<Effect>) {
        if !self.fetching.is_idle() || !self.learner.has_room() {
            return;
        }
        if self.awaits_snapshot(now, cluster, effects) {
            return;
        }
        match self.fetching.next(now, &self.sources(now)) {
            Next::Ask(fetch, Source { kind, member }) => {
                // Whose history it is, is to be known at once.
                let wait = match self.history {
                    History::Confirmed => self.config.fetch_wait,
                    History::Unconfirmed | History::Disputed => Duration::ZERO,
                };
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                effects.push(Effect::Fetch {
                    fetch,
                    kind,
                    source: member,
                    cluster,
                    from: self.learner.learned_below(),
                    wait_ms,
                });
            }
            Next::BackOff => self.arm_fetch(effects),
            Next::Nothing => {}
        }
    }

    fn arm_fetch(&self, effects: &mut Vec<Effect>) {
        let backoff = self.config.fetch_backoff;
        effects.push(Effect::Arm { timer: Timer::Fetch, after: backoff, jitter: backoff });
    }

    fn pause(&mut self, effects: &mut Vec<Effect>) {
        let after = self.config.fetch_pause;
        if !after.is_zero() && !self.is_waited_for() {
            self.fetching.pause();
            effects.push(Effect::Arm { timer: Timer::Fetch, after, jitter: Duration::ZERO });
        }
    }

    /// Whether more is known to be chosen, or somebody is to have what comes next at once.
    fn is_waited_for(&self) -> bool {
        self.learner.is_behind() || self.waiting_reads() > 0 || self.followed == Followed::Yes
    }

    fn sources(&self, now: Duration) -> Vec<Source> {
        let primary = match self.role() {
            Role::Primary => None,
            Role::Backup | Role::Waiting => self
                .meta
                .view
                .as_ref()
                .and_then(|view| self.members.replica(&view.primary))
                .cloned(),
        };
        let preferred = primary.as_ref().map(|member| member.name.clone());
        let replica = |member: Member| Source { kind: SourceKind::Replica, member };
        let leader = self
            .members
            .leader(now)
            .map(|leader| Source { kind: SourceKind::Coordinator, member: leader.member });
        let others = self
            .members
            .replicas()
            .filter(|member| Some(&member.name) != preferred.as_ref())
            .cloned();
        let (primary, others) = (primary.map(replica).into_iter(), others.map(replica));
        match self.history {
            History::Confirmed => primary.chain(leader).chain(others).collect(),
            // A coordinator can't tell one history from another.
            History::Unconfirmed | History::Disputed => primary.chain(others).collect(),
        }
    }

    pub(in crate::replica) fn fetched(
        &mut self,
        now: Duration,
        fetch: FetchId,
        reply: Result<ChosenReply, NoAnswer>,
        effects: &mut Vec<Effect>,
    ) {
        let learned_before = self.learner.learned_below();
        match reply {
            Ok(ChosenReply::Entries { entries, chosen_below, previous }) => {
                match self.compare(fetch, previous, effects) {
                    Trust::Learn if self.refuses_far(&entries, effects) => {}
                    Trust::Learn => {
                        for entry in entries {
                            self.learner.learn(entry);
                        }
                        self.note_chosen(now, Claimant::Source, chosen_below, effects);
                    }
                    Trust::Ignore => {}
                }
            }
            Ok(ChosenReply::Trimmed { .. } | ChosenReply::Unavailable) | Err(NoAnswer) => {
                let due = self.learner.learned_below();
                let lacks = match reply {
                    Ok(ChosenReply::Trimmed { oldest }) if oldest > due => Lacks::Trimmed,
                    Ok(_) | Err(NoAnswer) => Lacks::Now,
                };
                if let Some(source) = self.fetching.source(fetch).cloned() {
                    self.note_lacking(&source, lacks);
                }
                self.fetching.ended(now, fetch, FetchOutcome::Failed);
                return;
            }
        }
        let progress = if self.learner.learned_below() > learned_before {
            FetchOutcome::Learned
        } else if self.learner.is_behind() || self.history != History::Confirmed {
            FetchOutcome::Failed
        } else {
            FetchOutcome::UpToDate
        };
        match self.fetching.ended(now, fetch, progress) {
            After::GoOn => {}
            After::Pause => self.pause(effects),
            After::BackOff => self.arm_fetch(effects),
        }
    }

    pub(in crate::replica) fn look_whether_stalled(
        &mut self,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        match (self.fetching.looked(now, self.learner.learned_below()), self.cluster) {
            (Stalled::Yes, Some(cluster)) if self.learner.is_behind() => {
                self.fetch(now, cluster, effects)
            }
            (Stalled::Yes | Stalled::No, _) => {}
        }
    }

    /// Whether a page has entries that cannot be chosen.
    fn refuses_far(&self, entries: &[ChosenEntry], effects: &mut Vec<Effect>) -> bool {
        let refused =
            entries.iter().find_map(|entry| self.learner.check_slot("slot", entry.slot).err());
        effects.extend(refused.map(|why| Effect::ClaimRefused { from: Claimant::Source, why }));
        refused.is_some()
    }

    /// Holds the log of whoever answered against the one here, before anything of it is
    /// learned.
    fn compare(
        &mut self,
        fetch: FetchId,
        previous: Option<LogPrefix>,
        effects: &mut Vec<Effect>,
    ) -> Trust {
        let source = self.fetching.source(fetch);
        let Some(previous) = previous else {
            let is_replica = source.is_some_and(|source| source.kind == SourceKind::Replica);
            // A replica that has the slot says so, and a coordinator can't.
            return match self.history {
                History::Confirmed if !is_replica => Trust::Learn,
                History::Confirmed | History::Unconfirmed | History::Disputed => Trust::Ignore,
            };
        };
        match (self.learner.compare(previous), source) {
            (Comparison::Same, _) => {
                self.confirm_history(effects);
                Trust::Learn
            }
            (Comparison::Differs { own }, Some(source)) => {
                let replica = source.member.name.clone();
                if self.meta.view.as_ref().is_some_and(|view| view.contains(&replica)) {
                    let LogPrefix { below, hash: theirs } = previous;
                    let fork = WrongHistory::Fork { below, own, theirs, replica };
                    effects.push(Effect::WrongHistory(fork));
                }
                Trust::Ignore
            }
            (Comparison::Differs { .. }, None) | (Comparison::Unknown, _) => Trust::Ignore,
        }
    }
}
