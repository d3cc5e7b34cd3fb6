//! A replica that reads, with its database.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use replica::machine::execute::Run;
use replica::machine::state::ReplicatedState;
use replica::replica::config::Config;
use replica::replica::event::{Effect, Input, ProbeId, RequestId, Stored};
use replica::replica::{Footprint, Identity, Recovered, Replica};
use shared::ids::{Instance, Slot};
use shared::message::ChosenEntry;

use super::state::{acceptor, watermarks};
use crate::check::panic_text;
use crate::cluster::{ACCEPTORS, QUORUM, acceptor_id};
use crate::memo::join;

/// The replica with its database.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) core: Replica,
    pub(crate) database: ReplicatedState,
    /// Handed out for execution.
    pub(crate) run: Option<Vec<ChosenEntry>>,
    pub(crate) probes: BTreeSet<ProbeId>,
    /// Digests of its state: of what concerns no acceptor, of what concerns each, and of
    /// all.
    pub(crate) shared_digest: u64,
    pub(crate) acceptor_digests: [u64; ACCEPTORS],
    pub(crate) digest: u64,
}

/// A replica's next state, and what it releases on the way.
pub(crate) type Stepped = Result<(Arc<Reader>, Vec<Released>), String>;

/// Reads that were released, and how far the state went then.
#[derive(Clone, Debug)]
pub(crate) struct Released {
    pub(crate) ids: Vec<RequestId>,
    pub(crate) executed_below: Slot,
}

impl Reader {
    /// A replica that has found its cluster.
    pub(crate) fn new() -> Self {
        let name = "replica-1".parse().expect("a name");
        let identity = Identity { name, instance: Instance(1), url: "http://replica-1".to_owned() };
        let core = Replica::new(
            Config { acceptors: ACCEPTORS, ..Config::default() },
            identity,
            Recovered::default(),
        );
        let (shared_digest, acceptor_digests, digest) = Default::default();
        let mut reader = Self {
            core,
            database: ReplicatedState::complete(),
            run: None,
            probes: BTreeSet::new(),
            shared_digest,
            acceptor_digests,
            digest,
        };
        let mut released = Vec::new();
        reader.take(Input::Started, &mut released);
        for place in 0..QUORUM {
            let reply = Ok(watermarks(&acceptor(place)));
            reader.take(Input::ProbeReply { probe: ProbeId(1), reply }, &mut released);
        }
        reader
    }

    pub(crate) fn step(&self, step: impl FnOnce(&mut Self, &mut Vec<Released>)) -> Stepped {
        let (mut reader, mut released) = (self.clone(), Vec::new());
        catch_unwind(AssertUnwindSafe(|| step(&mut reader, &mut released)))
            .map_err(|panic| panic_text(&*panic))?;
        Ok((Arc::new(reader), released))
    }

    pub(crate) fn take(&mut self, input: Input, released: &mut Vec<Released>) {
        for effect in self.core.step(Duration::ZERO, input) {
            match effect {
                // Each acceptor answers each of them, whomever it asks.
                Effect::Probe { probe, asked: _ } => {
                    self.probes.insert(probe);
                }
                Effect::Execute { entries } => self.run = Some(entries),
                Effect::Release { ids, executed_below, .. } => {
                    released.push(Released { ids, executed_below })
                }
                Effect::Arm { .. }
                | Effect::Join { .. }
                | Effect::WrongCluster { .. }
                | Effect::ClaimRefused { .. }
                | Effect::WrongHistory(_)
                | Effect::HistoryDisputed(_)
                | Effect::RoleChanged { .. }
                | Effect::Store
                | Effect::StartBatch { .. }
                | Effect::Propose { .. }
                | Effect::Fetch { .. }
                | Effect::FetchSnapshot { .. }
                | Effect::Compact { .. }
                | Effect::ForgetLog { .. }
                | Effect::Removed(_)
                | Effect::FollowAcceptors
                | Effect::Heartbeat { .. }
                | Effect::Learned { .. }
                | Effect::Answer { .. }
                | Effect::Refuse { .. } => {}
            }
        }
        self.core.check_invariants();
        let mut footprint = Footprint::default();
        self.core.footprint(&mut footprint);
        self.shared_digest = join(footprint.shared.finish(), u64::from(self.run.is_some()));
        self.acceptor_digests = std::array::from_fn(|place| {
            footprint.acceptors.get(&acceptor_id(place)).map_or(0, |hasher| hasher.finish())
        });
        self.digest = self.acceptor_digests.into_iter().fold(self.shared_digest, join);
    }

    /// Executes what was handed out.
    pub(crate) fn execute(&mut self, released: &mut Vec<Released>) {
        if let Some(run) = self.run.take() {
            let report = Run::new(run).apply(&mut self.database);
            self.take(Input::Executed(report), released);
            self.take(Input::Stored(Stored::of(self.database.meta())), released);
        }
    }

    pub(crate) fn latest_probe(&self) -> ProbeId {
        self.probes.last().copied().unwrap_or_default()
    }
}
