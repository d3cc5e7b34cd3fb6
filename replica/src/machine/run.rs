//! A run of chosen slots, executed in one transaction, in rounds of loading and
//! executing.

use shared::ids::{BatchNumber, Epoch};
use shared::message::{ChosenEntry, Removal, Value, View};

use crate::machine::answers::DueAnswers;
use crate::machine::command::{AnswerRetention, Command, Commands, Unreadable, limits};
use crate::machine::execute::access::expire_tokens;
use crate::machine::execute::tenure::expire_leases;
use crate::machine::execute::{Begun, begin_slot, execute_command, finish_slot, next_time};
use crate::machine::format;
use crate::machine::identity::RequestIdentity;
use crate::machine::outcome::{Executed, ExecutedCommand, ExecutionReport, SlotOutcome};
use crate::machine::put_values::{PutValue, put_values};
use crate::machine::state::{Needs, ReplicatedState};

/// The most things that are looked up in one round: as many as one batch has commands, so
/// that most runs take one round, and bounded however long a run is.
const ROUND_LOOKUPS: usize = 4_096;

/// A batch forgets so many answers whose time is over, and twice as many as it may keep: it
/// is bounded, and what is over becomes less.
const LEAST_EXPIRED: usize = 64;

/// A chosen value, decoded. There is no failing: what cannot be read is a value too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Changes nothing.
    Noop,
    /// Who is primary.
    View(View),
    /// Who is primary, and who is out for good.
    Removal(Removal),
    /// Mutations.
    Batch {
        /// The epoch of the primary that made it.
        epoch: Epoch,
        /// Its number in that epoch.
        number: BatchNumber,
        /// The mutations, where they can be read.
        commands: Result<Commands, Unreadable>,
    },
    /// Not the encoding of a value.
    Undecodable,
}

impl Decoded {
    /// Decodes a chosen value.
    #[must_use]
    pub fn new(value: &[u8]) -> Self {
        match Value::decode(value) {
            Ok(Value::Noop) => Self::Noop,
            Ok(Value::View(view)) => Self::View(view),
            Ok(Value::Removal(removal)) => Self::Removal(removal),
            Ok(Value::Batch(batch)) => Self::Batch {
                epoch: batch.epoch,
                number: batch.number,
                commands: decode_commands(value, &batch.commands),
            },
            Err(_) => Self::Undecodable,
        }
    }

    /// The commands in it, where there are any that can be read.
    fn commands(&self) -> &[Command] {
        match self {
            Self::Batch { commands: Ok(commands), .. } => &commands.commands,
            Self::Batch { commands: Err(_), .. }
            | Self::Noop
            | Self::View(_)
            | Self::Removal(_)
            | Self::Undecodable => &[],
        }
    }
}

/// What a format does not have is not the encoding of commands in it: that is what a
/// program says that knows no later one.
fn decode_commands(value: &[u8], commands: &[u8]) -> Result<Commands, Unreadable> {
    let decoded = Commands::decode(commands)?;
    match Value::format_of(value) {
        Ok((format, _))
            if decoded.format() <= format
                && decoded.executed.is_some() == (format >= format::LINKED) =>
        {
            Ok(decoded)
        }
        Ok(_) | Err(_) => Err(Unreadable::NotCommands(commands.len())),
    }
}

/// How far a run has come.
#[derive(Debug)]
pub enum RunStep {
    /// The next command looks at something that is not loaded: this is that, and what is
    /// lacking for those after it as far as it can be told.
    Lacks(Needs),
    /// All of it is executed.
    Done(ExecutionReport),
}

/// A run of chosen slots, being executed.
#[derive(Clone, Debug)]
pub struct Run {
    entries: Vec<ChosenEntry>,
    /// What the slots that are not begun hold, and what those that are held.
    decoded: Vec<Decoded>,
    executed: Vec<Executed>,
    batch: Option<BatchUnderWay>,
    round_lookups: usize,
}

/// A batch of which the first commands are executed.
#[derive(Clone, Debug)]
struct BatchUnderWay {
    epoch: Epoch,
    number: BatchNumber,
    retention: AnswerRetention,
    /// So many answers are to be forgotten, before any command is executed.
    to_expire: Option<usize>,
    /// So many bytes its transactions may still read.
    room: usize,
    left: std::vec::IntoIter<Command>,
    executed: Vec<ExecutedCommand>,
}

impl BatchUnderWay {
    fn new(epoch: Epoch, number: BatchNumber, commands: Commands) -> Self {
        let to_expire = Some(expired_by(&commands.commands));
        let (left, executed) = (commands.commands.into_iter(), Vec::new());
        let room = limits::BATCH_RESULT_BYTES;
        Self { epoch, number, retention: commands.answers, to_expire, room, left, executed }
    }
}

/// How many answers a batch of these commands forgets at most.
fn expired_by(commands: &[Command]) -> usize {
    let is_keyed = |command: &&Command| matches!(command.request, RequestIdentity::Keyed(_));
    LEAST_EXPIRED + 2 * commands.iter().filter(is_keyed).count()
}

impl Run {
    /// Decodes the entries: ascending, without a gap.
    #[must_use]
    pub fn new(entries: Vec<ChosenEntry>) -> Self {
        let decoded = entries.iter().map(|entry| Decoded::new(&entry.value)).collect();
        let round_lookups = ROUND_LOOKUPS;
        Self { entries, decoded, executed: Vec::new(), batch: None, round_lookups }
    }

