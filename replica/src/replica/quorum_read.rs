//! Linearizable reads from any replica, by asking the acceptors.
//!
//! A value that was chosen before a read began was voted for by a quorum, so every quorum
//! has an acceptor whose highest vote is at or above it. The read therefore takes the
//! highest voted slot that a quorum reports, and waits until that is executed here
//! (Charapko, Ailijiang, Demirbas, *Linearizable Quorum Reads in Paxos*, 2019, section 3,
//! with `executed_below` for its *rinse*).
//!
//! A probe for reads asks as many acceptors as a quorum first, and the others, by the same
//! probe, where one of these fails, is slow, is of another roster, or has a vote that the
//! reads would wait for. A probe that nobody waits for asks all. Whom a probe asks bears on
//! what it costs and never on what it says: the argument above is of *any* quorum that
//! answers, and no verdict is given before a majority of one roster, each of which reports
//! that roster, has answered this very probe ([`tally()`]). An acceptor that was not asked is
//! an acceptor that has not answered, as where its answer was lost; how many were asked, or
//! are known, counts for nothing. No answer is taken over from another probe, so each was
//! asked for after all reads of its probe had arrived, and the others, who are asked later,
//! after that all the more: a vote only ever raises what an acceptor reports. Readers join
//! no probe that was sent, be it that it has others to ask yet.
//!
//! Many reads share a probe: one is in flight and one is queued. A read uses only a probe
//! that was *sent after* the read arrived, for an earlier one may have passed an acceptor
//! before the write that the read has to see. Any probe sent after it will do: where a
//! later quorum reports less than the one before (which had an acceptor with a vote that
//! was never chosen), the reads that wait take the lower verdict. So do they when, of one
//! probe, the answer of an acceptor beyond the first quorum shows another quorum that
//! reports less. So reads go on where mutations can't, for instance while the disks of a
//! quorum are full.
//!
//! The first probe that a quorum answers also says which cluster this is: the one whose
//! roster a quorum of that very roster reports.

mod following;
mod footprint;
mod invariants;
mod probing;
mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::ids::{AcceptorId, Slot};
use shared::message::Watermarks;

use crate::replica::WrongHistory;
use crate::replica::config::Config;
use crate::replica::event::{Effect, ProbeId, ProbeScope, RequestId, Timer};
use following::Following;
pub(crate) use tally::Verdict;
use tally::tally;

/// Reads, each with the number of probes that had been sent when it arrived.
type Readers = BTreeMap<RequestId, u64>;

#[derive(Clone, Debug)]
struct Probe {
    id: ProbeId,
    sent_at: Duration,
    /// What was executed by then.
    executed_below: Slot,
    readers: Readers,
    /// Whether only a quorum was asked so far, or all.
    asked: ProbeScope,
    answers: BTreeMap<AcceptorId, Watermarks>,
    unanswered: usize,
}

/// The probe that gave the latest verdict, for as long as reads wait.
#[derive(Clone, Debug)]
struct Concluded {
    id: ProbeId,
    sent_at: Duration,
    executed_below: Slot,
    asked: ProbeScope,
    answers: BTreeMap<AcceptorId, Watermarks>,
    verdict: Verdict,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    BackingOff,
    InFlight(Probe),
}

/// Those that wait for a slot to be executed.
#[derive(Clone, Debug, Default)]
struct Waiting {
    since: Duration,
    probed_at: Duration,
    readers: BTreeSet<RequestId>,
}

/// Most slots that are waited for only to know how current the state is: enough for a
/// quarter of an hour of probes.
const CURRENCY_WAITS: usize = 1_024;

/// The quorum reads of one replica.
#[derive(Clone, Debug)]
pub(crate) struct QuorumReads {
    acceptors: usize,
    following: Following,
    timeout: Duration,
    patience: Duration,
    backoff: Duration,
    interval: Duration,
    state: State,
    queued: Readers,
    waiting: BTreeMap<Slot, Waiting>,
    concluded: Option<Concluded>,
    probes_sent: u64,
    executed_below: Slot,
    current_as_of: Option<Duration>,
    quorum_answers: bool,
    trimmed_below: Slot,
}

impl QuorumReads {
    pub(crate) fn new(config: &Config, executed_below: Slot) -> Self {
        Self {
            acceptors: config.acceptors,
            following: Following::new(config.generation),
            timeout: config.probe_timeout,
            patience: config.probe_patience,
            backoff: config.probe_backoff,
            interval: config.probe_interval,
            state: State::Idle,
            queued: Readers::new(),
            waiting: BTreeMap::new(),
            concluded: None,
            probes_sent: 0,
            executed_below,
            current_as_of: None,
            quorum_answers: false,
            trimmed_below: Slot(0),
        }
    }

    /// Every slot below is executed.
    pub(crate) fn executed(&mut self, below: Slot) {
        self.executed_below = below;
    }

    /// What was executed when the probe was sent that is in flight.
    pub(crate) fn executed_at_probe(&self) -> Slot {
        match &self.state {
            State::InFlight(probe) => probe.executed_below,
            State::Idle | State::BackingOff => Slot(0),
        }
    }

    /// Takes reads: they share the next probe.
    pub(crate) fn read(&mut self, now: Duration, ids: &[RequestId], effects: &mut Vec<Effect>) {
        self.queued.extend(ids.iter().map(|id| (*id, self.probes_sent)));
        match self.state {
            State::Idle if !ids.is_empty() => self.probe(now, effects),
            State::Idle | State::BackingOff | State::InFlight(_) => {}
        }
    }

