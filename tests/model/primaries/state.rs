//! A state of the world around replicas that change their roles.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use replica::machine::command::Op;
use replica::machine::execute::{Decoded, Executed, SlotOutcome, apply};
use replica::machine::state::ReplicatedState;
use replica::replica::event::{Answer, RequestId};
use shared::ids::{Epoch, Instance, LogFormat, Name, Slot};
use shared::message::{ChosenEntry, EncodedValue, Value, View};

use super::member::{BALLOT, Batch, Member, Stepped, key_of, name_of};
use crate::check::Broken;
use crate::memo::{digest_of, join};

/// How many replicas there are.
pub(crate) const REPLICAS: usize = 2;

/// A chosen value.
#[derive(Clone, Debug)]
pub(crate) struct Chosen {
    pub(crate) digest: u64,
    pub(crate) value: EncodedValue,
    /// What came of it, by executing the log without any replica.
    pub(crate) executed: Arc<Executed>,
    /// The digest of the state after it.
    pub(crate) state: Arc<ReplicatedState>,
}

/// What a client heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ClientOutcome {
    /// It was executed in this slot.
    Executed(Slot),
    /// It did not happen and never will.
    NotApplied,
    /// It may happen yet.
    Unknown,
}

/// The world.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) members: [Arc<Member>; REPLICAS],
    pub(crate) log: Vec<Chosen>,
    /// All batches ever proposed, by digest.
    pub(crate) batches: BTreeMap<u64, Batch>,
    /// Mutations that are not answered, and where they are.
    pub(crate) open: BTreeMap<RequestId, usize>,
    /// What clients heard.
    pub(crate) heard: BTreeMap<RequestId, ClientOutcome>,
    pub(crate) mutations: u64,
    pub(crate) views: u64,
    pub(crate) restarts: u64,
    pub(crate) broken: Option<Arc<str>>,
    digest: u64,
}

impl State {
    pub(crate) fn initial(pipeline: usize) -> Self {
        let member = |place| {
            Arc::new(Member::new(
                name_of(place),
                Instance(1),
                pipeline,
                ReplicatedState::complete(),
            ))
        };
        let mut state = Self {
            members: std::array::from_fn(member),
            log: Vec::new(),
            batches: BTreeMap::new(),
            open: BTreeMap::new(),
            heard: BTreeMap::new(),
            mutations: 0,
            views: 0,
            restarts: 0,
            broken: None,
            digest: 0,
        };
        state.refresh_digest();
        state
    }

    /// The epoch at the end of the log.
    pub(crate) fn epoch(&self) -> u64 {
        self.log.last().map_or(0, |last| last.state.meta().epoch().0)
    }

    /// A view as a leader proposes it.
    pub(crate) fn view(&self, epoch: u64, primary: usize) -> EncodedValue {
        let backups: Vec<Name> =
            (0..REPLICAS).filter(|place| *place != primary).map(name_of).collect();
        let primary_instance = self.members[primary].instance;
        Value::View(View {
            epoch: Epoch(epoch),
            primary: name_of(primary),
            primary_instance,
            backups,
            format: LogFormat::FIRST,
        })
        .encode()
    }

    /// Appends a value to the log.
    pub(crate) fn choose(&mut self, value: EncodedValue) {
        let mut state =
            self.log.last().map_or_else(ReplicatedState::complete, |last| (*last.state).clone());
        let entry = ChosenEntry { slot: Slot(self.log.len() as u64), ballot: BALLOT, value };
        let executed = Arc::new(apply(&mut state, &entry));
        self.log.push(Chosen {
            digest: digest_of(&entry.value),
            value: entry.value,
            executed,
            state: Arc::new(state),
        });
    }

    /// A slot of the log.
    pub(crate) fn entry(&self, slot: Slot) -> ChosenEntry {
        ChosenEntry { slot, ballot: BALLOT, value: self.log[slot.0 as usize].value.clone() }
    }

    /// A client asks a replica for the next mutation.
    pub(crate) fn begin_mutation(&mut self, replica: usize) {
        self.open.insert(RequestId(self.mutations), replica);
        self.mutations += 1;
    }