    /// Has fewer things looked up in one round.
    #[cfg(test)]
    pub(crate) fn round_lookups(mut self, lookups: usize) -> Self {
        self.round_lookups = lookups;
        self
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[ChosenEntry] {
        &self.entries
    }

    /// The values of the entries, in the same order, before they are executed: for whoever
    /// wants to trace what is.
    #[must_use]
    pub fn decoded(&self) -> &[Decoded] {
        &self.decoded
    }

    /// Where the values of at least so many bytes stand in each entry, before they are
    /// executed.
    #[must_use]
    pub fn put_values(&self, at_least: usize) -> Vec<Vec<PutValue>> {
        let of = |(entry, decoded)| put_values(entry, decoded, at_least);
        self.entries.iter().zip(&self.decoded).map(of).collect()
    }

    /// Executes on, until something is lacking or all is done.
    ///
    /// # Panics
    /// When the first entry is not the slot that is due, or what a command looks at is not
    /// loaded though it was not said to be lacking.
    #[must_use]
    pub fn advance(&mut self, state: &mut ReplicatedState) -> RunStep {
        while let Some(entry) = self.entries.get(self.executed.len()).cloned() {
            let outcome = match self.advance_slot(&entry, state) {
                Ok(outcome) => outcome,
                Err(lacking) => return RunStep::Lacks(*lacking),
            };
            self.executed.push(finish_slot(state, &entry, outcome));
        }
        let slots = std::mem::take(&mut self.executed);
        let next_expiry_ms = state.next_expiry_ms();
        RunStep::Done(ExecutionReport { slots, meta: state.meta().clone(), next_expiry_ms })
    }

    /// Executes the slot at hand on to its end.
    ///
    /// # Errors
    /// What is lacking for its next command.
    fn advance_slot(
        &mut self,
        entry: &ChosenEntry,
        state: &mut ReplicatedState,
    ) -> Result<SlotOutcome, Box<Needs>> {
        let mut batch = match self.batch.take() {
            Some(batch) => batch,
            None => {
                let decoded = &mut self.decoded[self.executed.len()];
                match begin_slot(state, entry, std::mem::replace(decoded, Decoded::Noop)) {
                    Begun::Ended(outcome) => return Ok(outcome),
                    Begun::Batch { epoch, number, commands } => {
                        BatchUnderWay::new(epoch, number, commands)
                    }
                }
            }
        };
        if let Some(at_most) = batch.to_expire {
            let due = DueAnswers { by_ms: state.meta().time_ms, at_most };
            if let Some(due) = state.lacking_due(due, self.due_ahead(due)) {
                let mut lacking = Box::<Needs>::default();
                lacking.answers.due = Some(due);
                self.add_what_comes(batch.left.as_slice(), state, &mut lacking);
                self.batch = Some(batch);
                return Err(lacking);
            }
            state.expire_answers(at_most);
            batch.to_expire = None;
        }
        while let Some(command) = batch.left.as_slice().first() {
            let evaluated = match state.look(command, batch.room) {
                Ok(evaluated) => evaluated,
                Err(mut lacking) => {
                    self.add_what_comes(batch.left.as_slice(), state, &mut lacking);
                    self.batch = Some(batch);
                    return Err(lacking);
                }
            };
            let (retention, room) = (batch.retention, &mut batch.room);
            let execute = |command| execute_command(state, retention, room, (command, evaluated));
            batch.executed.extend(batch.left.next().map(execute));
            state.forget_looked_at();
        }
        expire_leases(state);
        expire_tokens(state);
        let BatchUnderWay { epoch, number, executed, .. } = batch;
        Ok(SlotOutcome::Batch { epoch, number, commands: executed })
    }

    /// What is due, with what the slots after the one at hand will forget as well, as far as
    /// one round goes.
    fn due_ahead(&self, due: DueAnswers) -> DueAnswers {
        let mut ahead = due;
        for decoded in &self.decoded[self.executed.len()..] {
            let Decoded::Batch { commands: Ok(commands), .. } = decoded else { continue };
            let at_most = ahead.at_most + expired_by(&commands.commands);
            if at_most > self.round_lookups {
                break;
            }
            ahead = DueAnswers { by_ms: next_time(ahead.by_ms, commands.time_ms), at_most };
        }
        ahead
    }

    /// Adds what is lacking for these commands and those of the slots after them.
    fn add_what_comes(&self, left: &[Command], state: &ReplicatedState, lacking: &mut Needs) {
        let later = self.decoded[self.executed.len()..].iter().flat_map(Decoded::commands);
        for command in left.iter().chain(later) {
            if lacking.len() >= self.round_lookups {
                return;
            }
            state.add_named(command, lacking);
        }
    }

    /// Executes it all on a state that lacks nothing.
    ///
    /// # Panics
    /// When it does, or the first entry is not the slot that is due.
    #[must_use]
    pub fn apply(mut self, state: &mut ReplicatedState) -> ExecutionReport {
        match self.advance(state) {
            RunStep::Done(report) => report,
            RunStep::Lacks(needs) => panic!("executing lacks what was not loaded: {needs:?}"),
        }
    }
}
