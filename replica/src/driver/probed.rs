//! Whom a probe asks, and in which order.
//!
//! Nothing here says what an answer is worth: a read goes by a quorum of one roster, whoever
//! was asked (`replica/quorum_read.rs`). Whoever is asked first only decides how much is
//! asked, and how long it takes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shared::client::AcceptorClient;
use tokio::time::Instant;

use crate::replica::event::{ProbeId, ProbeScope};

/// For how long an acceptor is asked last that was late: each such time costs the reads of
/// one probe what they wait for it.
const LATE_FOR: Duration = Duration::from_secs(1);

/// What an answer may take longer than twice the time of the fastest one: what the machines
/// and their network vary by.
const LATE_AFTER: Duration = Duration::from_millis(1);

/// The acceptors, as they answered of late.
#[derive(Debug)]
pub(super) struct Probed {
    acceptors: Arc<[AcceptorClient]>,
    /// Of each, when it was found to be late last.
    late_since: Vec<Option<Instant>>,
    /// The latest probe, and whom it has asked.
    probe: ProbeId,
    asked: Vec<Question>,
}

/// One acceptor that was asked.
#[derive(Debug)]
struct Question {
    place: usize,
    asked_at: Instant,
    answer: Arc<Answer>,
}

impl Question {
    /// Whether the answer is late beside the fastest one.
    fn is_late(&self, fastest: Duration, now: Instant) -> bool {
        let limit = fastest * 2 + LATE_AFTER;
        match self.answer.outcome() {
            Some(Outcome::After(took)) => took > limit,
            Some(Outcome::Failed) => true,
            None => now.saturating_duration_since(self.asked_at) > limit,
        }
    }
}

/// What became of a question.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    After(Duration),
    Failed,
}

/// What the answer took, in microseconds; [`Answer::NONE`] while there is none.
#[derive(Debug)]
struct Answer(AtomicU64);

impl Answer {
    const NONE: u64 = u64::MAX;
    const FAILED: u64 = Self::NONE - 1;

    fn outcome(&self) -> Option<Outcome> {
        match self.0.load(Ordering::Relaxed) {
            Self::NONE => None,
            Self::FAILED => Some(Outcome::Failed),
            micros => Some(Outcome::After(Duration::from_micros(micros))),
        }
    }

    fn took(&self) -> Option<Duration> {
        match self.outcome()? {
            Outcome::After(took) => Some(took),
            Outcome::Failed => None,
        }
    }
}

/// Is told what became of a question.
#[derive(Debug)]
pub(super) struct Answered(Arc<Answer>);

impl Answered {
    /// There was an answer, so long after the question.
    pub(super) fn after(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(Answer::FAILED);
        self.0.0.store(micros, Ordering::Relaxed);
    }

    /// There is none to come.
    pub(super) fn failed(&self) {
        self.0.0.store(Answer::FAILED, Ordering::Relaxed);
    }
}

impl Probed {
    pub(super) fn new() -> Self {
        Self {
            acceptors: Arc::new([]),
            late_since: Vec::new(),
            probe: ProbeId::default(),
            asked: Vec::new(),
        }
    }

    /// Those of the present acceptors whom a probe asks now: the first is another one for
    /// each probe, and those come last that were late.
    pub(super) fn next(
        &mut self,
        present: &Arc<[AcceptorClient]>,
        (probe, asked): (ProbeId, ProbeScope),
        now: Instant,
    ) -> Vec<(AcceptorClient, Answered)> {
        if !Arc::ptr_eq(&self.acceptors, present) {
            self.acceptors = Arc::clone(present);
            self.late_since = vec![None; present.len()];
            self.asked.clear();
        }
        self.look_for_late(probe, now);
        let places = match asked {
            ProbeScope::Quorum | ProbeScope::All => asked.of(self.in_order(probe, now)),
            ProbeScope::Rest => {
                let is_new = |place: &usize| self.asked.iter().all(|one| one.place != *place);
                (0..self.acceptors.len()).filter(is_new).collect()
            }
        };
        let ask = |place: usize| {
            let answer = Arc::new(Answer(AtomicU64::new(Answer::NONE)));
            self.asked.push(Question { place, asked_at: now, answer: Arc::clone(&answer) });
            (self.acceptors[place].clone(), Answered(answer))
        };
        places.into_iter().map(ask).collect()
    }

    /// Who was asked and failed, or takes far longer than another one, is late: whether that
    /// shows when a probe asks the others, too, or once the next one is sent.
    fn look_for_late(&mut self, probe: ProbeId, now: Instant) {
        let fastest = self.asked.iter().filter_map(|one| one.answer.took()).min();
        for one in self.asked.iter().filter(|one| one.is_late(fastest.unwrap_or_default(), now)) {
            self.late_since[one.place] = Some(now);
        }
        if probe != self.probe {
            (self.probe, self.asked) = (probe, Vec::new());
        }
    }

    fn in_order(&self, probe: ProbeId, now: Instant) -> Vec<usize> {
        let all = self.acceptors.len();
        let first = usize::try_from(probe.0 % all.max(1) as u64).unwrap_or(0);
        let mut places: Vec<usize> = (first..all).chain(0..first).collect();
        places.sort_by_key(|place| {
            self.late_since[*place].is_some_and(|since| now < since + LATE_FOR)
        });
        places
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "time begins somewhere")]
mod tests {
    use super::*;

