//! Executing any log whatsoever: the rules of views and batches alone make sure that
//! nothing is executed twice, or by two primaries.
//!
//! What leaders and primaries propose is not trusted here: every log of the alphabet
//! below is chosen, word by word, with stale views, batches of deposed primaries, batches
//! that come twice, too early, or with two contents. What executes it is the replicas'
//! own [`apply`]. (What a *correct* primary proposes, and what it answers, is in
//! `primaries.rs`.)

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use replica::machine::command::{AnswerRetention, Command, Commands, Condition, Op};
use replica::machine::execute::{Executed, SlotOutcome, apply};
use replica::machine::identity::RequestIdentity;
use replica::machine::state::ReplicatedState;
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Epoch, Instance, LogFormat, Slot};
use shared::message::{Batch, ChosenEntry, EncodedValue, Value, View};
use stateright::{Model, Property};

use crate::check::{Broken, explore};

/// What a slot may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Word {
    Noop,
    Garbage,
    View { epoch: u64, primary: char },
    Batch { epoch: u64, number: u64, author: char },
}

impl Word {
    fn encode(self) -> EncodedValue {
        match self {
            Self::Noop => Value::Noop.encode(),
            Self::Garbage => Bytes::from_static(&[0xff]),
            Self::View { epoch, primary } => {
                let primary = format!("replica-{primary}").parse().expect("a name");
                Value::View(View {
                    epoch: Epoch(epoch),
                    primary,
                    primary_instance: Instance(1),
                    backups: Vec::new(),
                    format: LogFormat::FIRST,
                })
                .encode()
            }
            Self::Batch { epoch, number, author } => {
                let key = format!("{author}/{epoch}/{number}");
                let op = Op::Put {
                    key,
                    value: Bytes::new(),
                    content_type: None,
                    condition: Condition::Always,
                };
                let commands = Commands {
                    time_ms: 0,
                    wall_ms: 0,
                    trace: None,
                    answers: AnswerRetention::default(),
                    commands: vec![Command {
                        op,
                        trace: None,
                        request: RequestIdentity::Drawn([1; 16]),
                    }],
                    executed: None,
                }
                .encode();
                Value::Batch(Batch { epoch: Epoch(epoch), number: BatchNumber(number), commands })
                    .encode()
            }
        }
    }
}

type Checked = Property<AnyLog>;

/// Any log of so many slots.
struct AnyLog {
    slots: usize,
    words: Vec<Word>,
}

impl AnyLog {
    fn new(slots: usize, epochs: u64) -> Self {
        let mut words = vec![Word::Noop, Word::Garbage];
        for epoch in 1..=epochs {
            words.extend(['a', 'b'].map(|primary| Word::View { epoch, primary }));
            let batch = |author| [0, 1].map(|number| Word::Batch { epoch, number, author });
            words.extend(['a', 'b'].into_iter().flat_map(batch));
        }
        Self { slots, words }
    }
}

/// A log and what came of it.
#[derive(Clone, Debug)]
struct Log {
    words: Vec<Word>,
    executed: Vec<Arc<Executed>>,
    state: Arc<ReplicatedState>,
}

impl Broken for Log {
    fn broken(&self) -> String {
        String::new()
    }
}

impl Hash for Log {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.words.hash(hasher);
    }
}

impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Model for AnyLog {
    type State = Log;
    type Action = Word;

    fn init_states(&self) -> Vec<Log> {
        vec![Log {
            words: Vec::new(),
            executed: Vec::new(),
            state: Arc::new(ReplicatedState::complete()),
        }]
    }

    fn actions(&self, log: &Log, actions: &mut Vec<Word>) {
        if log.words.len() < self.slots {
            actions.extend(&self.words);
        }
    }

    fn next_state(&self, log: &Log, word: Word) -> Option<Log> {
        let mut log = log.clone();
        let slot = Slot(log.words.len() as u64);
        let ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };
        let executed = apply(
            Arc::make_mut(&mut log.state),
            &ChosenEntry { slot, ballot, value: word.encode() },
        );
        log.words.push(word);
        log.executed.push(Arc::new(executed));
        Some(log)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Checked::always("epochs rise by one, each has one primary", epochs_rise_by_one),
            Checked::always(
                "the batches of an epoch are executed in it, in the order of their numbers",
                batches_are_in_order,
            ),
            Checked::always("a batch is executed at most once", each_batch_once),
            Checked::always("what is void leaves no trace", void_leaves_no_trace),
            Checked::sometimes("two batches of an epoch are executed", |_, log| {
                effects(log).ends_with(&[Some(1)])
            }),
            Checked::sometimes("a batch with another content is void", |_, log| {
                let both =
                    |author| log.words.contains(&Word::Batch { epoch: 1, number: 0, author });
                both('a') && both('b') && executed_batches(log).count() == 1
            }),
            Checked::sometimes(
                "an epoch without a batch is followed by one with a batch",
                |_, log| {
                    let mut batches = executed_batches(log).map(|(_, epoch, _)| epoch);
                    batches.next() == Some(Epoch(2))
                },
            ),
        ]
    }
}

