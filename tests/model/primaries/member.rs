//! A replica with its database, in its place.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use replica::machine::command::{Command, Condition, Op};
use replica::machine::execute::Run;
use replica::machine::identity::RequestIdentity;
use replica::machine::state::ReplicatedState;
use replica::replica::config::Config;
use replica::replica::event::{
    Answer, Attempt, Effect, FetchId, Input, ProbeId, RequestId, Stored,
};
use replica::replica::{Footprint, Identity, Recovered, Replica};
use shared::ids::{Ballot, BatchNumber, CoordinatorId, Draw, Epoch, Instance, Name, Slot};
use shared::message::{
    ChosenEntry, ChosenReply, Directory, DirectoryEntry, EncodedValue, HeartbeatReply, Marks,
    Phase, ProposalReply, Service, Watermarks,
};

use crate::check::panic_text;
use crate::cluster::{QUORUM, acceptor_id, ours, roster};
use crate::memo::{digest_of, join};

/// The ballot of the one coordinator that replicas see.
pub(crate) const BALLOT: Ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };

/// A replica's place.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) core: Replica,
    pub(crate) name: Name,
    pub(crate) instance: Instance,
    pipeline: usize,
    database: ReplicatedState,
    /// Handed out for execution.
    pub(crate) run: Option<Vec<ChosenEntry>>,
    /// The batches that it proposed in this life, by digest.
    pub(crate) proposed: BTreeMap<u64, Batch>,
    pub(crate) digest: u64,
}

/// A proposed batch.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) epoch: Epoch,
    pub(crate) number: BatchNumber,
    pub(crate) value: EncodedValue,
    /// The replica that made it, in the life that made it.
    pub(crate) author: (Name, Instance),
}

/// What a replica says in a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    pub(crate) proposed: Vec<(u64, Batch)>,
    pub(crate) answers: Vec<(RequestId, Answer)>,
}

/// A replica's next state, and what it says on the way.
pub(crate) type Stepped = Result<(Arc<Member>, Said), String>;

/// The key that a mutation writes.
pub(crate) fn key_of(mutation: u64) -> String {
    format!("mutation-{mutation}")
}

/// A replica's name.
pub(crate) fn name_of(place: usize) -> Name {
    format!("replica-{}", place + 1).parse().expect("a name")
}

impl Member {
    /// A replica that starts on a database, and has found its cluster and a leader.
    pub(crate) fn new(
        name: Name,
        instance: Instance,
        pipeline: usize,
        database: ReplicatedState,
    ) -> Self {
        // It has nobody to compare its log with.
        let history_patience = Duration::ZERO;
        let config = Config { pipeline, history_patience, ..Config::default() };
        let identity = Identity { name: name.clone(), instance, url: format!("http://{name}") };
        let voted_below = database.meta().executed_below;
        let recovered = Recovered { meta: database.meta().clone(), ..Recovered::default() };
        let core = Replica::new(config, identity, recovered);
        let mut member = Self {
            core,
            name,
            instance,
            pipeline,
            database,
            run: None,
            proposed: BTreeMap::new(),
            digest: 0,
        };
        let coordinator = shared::message::Member {
            name: "coordinator-1".parse().expect("a name"),
            service: Service::Coordinator,
            url: "http://coordinator-1".to_owned(),
            instance: Instance(1),
        };
        let (phase, ballot, chosen_below) = (Phase::Phase2, Some(BALLOT), Slot(0));
        let leads = HeartbeatReply { coordinator: CoordinatorId(1), phase, ballot, chosen_below };
        let from = coordinator.name.clone();
        let directory =
            Directory { members: vec![DirectoryEntry { member: coordinator, age_ms: 0 }] };
        let said = &mut Said::default();
        member.take(Input::Started, said);
        member.take(Input::Directory(directory), said);
        for place in 0..QUORUM {
            let (acceptor, roster) = (acceptor_id(place), Some(roster()));
            let reply = Watermarks {
                acceptor,
                roster,
                draw: Draw(1),
                promised: Some(BALLOT),
                marks: Marks { voted_below, ..Marks::default() },
                leader_silent_ms: 0,
            };
            member.take(Input::ProbeReply { probe: ProbeId(1), reply: Ok(reply) }, said);
        }
        member.take(Input::HeartbeatReply { from, reply: Ok(ours(leads)) }, said);
        member
    }

    /// The same replica in its next life.
    pub(crate) fn restarted(&self) -> Self {
        Self::new(
            self.name.clone(),
            Instance(self.instance.0 + 1),
            self.pipeline,
            self.database.clone(),
        )
    }

