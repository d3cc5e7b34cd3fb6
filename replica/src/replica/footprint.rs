//! What tells two states of a replica apart, as far as safety goes: for a model checker,
//! which must know whether it has been in a state before.
//!
//! Left out are clocks, words, counters of attempts and fetches, and where the log is
//! fetched (what is fetched is a fact, wherever it comes from). Every struct is taken
//! apart field by field, so that a new field cannot be forgotten here.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash};

use shared::ids::AcceptorId;

use super::{Armed, Replica};
use crate::machine::state::Meta;

/// The digests of a state. What concerns one acceptor is apart, so that states that
/// differ only in which acceptor is which can be seen as one.
#[derive(Clone, Debug, Default)]
pub struct Footprint {
    /// Of what concerns no acceptor or all.
    pub shared: DefaultHasher,
    /// Of what concerns one acceptor; absent where there is nothing.
    pub acceptors: BTreeMap<AcceptorId, DefaultHasher>,
}

impl Replica {
    /// Adds what its further steps rest on, but for time.
    pub fn footprint(&self, footprint: &mut Footprint) {
        let Self {
            config: _,
            identity,
            joined,
            joined_at,
            removed: out,
            cluster,
            cluster_since: _,
            history,
            meta,
            stored,
            is_storing,
            durable_below,
            storage,
            unswept,
            followed,
            next_expiry_ms,
            time_as_of: _,
            time_due: _,
            members,
            batching,
            compacting: _,
            forgotten_below: _,
            recent: _,
            learner,
            fetching: _,
            installing: _,
            reads,
            revision_waits,
            propose_timer,
            search_timer,
        } = self;
        let hasher = &mut footprint.shared;
        let Meta {
            executed_below,
            revision,
            hash,
            view,
            next_batch,
            time_ms,
            answers,
            leases,
            claims,
            access,
            compacted_below,
            removed,
        } = meta;
        (&identity.name, identity.instance, joined, cluster, durable_below).hash(hasher);
        (joined_at, out, removed).hash(hasher);
        (stored.executed_below, is_storing).hash(hasher);
        (executed_below, revision, hash.0, next_batch, time_ms).hash(hasher);
        (answers, leases, claims, access, compacted_below, next_expiry_ms).hash(hasher);
        view.as_ref()
            .map(|view| (view.epoch, &view.primary, view.primary_instance, &view.backups))
            .hash(hasher);
        (*history as u8).hash(hasher);
        (*storage as u8, unswept, followed).hash(hasher);
        [*propose_timer == Armed::Yes, *search_timer == Armed::Yes].hash(hasher);
        revision_waits.iter().for_each(|(revision, id)| (revision, id.0).hash(hasher));
        members.footprint(hasher);
        batching.footprint(hasher);
        learner.footprint(hasher);
        reads.footprint(footprint);
    }
}
