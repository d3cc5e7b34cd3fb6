//! What a replica is told about itself at the start, and what it tells about itself
//! later.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::ids::{Ballot, ClusterId, Epoch, Instance, LogFormat, Name, Revision, Slot};
use shared::message::{ChosenReply, Member, Storage, View};

use crate::machine::chain::ChainHash;
use crate::machine::state::{Meta, RemovedReplica};
use crate::replica::event::Role;
use crate::replica::history::History;
use crate::replica::{Dispute, Replica};

/// Who a replica is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its name.
    pub name: Name,
    /// This life of its process.
    pub instance: Instance,
    /// Where the others reach it.
    pub url: String,
}

/// What a replica finds in its database at the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The cluster that it joined
    /// ([`Effect::Join`](crate::replica::event::Effect::Join)), if it has.
    pub cluster: Option<ClusterId>,
    /// Below which slot a quorum of acceptors had voted when it did.
    pub joined_at: Slot,
    /// The meta data.
    pub meta: Meta,
    /// When the next lease or token ends, unless it is renewed. Milliseconds of replicated
    /// time.
    pub next_expiry_ms: Option<u64>,
    /// Every slot below is fsynced.
    pub durable_below: Slot,
}

/// The coordinator that leads, as far as a replica knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// The coordinator.
    pub member: Member,
    /// The ballot it leads at.
    pub ballot: Ballot,
}

/// Chosen slots that can be had nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// The first slot that is not learned here.
    pub from: Slot,
    /// A quorum of acceptors has trimmed every slot below.
    pub trimmed_below: Slot,
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, trimmed_below } = self;
        write!(
            formatter,
            "the slots from {from} on are missing here, a quorum of acceptors has trimmed those \
             below {trimmed_below}, and no replica that answers has them: start a replica whose \
             data folder has them, or restore one"
        )
    }
}

/// What a replica knows of itself and of the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The cluster, once a quorum of its acceptors has confirmed it in this life.
    pub cluster: Option<ClusterId>,
    /// What it is in the view.
    pub role: Role,
    /// The view executed last.
    pub view: Option<View>,
    /// The epoch of that view.
    pub epoch: Epoch,
    /// The primary of that view, where it was heard from lately; it may be this replica.
    pub primary: Option<Member>,
    /// The coordinator that leads.
    pub leader: Option<Leader>,
    /// Every slot below is executed here.
    pub executed_below: Slot,
    /// Every slot below is executed here and fsynced.
    pub durable_below: Slot,
    /// Which requests were executed at this slot and above is known here.
    pub requests_from: Slot,
    /// Every slot below is learned here.
    pub learned_below: Slot,
    /// Every slot below is chosen, as far as this replica knows.
    pub chosen_below: Slot,
    /// A quorum of acceptors has trimmed every slot below, as far as this replica knows.
    pub trimmed_below: Slot,
    /// The revision of the state.
    pub revision: Revision,
    /// The oldest revision whose state can be read.
    pub compacted_below: Revision,
    /// The hash of the slot before `executed_below`.
    pub hash: ChainHash,
    /// Replicated time as of the last executed slot, in milliseconds …
    pub time_ms: u64,
    /// … and when that was executed, where it was in this life.
    pub time_as_of: Option<Duration>,
    /// Mutations that wait for a batch.
    pub queued_mutations: usize,
    /// Mutations in batches that are not yet executed.
    pub flying_mutations: usize,
    /// Reads that wait.
    pub waiting_reads: usize,
    /// The latest time at which everything chosen by then is executed here by now; none
    /// before the first probe succeeded. `Synod-Lag` is how long ago that is.
    pub current_as_of: Option<Duration>,
    /// Whether the latest probe reached a quorum of the cluster's acceptors.
    pub quorum_answers: bool,
    /// Whether its disk takes what executing writes.
    pub storage: Storage,
    /// What keeps it from ever being current, as far as it knows.
    pub missing: Option<Missing>,
    /// Whether its log is known to be the history of the cluster: only then it is given to
    /// others.
    pub is_history_confirmed: bool,
    /// What a batch says of the log before it that is not so here.
    pub dispute: Option<Dispute>,
    /// The replica whose state it fetches as a whole, to go on with instead of its own.
    pub snapshot_from: Option<Name>,
    /// Who was taken out of the view for good, the latest last.
    pub removed: Arc<Vec<RemovedReplica>>,
}

impl Status {
    /// The format of the log in that view.
    #[must_use]
    pub fn format(&self) -> LogFormat {
        self.view.as_ref().map_or(LogFormat::FIRST, |view| view.format)
    }
}

/// A piece of the learned log, for a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogPage {
    /// It is here.
    Ready(ChosenReply),
    /// It is no longer in memory, but every slot below is in the database.
    Stored {
        /// Every slot below is executed.
        below: Slot,
        /// Every slot below is chosen: what the reply is to say.
        chosen_below: Slot,
    },
    /// Nothing of it may be given yet but the hash of what is below, which is in the
    /// database: [`ChosenReply::only_hash`].
    OnlyHash,
    /// Nothing from there on is learned yet: wait for
    /// [`Effect::Learned`](crate::replica::event::Effect::Learned), or send this.
    Nothing(ChosenReply),
}

impl Replica {
    /// What this replica is in the view executed last.
    #[must_use]
    pub fn role(&self) -> Role {
        role_in(&self.identity, self.meta.view.as_ref())
    }

    /// What it knows of itself and of the others.
    #[must_use]
    pub fn status(&self, now: Duration) -> Status {
        Status {
            cluster: self.cluster,
            role: self.role(),
            view: self.meta.view.clone(),
            epoch: self.meta.epoch(),
            primary: self.primary(),
            leader: self.members.leader(now),
            executed_below: self.stored.executed_below,
            durable_below: self.durable_below,
            requests_from: self.recent.from(),
            learned_below: self.learner.learned_below(),
            chosen_below: self.learner.chosen_below(),
            revision: self.stored.revision,
            trimmed_below: self.reads.trimmed_below(),
            compacted_below: self.meta.compacted_below,
            hash: self.stored.hash,
            time_ms: self.meta.time_ms,
            time_as_of: self.time_as_of,
            queued_mutations: self.batching.queued(),
            flying_mutations: self.batching.flying_mutations(),
            waiting_reads: self.waiting_reads(),
            current_as_of: self.reads.current_as_of(),
            quorum_answers: self.reads.quorum_answers(),
            storage: self.storage,
            missing: self.missing(),
            is_history_confirmed: self.history == History::Confirmed,
            dispute: self.learner.dispute(),
            snapshot_from: self.snapshot_from(),
            removed: self.meta.removed.clone(),
        }
    }

    /// Slots that acceptors have trimmed come from other replicas or not at all.
    pub(super) fn missing(&self) -> Option<Missing> {
        let (from, trimmed_below) = (self.learner.learned_below(), self.reads.trimmed_below());
        let is_missing =
            from < trimmed_below && self.fetching.all_failed() && !self.may_get_a_state();
        is_missing.then_some(Missing { from, trimmed_below })
    }
}

fn role_in(identity: &Identity, view: Option<&View>) -> Role {
    match view {
        Some(view)
            if view.primary == identity.name && view.primary_instance == identity.instance =>
        {
            Role::Primary
        }
        // Its own name, but another life: that one's batches are not its own.
        Some(view) if view.primary == identity.name => Role::Waiting,
        Some(view) if view.backups.contains(&identity.name) => Role::Backup,
        Some(_) | None => Role::Waiting,
    }
}