    /// Takes the verdict for the probe in flight: its reads wait for the slot. Reads that
    /// came meanwhile start the next.
    pub(crate) fn conclude(&mut self, now: Duration, verdict: Verdict, effects: &mut Vec<Effect>) {
        let State::InFlight(probe) = std::mem::replace(&mut self.state, State::Idle) else {
            unreachable!("a verdict {verdict:?} without a probe in flight")
        };
        self.quorum_answers = true;
        self.trimmed_below = self.trimmed_below.max(verdict.trimmed_below);
        let Probe { id, sent_at, executed_below, readers, asked, answers, unanswered: _ } = probe;
        if !readers.is_empty() || self.waiting.len() < CURRENCY_WAITS {
            self.wait_for(now, verdict.voted_below, sent_at);
            if let Some(waiting) = self.waiting.get_mut(&verdict.voted_below) {
                waiting.readers.extend(readers.into_keys());
            }
        }
        self.concluded = Some(Concluded { id, sent_at, executed_below, asked, answers, verdict });
        if self.queued.is_empty() {
            effects.push(Effect::Arm {
                timer: Timer::Probe,
                after: self.interval,
                jitter: Duration::ZERO,
            });
        } else {
            self.probe(now, effects);
        }
    }

    /// The state below this slot has all that was chosen before the probe that was sent
    /// then. So it is enough for all reads that wait for more: they arrived before that.
    fn wait_for(&mut self, now: Duration, voted_below: Slot, sent_at: Duration) {
        let mut higher = self.waiting.split_off(&voted_below.next());
        let waiting = self
            .waiting
            .entry(voted_below)
            .or_insert_with(|| Waiting { since: now, ..Waiting::default() });
        waiting.probed_at = sent_at;
        higher.values_mut().for_each(|later| waiting.readers.append(&mut later.readers));
    }

    /// Takes an answer to the probe that was concluded last, beyond those that it was
    /// concluded with. Its quorum needs not be the one that was there first: says whether
    /// another one asks less of the reads that wait.
    pub(crate) fn answer_late(
        &mut self,
        now: Duration,
        probe: ProbeId,
        watermarks: &Watermarks,
    ) -> Late {
        let Some(concluded) = self.concluded.as_mut().filter(|concluded| concluded.id == probe)
        else {
            return Late::Unchanged;
        };
        concluded.answers.entry(watermarks.acceptor).or_insert_with(|| watermarks.clone());
        match tally(&concluded.answers) {
            Some(verdict)
                if verdict.cluster == concluded.verdict.cluster
                    && verdict.voted_below < concluded.verdict.voted_below =>
            {
                concluded.verdict = verdict;
                let sent_at = concluded.sent_at;
                if let Some(lost) = verdict.lost_votes(concluded.executed_below) {
                    return Late::VotesLost(lost);
                }
                self.wait_for(now, verdict.voted_below, sent_at);
                Late::Lowered
            }
            Some(_) | None => Late::Unchanged,
        }
    }

    /// Whether a read waits for what is executed below that slot.
    pub(crate) fn is_awaited(&self, executed_below: Slot) -> bool {
        self.waiting.range(..=executed_below).any(|(_, waiting)| !waiting.readers.is_empty())
    }

    /// Takes out the reads whose slot is executed, in order of their numbers.
    pub(crate) fn release(&mut self, executed_below: Slot) -> Vec<RequestId> {
        let later = self.waiting.split_off(&executed_below.next());
        let mut released = BTreeSet::new();
        for mut waiting in std::mem::replace(&mut self.waiting, later).into_values() {
            self.current_as_of = self.current_as_of.max(Some(waiting.probed_at));
            released.append(&mut waiting.readers);
        }
        if self.waiting.values().all(|waiting| waiting.readers.is_empty()) {
            self.concluded = None;
        }
        released.into_iter().collect()
    }

    /// Forgets a read. Says whether it was waiting here.
    pub(crate) fn cancel(&mut self, id: RequestId) -> Cancelled {
        let in_flight = match &mut self.state {
            State::InFlight(probe) => probe.readers.remove(&id).is_some(),
            State::Idle | State::BackingOff => false,
        };
        let found = in_flight
            || self.queued.remove(&id).is_some()
            || self.waiting.values_mut().any(|waiting| waiting.readers.remove(&id));
        if found { Cancelled::Forgotten } else { Cancelled::NotHere }
    }

    /// The highest slot that has been waited for since before `since`.
    pub(crate) fn overdue(&self, since: Duration) -> Option<Slot> {
        self.waiting.iter().rev().find(|(_, waiting)| waiting.since <= since).map(|(slot, _)| *slot)
    }

    /// How many reads wait.
    pub(crate) fn len(&self) -> usize {
        let in_flight = match &self.state {
            State::InFlight(probe) => probe.readers.len(),
            State::Idle | State::BackingOff => 0,
        };
        in_flight
            + self.queued.len()
            + self.waiting.values().map(|waiting| waiting.readers.len()).sum::<usize>()
    }

    /// See [`Status::current_as_of`](crate::replica::Status::current_as_of).
    pub(crate) fn current_as_of(&self) -> Option<Duration> {
        self.current_as_of
    }

    /// Whether the latest probe that came to an end reached a quorum, but for those that failed
    /// while others were being found in the place of the acceptors that were asked.
    pub(crate) fn quorum_answers(&self) -> bool {
        self.quorum_answers
    }

    /// A quorum of acceptors has trimmed every slot below.
    pub(crate) fn trimmed_below(&self) -> Slot {
        self.trimmed_below
    }
}

/// Whether a request was found where it was to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It was, and is gone.
    Forgotten,
    /// It is not here.
    NotHere,
}

/// Whether a late answer changed what reads wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It shows that votes are lost.
    VotesLost(WrongHistory),
    /// They wait for less.
    Lowered,
    /// It did not.
    Unchanged,
}