    /// The same replica in its next life, without its data.
    pub(crate) fn wiped(&self) -> Self {
        Self::new(
            self.name.clone(),
            Instance(self.instance.0 + 1),
            self.pipeline,
            ReplicatedState::complete(),
        )
    }

    /// A client asks for a mutation.
    pub(crate) fn mutate(&self, mutation: u64) -> Stepped {
        let (key, value, content_type) = (key_of(mutation), Bytes::new(), None);
        let command = Command {
            op: Op::Put { key, value, content_type, condition: Condition::Always },
            trace: None,
            request: RequestIdentity::Drawn(u128::from(mutation).to_be_bytes()),
        };
        self.step(|member, said| {
            member.take(
                Input::Mutation { id: RequestId(mutation), command, since: None, wall_ms: 0 },
                said,
            )
        })
    }

    /// A client gives up.
    pub(crate) fn cancel(&self, mutation: u64) -> Stepped {
        self.step(|member, said| member.take(Input::Cancel { id: RequestId(mutation) }, said))
    }

    /// It hears from the coordinator that its batch is chosen.
    pub(crate) fn hear(&self, entry: &ChosenEntry) -> Stepped {
        let batch = self.proposed[&digest_of(&entry.value)].clone();
        let reply = Ok(ours(ProposalReply::Chosen {
            slot: entry.slot,
            ballot: entry.ballot,
            chosen_below: entry.slot,
        }));
        let (epoch, number) = (batch.epoch, batch.number);
        self.step(|member, said| {
            member.take(Input::ProposalReply { epoch, number, attempt: Attempt(0), reply }, said)
        })
    }

    /// It learns a chosen entry from somewhere.
    pub(crate) fn learn(&self, entry: &ChosenEntry) -> Stepped {
        let reply = Ok(ours(ChosenReply::Entries {
            entries: vec![entry.clone()],
            chosen_below: entry.slot.next(),
            previous: None,
        }));
        self.step(|member, said| member.take(Input::Fetched { fetch: FetchId(0), reply }, said))
    }

    /// It executes what was handed out.
    pub(crate) fn execute(&self) -> Stepped {
        self.step(|member, said| {
            let run = member.run.take().expect("the action is there only if there is a run");
            let report = Run::new(run).apply(&mut member.database);
            member.take(Input::Executed(report), said);
            member.take(Input::Stored(Stored::of(member.database.meta())), said);
        })
    }

    /// Every slot below is known to it.
    pub(crate) fn learned_below(&self) -> Slot {
        self.core.status(Duration::ZERO).learned_below
    }

    /// Its data.
    pub(crate) fn database(&self) -> &ReplicatedState {
        &self.database
    }

    fn step(&self, step: impl FnOnce(&mut Self, &mut Said)) -> Stepped {
        let (mut member, mut said) = (self.clone(), Said::default());
        catch_unwind(AssertUnwindSafe(|| step(&mut member, &mut said)))
            .map_err(|panic| panic_text(&*panic))?;
        Ok((Arc::new(member), said))
    }

    fn take(&mut self, input: Input, said: &mut Said) {
        for effect in self.core.step(Duration::ZERO, input) {
            match effect {
                Effect::Propose { proposal, .. } => {
                    let author = (self.name.clone(), self.instance);
                    let digest = digest_of(&proposal.value);
                    let batch = Batch {
                        epoch: proposal.epoch,
                        number: proposal.number,
                        value: proposal.value,
                        author,
                    };
                    self.proposed.insert(digest, batch.clone());
                    said.proposed.push((digest, batch));
                }
                Effect::Execute { entries } => self.run = Some(entries),
                Effect::Answer { id, answer } => said.answers.push((id, answer)),
                Effect::Arm { .. }
                | Effect::Join { .. }
                | Effect::WrongCluster { .. }
                | Effect::ClaimRefused { .. }
                | Effect::WrongHistory(_)
                | Effect::HistoryDisputed(_)
                | Effect::RoleChanged { .. }
                | Effect::Store
                | Effect::StartBatch { .. }
                | Effect::Fetch { .. }
                | Effect::FetchSnapshot { .. }
                | Effect::Compact { .. }
                | Effect::ForgetLog { .. }
                | Effect::Removed(_)
                | Effect::Probe { .. }
                | Effect::FollowAcceptors
                | Effect::Heartbeat { .. }
                | Effect::Learned { .. }
                | Effect::Release { .. }
                | Effect::Refuse { .. } => {}
            }
        }
        let mut footprint = Footprint::default();
        self.core.footprint(&mut footprint);
        let run = self.run.as_ref().map_or(0, |run| run.len() as u64);
        let proposed = self.proposed.keys().fold(0, |digest, batch| join(digest, *batch));
        self.digest = join(join(footprint.shared.finish(), run), proposed);
    }
}
