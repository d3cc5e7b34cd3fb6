//! See [`Replica::footprint`](crate::replica::Replica::footprint).

use std::hash::{DefaultHasher, Hash};

use super::{Coordinator, Leads, Members};

impl Members {
    pub(crate) fn footprint(&self, hasher: &mut DefaultHasher) {
        let Self { own: _, leader_expiry: _, coordinators, replicas } = self;
        for (name, Coordinator { member, leads }) in coordinators {
            let ballot = leads.as_ref().map(|Leads { ballot, heard_at: _ }| ballot);
            (name, member.instance, ballot).hash(hasher);
        }
        replicas.iter().for_each(|(name, member)| (name, member.instance).hash(hasher));
    }
}