    /// A replica dies: who waited for it knows nothing.
    pub(crate) fn abandon(&mut self, replica: usize) {
        let waited: Vec<RequestId> =
            self.open.iter().filter(|(_, at)| **at == replica).map(|(id, _)| *id).collect();
        for id in waited {
            self.open.remove(&id);
            self.heard.insert(id, ClientOutcome::Unknown);
        }
    }

    /// Takes over a replica's next state, and takes note of what it says.
    pub(crate) fn go_on(&mut self, replica: usize, stepped: Stepped) {
        let (member, said) = match stepped {
            Ok(stepped) => stepped,
            Err(what) => {
                self.broken = Some(what.into());
                return;
            }
        };
        self.members[replica] = member;
        self.batches.extend(said.proposed);
        for (id, answer) in said.answers {
            let heard = match answer {
                Answer::Executed { slot, .. } => ClientOutcome::Executed(slot),
                Answer::NotApplied(_) => ClientOutcome::NotApplied,
                Answer::Unknown(_) | Answer::Forgotten => ClientOutcome::Unknown,
            };
            if self.open.remove(&id).is_none() {
                self.broken =
                    Some(format!("mutation {id} is answered twice, at last with {heard:?}").into());
            }
            self.heard.insert(id, heard);
        }
    }

    /// The slots in which a mutation was executed.
    pub(crate) fn executions(&self, mutation: RequestId) -> Vec<Slot> {
        let key = key_of(mutation.0);
        let is_executed =
            |chosen: &&Chosen| match (&chosen.executed.outcome, Decoded::new(&chosen.value)) {
                (SlotOutcome::Batch { .. }, Decoded::Batch { commands: Ok(commands), .. }) => {
                    commands.commands.iter().any(|command| match &command.op {
                        Op::Put { key: written, .. } => *written == key,
                        Op::Delete { .. }
                        | Op::DeletePrefix { .. }
                        | Op::Txn(_)
                        | Op::Append { .. }
                        | Op::Rollback { .. }
                        | Op::LeasedPut { .. }
                        | Op::Lease(_)
                        | Op::Lock(_)
                        | Op::Fenced(_)
                        | Op::Access(_)
                        | Op::Attributed { .. }
                        | Op::Issued { .. }
                        | Op::Certified { .. }
                        | Op::Compact { .. } => false,
                    })
                }
                (
                    SlotOutcome::Batch { .. }
                    | SlotOutcome::Noop
                    | SlotOutcome::View(_)
                    | SlotOutcome::Void(_),
                    _,
                ) => false,
            };
        self.log.iter().filter(is_executed).map(|chosen| chosen.executed.slot).collect()
    }

    /// To be called after every change.
    pub(crate) fn refresh_digest(&mut self) {
        let Self {
            members,
            log,
            batches,
            open,
            heard,
            mutations,
            views,
            restarts,
            broken,
            digest: _,
        } = &*self;
        let mut digest = members.iter().fold(0, |digest, member| join(digest, member.digest));
        digest = join(digest, log.len() as u64);
        digest = log.iter().fold(digest, |digest, chosen| join(digest, chosen.digest));
        digest = join(digest, batches.len() as u64);
        digest = batches.keys().fold(digest, |digest, batch| join(digest, *batch));
        digest = join(digest, open.len() as u64);
        digest = open
            .iter()
            .fold(digest, |digest, (id, replica)| join(join(digest, id.0), *replica as u64));
        for (id, heard) in heard {
            let what = match heard {
                ClientOutcome::Executed(slot) => slot.0 + 2,
                ClientOutcome::NotApplied => 1,
                ClientOutcome::Unknown => 0,
            };
            digest = join(join(digest, id.0), what);
        }
        digest = [mutations, views, restarts]
            .into_iter()
            .fold(digest, |digest, count| join(digest, *count));
        self.digest = join(digest, u64::from(broken.is_some()));
    }
}

impl Broken for State {
    fn broken(&self) -> String {
        self.broken.as_deref().unwrap_or_default().to_owned()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