    fn acceptors() -> Arc<[AcceptorClient]> {
        let client =
            |port| AcceptorClient::new(format!("http://127.0.0.1:{port}").parse().unwrap());
        (1..=3).map(client).collect()
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// The ports of those who are asked; those listed answer, each after so long.
    fn ask(
        probed: &mut Probed,
        acceptors: &Arc<[AcceptorClient]>,
        of: (u64, ProbeScope),
        at: Instant,
        answering: &[(u16, Duration)],
    ) -> Vec<u16> {
        let asked = probed.next(acceptors, (ProbeId(of.0), of.1), at);
        let port = |client: &AcceptorClient| {
            client.url().authority().rsplit_once(':').unwrap().1.parse().unwrap()
        };
        for (client, answered) in &asked {
            if let Some((_, took)) = answering.iter().find(|(one, _)| *one == port(client)) {
                answered.after(*took);
            }
        }
        asked.iter().map(|(client, _)| port(client)).collect()
    }

    #[tokio::test]
    async fn each_probe_asks_another_quorum() {
        let (mut probed, acceptors, now) = (Probed::new(), acceptors(), Instant::now());
        let all = [1, 2, 3].map(|port| (port, ms(1)));
        let asked: Vec<Vec<u16>> = (0..3)
            .map(|probe| ask(&mut probed, &acceptors, (probe, ProbeScope::Quorum), now, &all))
            .collect();
        assert_eq!(asked, [[1, 2], [2, 3], [3, 1]]);
        assert_eq!(ask(&mut probed, &acceptors, (3, ProbeScope::All), now, &[]), [1, 2, 3]);
    }

    #[tokio::test]
    async fn who_does_not_answer_is_asked_last_for_a_while() {
        let (mut probed, acceptors, now) = (Probed::new(), acceptors(), Instant::now());
        let (two, three) = ((2, ms(1)), (3, ms(1)));
        assert_eq!(ask(&mut probed, &acceptors, (0, ProbeScope::Quorum), now, &[two]), [1, 2]);
        let now = now + ms(10);
        assert_eq!(ask(&mut probed, &acceptors, (0, ProbeScope::Rest), now, &[three]), [3]);
        for (probe, expected) in [(1, [2, 3]), (2, [3, 2]), (3, [2, 3])] {
            let asked =
                ask(&mut probed, &acceptors, (probe, ProbeScope::Quorum), now, &[two, three]);
            assert_eq!(asked, expected, "probe {probe}");
        }
        let later = now + LATE_FOR;
        assert_eq!(ask(&mut probed, &acceptors, (6, ProbeScope::Quorum), later, &[]), [1, 2]);
    }

    #[tokio::test]
    async fn who_fails_at_once_makes_nobody_late_who_was_asked_with_it() {
        let (mut probed, acceptors, now) = (Probed::new(), acceptors(), Instant::now());
        let asked = probed.next(&acceptors, (ProbeId(0), ProbeScope::Quorum), now);
        asked[0].1.failed();
        assert_eq!(ask(&mut probed, &acceptors, (0, ProbeScope::Rest), now, &[(3, ms(1))]), [3]);
        asked[1].1.after(ms(1));
        let all = [(2, ms(1)), (3, ms(1))];
        for (probe, expected) in [(1, [2, 3]), (2, [3, 2]), (3, [2, 3])] {
            let asked = ask(&mut probed, &acceptors, (probe, ProbeScope::Quorum), now, &all);
            assert_eq!(asked, expected, "probe {probe}");
        }
    }

    #[tokio::test]
    async fn who_was_asked_with_all_and_is_silent_is_asked_last_by_the_next() {
        let (mut probed, acceptors, now) = (Probed::new(), acceptors(), Instant::now());
        let (two, three) = ((2, ms(1)), (3, ms(1)));
        assert_eq!(
            ask(&mut probed, &acceptors, (0, ProbeScope::All), now, &[two, three]),
            [1, 2, 3]
        );
        let later = now + LATE_FOR;
        assert_eq!(ask(&mut probed, &acceptors, (3, ProbeScope::Quorum), later, &[]), [2, 3]);
    }

    #[tokio::test]
    async fn who_takes_far_longer_than_another_is_asked_last_for_a_while() {
        let (mut probed, acceptors, now) = (Probed::new(), acceptors(), Instant::now());
        let answering = [(1, ms(1)), (2, ms(1)), (3, ms(9))];
        let asked: Vec<Vec<u16>> = (0..5)
            .map(|probe| ask(&mut probed, &acceptors, (probe, ProbeScope::Quorum), now, &answering))
            .collect();
        assert_eq!(asked, [[1, 2], [2, 3], [1, 2], [1, 2], [2, 1]]);
        let later = now + LATE_FOR;
        assert_eq!(ask(&mut probed, &acceptors, (5, ProbeScope::Quorum), later, &[]), [3, 1]);
    }

    #[tokio::test]
    async fn who_takes_a_little_longer_is_asked_in_turn() {
        let (mut probed, acceptors, now) = (Probed::new(), acceptors(), Instant::now());
        let answering = [(1, ms(1)), (2, ms(1)), (3, ms(3))];
        let asked: Vec<Vec<u16>> = (0..3)
            .map(|probe| ask(&mut probed, &acceptors, (probe, ProbeScope::Quorum), now, &answering))
            .collect();
        assert_eq!(asked, [[1, 2], [2, 3], [3, 1]]);
    }
}
