//! Which acceptors a probe asks, when it asks them, and when another one is sent.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::message::Watermarks;

use super::tally::{Verdict, tally};
use super::{Probe, QuorumReads, Readers, State, Waiting};
use crate::replica::event::{Effect, NoAnswer, ProbeId, ProbeScope, Timer};

impl QuorumReads {
    /// The timer ran out: a probe is late, or the next one is due.
    pub(crate) fn fired(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.give_up_probe(now);
        self.probe(now, effects);
    }

    pub(super) fn probe(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.probes_sent += 1;
        let id = ProbeId(self.probes_sent);
        let readers = std::mem::take(&mut self.queued);
        let asked = self.whom(now, &readers);
        self.state = State::InFlight(Probe {
            id,
            sent_at: now,
            executed_below: self.executed_below,
            readers,
            asked,
            answers: BTreeMap::new(),
            unanswered: 0,
        });
        effects.push(Effect::Probe { probe: id, asked });
        let mut arm = |timer, after| {
            effects.push(Effect::Arm { timer, after, jitter: Duration::ZERO });
        };
        arm(Timer::Probe, self.timeout);
        if asked == ProbeScope::Quorum {
            arm(Timer::ProbeRest, self.patience);
        }
    }

    /// Where a quorum is all there is, or none answered of late, there is nothing to wait for
    /// before all are asked; nor where reads wait for a vote that another quorum may lack.
    fn whom(&self, now: Duration, readers: &Readers) -> ProbeScope {
        let is_quorum_less = self.acceptors > 2;
        let is_overdue =
            |waiting: &Waiting| !waiting.readers.is_empty() && waiting.since + self.patience <= now;
        let may_do = is_quorum_less && self.quorum_answers && !readers.is_empty();
        if may_do && !self.waiting.values().any(is_overdue) {
            ProbeScope::Quorum
        } else {
            ProbeScope::All
        }
    }

    /// Has the latest probe ask those, too, whom it has not asked, where they may be of use:
    /// it has no verdict yet, or one that reads still wait for.
    pub(crate) fn ask_rest(&mut self, effects: &mut Vec<Effect>) {
        let (probe, asked) = match (&mut self.state, &mut self.concluded) {
            (State::InFlight(probe), _) => (probe.id, &mut probe.asked),
            (State::Idle | State::BackingOff, Some(concluded)) => {
                (concluded.id, &mut concluded.asked)
            }
            (State::Idle | State::BackingOff, None) => return,
        };
        if std::mem::replace(asked, ProbeScope::All) == ProbeScope::Quorum {
            effects.push(Effect::Probe { probe, asked: ProbeScope::Rest });
        }
    }

    /// The probe in flight has failed.
    fn give_up_probe(&mut self, now: Duration) {
        match self.state {
            State::InFlight(_) => self.quorum_answers &= self.is_following(now),
            State::Idle | State::BackingOff => {}
        }
        self.take_back_probe();
    }

    /// Its readers go to the next probe, which is sent after they arrived, too.
    pub(super) fn take_back_probe(&mut self) {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::InFlight(mut probe) => self.queued.append(&mut probe.readers),
            State::Idle | State::BackingOff => {}
        }
    }

    /// Counts an answer, and gives the verdict if there is a quorum. The probe then stays
    /// in flight until the caller has looked at the cluster and says
    /// [`QuorumReads::conclude`] or [`QuorumReads::back_off`].
    pub(crate) fn answer(
        &mut self,
        now: Duration,
        probe: ProbeId,
        reply: Result<Watermarks, NoAnswer>,
        effects: &mut Vec<Effect>,
    ) -> Option<Verdict> {
        let State::InFlight(current) = &mut self.state else { return None };
        if current.id != probe {
            return None;
        }
        match reply {
            Ok(watermarks) => {
                current.answers.entry(watermarks.acceptor).or_insert(watermarks);
            }
            Err(NoAnswer) => current.unanswered += 1,
        }
        let verdict = tally(&current.answers);
        let heard = current.answers.len() + current.unanswered;
        if verdict.is_some() {
            return verdict;
        }
        match current.asked {
            ProbeScope::Quorum if current.unanswered > 0 || heard > self.acceptors / 2 => {
                self.ask_rest(effects)
            }
            ProbeScope::All | ProbeScope::Rest if heard >= self.acceptors => {
                self.back_off(now, effects)
            }
            ProbeScope::Quorum | ProbeScope::All | ProbeScope::Rest => {}
        }
        None
    }

    /// Gives the probe up and sends the next after a while.
    pub(crate) fn back_off(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.give_up_probe(now);
        self.state = State::BackingOff;
        effects.push(Effect::Arm {
            timer: Timer::Probe,
            after: self.backoff,
            jitter: self.backoff,
        });
    }
}
