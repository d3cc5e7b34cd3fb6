//! See [`Replica::footprint`](crate::replica::Replica::footprint).

use std::hash::{DefaultHasher, Hash};

use super::requesters::Requesters;
use super::{Batching, Flying, Mutation, Stage};

impl Batching {
    pub(crate) fn footprint(&self, hasher: &mut DefaultHasher) {
        let Self {
            pipeline: _,
            batch_commands: _,
            batch_bytes: _,
            queue_limit: _,
            queue_bytes_limit: _,
            retention: _,
            epoch,
            executed: _,
            clock,
            next_number,
            queue,
            queued_bytes: _,
            flying,
            requesters,
            attempts: _,
        } = self;
        (epoch, clock.time_ms(), next_number, queue.len(), flying.len()).hash(hasher);
        queue.iter().for_each(|mutation| mutation.footprint(hasher));
        requesters.footprint(hasher);
        for (number, Flying { time_ms, made: _, mutations, stage, refused_for: _ }) in flying {
            (number, time_ms, mutations.len()).hash(hasher);
            mutations.iter().for_each(|mutation| mutation.footprint(hasher));
            stage.footprint(hasher);
        }
    }
}

impl Requesters {
    fn footprint(&self, hasher: &mut DefaultHasher) {
        for (request, ids) in self.iter() {
            request.hash(hasher);
            ids.iter().for_each(|id| id.0.hash(hasher));
        }
    }
}

impl Mutation {
    fn footprint(&self, hasher: &mut DefaultHasher) {
        let Self { command, wall_ms } = self;
        let command = postcard::to_allocvec(command).expect("encoding into memory does not fail");
        (command, wall_ms).hash(hasher);
    }
}

impl Stage {
    fn footprint(&self, hasher: &mut DefaultHasher) {
        match self {
            Self::Starting => 0.hash(hasher),
            Self::Ready(value) => (1, value).hash(hasher),
            Self::Proposed { value, attempt: _, to, ballot, at: _ } => {
                (2, value, to, ballot).hash(hasher)
            }
            Self::Refused { value, ballot } => (3, value, ballot).hash(hasher),
            Self::Void(value) => (4, value).hash(hasher),
            Self::Chosen { value, slot } => (5, value, slot).hash(hasher),
        }
    }
}
