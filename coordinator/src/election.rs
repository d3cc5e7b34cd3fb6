//! When a coordinator that stands by tries to lead.
//!
//! It polls all acceptors. Once a quorum has not heard from a leader for the election
//! time-out it waits a random time, polls afresh, and only if a quorum is *still* silent
//! starts Phase 1, which resets the silence that others see. So two coordinators duel
//! only if their fresh polls cross within one round trip; then the higher ballot wins and
//! the other sees its promise as a sign of life. Where round trips are longer than the
//! time-outs that would not end, so failures in a row make the time-outs longer, each by
//! another random amount (the remedy that Lamport leaves open in *Paxos Made Simple*,
//! section 2.4, and Fischer, Lynch and Paterson's result demands: time or chance). Safety
//! rests on none of this.
//!
//! Of a leader whose process has ended no silence is waited for; and as all that stand by
//! hear of it at once, a random time still is.

use std::collections::VecDeque;
use std::time::Duration;

use shared::ids::{Ballot, CoordinatorId};

use crate::config::Config;
use crate::effect::Reason;
use crate::membership::Answer;

/// The most that failures lengthen a time-out: 2 to the power of this.
const MAX_DOUBLINGS: u32 = 3;

/// So many of those that ended are remembered.
const ENDED_KEPT: usize = 16;

/// What a coordinator that stands by waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standby {
    /// Silence of the leader.
    Watching,
    /// The end of a back-off.
    StandingBack,
    /// A replica, after a leadership in which none was heard; or the end of a back-off,
    /// for others may hear some.
    AwaitingReplicas,
    /// The end of the candidate's random wait.
    Armed,
    /// Answers to a fresh poll.
    Rechecking,
}

/// What the acceptors' answers say about the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// So many have heard from one that the others are no quorum.
    Alive,
    /// Too few answered to say.
    Unknown,
    /// None leads, and why that is believed.
    Gone(Reason),
}

/// Coordinators whose process has ended, as far as is known.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Ended(VecDeque<CoordinatorId>);

impl Ended {
    pub(crate) fn note(&mut self, coordinator: CoordinatorId) {
        if self.0.len() == ENDED_KEPT {
            self.0.pop_front();
        }
        self.0.push_back(coordinator);
    }

    /// Whether the leader of that ballot is one.
    pub(crate) fn led(&self, ballot: Ballot) -> bool {
        self.0.contains(&ballot.coordinator)
    }

    /// What was said of each counts for one election: it may not have been so.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

/// Judges answers of different members.
pub(crate) fn verdict<'a>(
    answers: impl Iterator<Item = &'a Answer>,
    ended: &Ended,
    acceptors: usize,
    quorum: usize,
    silence_needed: Duration,
) -> Verdict {
    let (mut silent, mut left, mut alive, mut unpromised, mut promised) = (0, 0, 0, 0, 0);
    for answer in answers {
        let heard_nothing = Duration::from_millis(answer.reply.leader_silent_ms) >= silence_needed;
        let by_ended = answer.reply.promised.is_some_and(|ballot| ended.led(ballot));
        *(match (heard_nothing, by_ended) {
            (true, _) => &mut silent,
            (false, true) => &mut left,
            (false, false) => &mut alive,
        }) += 1;
        *(if answer.reply.promised.is_none() { &mut unpromised } else { &mut promised }) += 1;
    }
    if promised == 0 && unpromised >= quorum {
        Verdict::Gone(Reason::NoLeaderYet)
    } else if silent >= quorum {
        Verdict::Gone(Reason::LeaderSilent)
    } else if silent + left >= quorum {
        Verdict::Gone(Reason::LeaderEnded)
    } else if acceptors - alive < quorum {
        Verdict::Alive
    } else {
        Verdict::Unknown
    }
}

/// Attempts to lead that failed one after another.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Failures {
    in_a_row: u32,
    last_at: Duration,
}

impl Failures {
    pub(crate) fn add(&mut self, config: &Config, now: Duration) {
        self.in_a_row = self.remembered(config, now).saturating_add(1);
        self.last_at = now;
    }