/// Each batch that was executed: where, of which epoch, which number.
fn executed_batches(log: &Log) -> impl Iterator<Item = (Slot, Epoch, BatchNumber)> {
    log.executed.iter().filter_map(|executed| match &executed.outcome {
        SlotOutcome::Batch { epoch, number, .. } => Some((executed.slot, *epoch, *number)),
        SlotOutcome::Noop | SlotOutcome::View(_) | SlotOutcome::Void(_) => None,
    })
}

/// The numbers of executed batches; none where a view begins.
fn effects(log: &Log) -> Vec<Option<u64>> {
    let effect = |executed: &Arc<Executed>| match &executed.outcome {
        SlotOutcome::Batch { number, .. } => Some(Some(number.0)),
        SlotOutcome::View(_) => Some(None),
        SlotOutcome::Noop | SlotOutcome::Void(_) => None,
    };
    log.executed.iter().filter_map(effect).collect()
}

fn epochs_rise_by_one(_: &AnyLog, log: &Log) -> bool {
    let view = |executed: &Arc<Executed>| match &executed.outcome {
        SlotOutcome::View(view) => Some(view.epoch.0),
        SlotOutcome::Noop | SlotOutcome::Batch { .. } | SlotOutcome::Void(_) => None,
    };
    let epochs: Vec<u64> = log.executed.iter().filter_map(view).collect();
    epochs.iter().copied().eq(1..=epochs.len() as u64)
}

fn batches_are_in_order(_: &AnyLog, log: &Log) -> bool {
    let (mut epoch, mut next) = (Epoch(0), BatchNumber(0));
    log.executed.iter().all(|executed| match &executed.outcome {
        SlotOutcome::View(view) => {
            (epoch, next) = (view.epoch, BatchNumber(0));
            true
        }
        SlotOutcome::Batch { epoch: of, number, .. } => {
            let due = std::mem::replace(&mut next, number.next());
            *of == epoch && epoch > Epoch(0) && *number == due
        }
        SlotOutcome::Noop | SlotOutcome::Void(_) => true,
    })
}

fn each_batch_once(_: &AnyLog, log: &Log) -> bool {
    let mut times: BTreeMap<(Epoch, BatchNumber), u32> = BTreeMap::new();
    executed_batches(log)
        .for_each(|(_, epoch, number)| *times.entry((epoch, number)).or_default() += 1);
    times.into_values().all(|times| times == 1)
}

/// The state holds what the executed batches wrote, each at its revision, and nothing
/// else.
fn void_leaves_no_trace(_: &AnyLog, log: &Log) -> bool {
    let written = executed_batches(log).map(|(slot, ..)| match log.words[slot.0 as usize] {
        Word::Batch { epoch, number, author } => format!("{author}/{epoch}/{number}"),
        Word::Noop | Word::Garbage | Word::View { .. } => {
            unreachable!("a batch was executed in slot {slot}")
        }
    });
    let mut expected: Vec<(String, u64)> = written.zip(1..).collect();
    expected.sort_unstable();
    let records =
        log.state.keys().records().iter().map(|(key, record)| (key.clone(), record.revision.0));
    records.eq(expected.iter().cloned()) && log.state.meta().revision.0 == expected.len() as u64
}

#[test]
fn no_log_makes_two_primaries_or_executes_a_batch_twice() {
    explore("any log of 5 slots and 2 epochs", AnyLog::new(5, 2));
}

#[test]
#[ignore = "3 million transitions; see main.rs"]
fn no_longer_log_makes_two_primaries_or_executes_a_batch_twice() {
    explore("any log of 5 slots and 3 epochs", AnyLog::new(5, 3));
}