    fn remembered(&self, config: &Config, now: Duration) -> u32 {
        if now.saturating_sub(self.last_at) < config.failure_memory { self.in_a_row } else { 0 }
    }

    /// A time-out, made longer by every failure after the first.
    pub(crate) fn lengthen(&self, config: &Config, now: Duration, timeout: Duration) -> Duration {
        let doublings = self.remembered(config, now).saturating_sub(1).min(MAX_DOUBLINGS);
        timeout.saturating_mul(1 << doublings)
    }
}

#[cfg(test)]
mod tests {
    use crate::effect::PollNumber;
    use shared::ids::{AcceptorId, Ballot, CoordinatorId, Draw};
    use shared::message::{Marks, Watermarks};

    use super::*;

    fn answer(acceptor: u64, silent_ms: u64, promised: Option<u64>) -> Answer {
        Answer {
            poll: PollNumber(1),
            asked_at: Duration::ZERO,
            reply: Watermarks {
                acceptor: AcceptorId(acceptor),
                roster: None,
                draw: Draw(1),
                promised: promised.map(|round| Ballot { round, coordinator: CoordinatorId(7) }),
                marks: Marks::default(),
                leader_silent_ms: silent_ms,
            },
        }
    }

    fn judge(answers: &[Answer]) -> Verdict {
        verdict(answers.iter(), &Ended::default(), 3, 2, Duration::from_millis(500))
    }

    #[test]
    fn of_a_leader_that_has_ended_no_silence_is_waited_for() {
        let mut ended = Ended::default();
        ended.note(CoordinatorId(7));
        let judge =
            |answers: &[Answer]| verdict(answers.iter(), &ended, 3, 2, Duration::from_millis(500));
        assert_eq!(
            judge(&[answer(1, 9, Some(1)), answer(2, 500, Some(1))]),
            Verdict::Gone(Reason::LeaderEnded)
        );
        let of_another = |acceptor| {
            let mut answer = answer(acceptor, 9, None);
            answer.reply.promised = Some(Ballot { round: 2, coordinator: CoordinatorId(8) });
            answer
        };
        assert_eq!(judge(&[answer(1, 9, Some(1)), of_another(2)]), Verdict::Unknown);
        let most = [answer(1, 9, Some(1)), of_another(2), of_another(3)];
        assert_eq!(judge(&most), Verdict::Alive);
    }

    #[test]
    fn a_leader_is_gone_when_a_quorum_has_not_heard_from_it() {
        assert_eq!(
            judge(&[answer(1, 500, Some(1)), answer(2, 700, Some(1))]),
            Verdict::Gone(Reason::LeaderSilent)
        );
        assert_eq!(judge(&[answer(1, 500, Some(1)), answer(2, 499, Some(1))]), Verdict::Unknown);
        assert_eq!(
            judge(&[answer(1, 500, Some(1)), answer(2, 9, Some(1)), answer(3, 9, Some(1))]),
            Verdict::Alive
        );
        assert_eq!(judge(&[]), Verdict::Unknown);
    }

    #[test]
    fn a_fresh_cluster_waits_for_nobody() {
        assert_eq!(
            judge(&[answer(1, 0, None), answer(2, 0, None)]),
            Verdict::Gone(Reason::NoLeaderYet)
        );
        assert_eq!(
            judge(&[answer(1, 0, None), answer(2, 0, None), answer(3, 0, Some(1))]),
            Verdict::Alive
        );
    }

    #[test]
    fn failures_in_a_row_lengthen_a_timeout_and_are_forgotten() {
        let config = Config::new(3);
        let (mut failures, now, timeout) =
            (Failures::default(), Duration::from_secs(60), Duration::from_millis(500));
        let mut seen = Vec::new();
        for _ in 0..6 {
            failures.add(&config, now);
            seen.push(failures.lengthen(&config, now, timeout).as_millis());
        }
        assert_eq!(seen, [500, 1_000, 2_000, 4_000, 4_000, 4_000]);
        assert_eq!(failures.lengthen(&config, now + config.failure_memory, timeout), timeout);
    }
}
