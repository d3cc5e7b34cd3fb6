//! The acceptors that are asked are followed by others, and one of them says so.
//!
//! What an acceptor of a later generation reports counts for that one alone ([`tally`]), so
//! those of the generation before may be no quorum any more, though a quorum answers: of
//! others. These are found out at once, and asked as soon as they are known. Until then, for a
//! bounded time, a probe without a quorum does not say that none answers.
//!
//! That an acceptor tells of a later generation is a hint and no more: whom to ask is what
//! acceptors of this cluster say of the change itself.
//!
//! [`tally`]: super::tally::tally

use std::hash::{DefaultHasher, Hash as _};
use std::time::Duration;

use shared::ids::Generation;

use super::{QuorumReads, State};
use crate::replica::event::Effect;

/// Finding them takes a round of discovery that is under way, one that asks, and a probe: so
/// many times the time-out of a probe.
const PROBES_TO_FOLLOW: u32 = 2;

/// Whether the acceptors that are asked are the present ones.
#[derive(Clone, Debug)]
pub(super) struct Following {
    /// Which of the cluster's rosters they are.
    generation: Generation,
    /// Since when it is known that others have followed.
    behind_since: Option<Duration>,
}

impl Following {
    pub(super) fn new(generation: Generation) -> Self {
        Self { generation, behind_since: None }
    }

    pub(super) fn footprint(&self, hasher: &mut DefaultHasher) {
        (self.generation, self.behind_since.is_some()).hash(hasher);
    }
}

impl QuorumReads {
    /// An acceptor of this cluster says of which generation it is.
    pub(crate) fn hear_of(
        &mut self,
        now: Duration,
        generation: Generation,
        effects: &mut Vec<Effect>,
    ) {
        let Following { generation: asked, behind_since } = &mut self.following;
        if generation > *asked && behind_since.is_none() {
            *behind_since = Some(now);
            effects.push(Effect::FollowAcceptors);
        }
    }

    /// So many acceptors are asked from now on, of this generation. Where it is a later one, a
    /// probe of those before is not waited for.
    pub(crate) fn ask(
        &mut self,
        now: Duration,
        (count, generation): (usize, Generation),
        effects: &mut Vec<Effect>,
    ) {
        self.acceptors = count;
        if generation <= self.following.generation {
            return;
        }
        self.following = Following::new(generation);
        match self.state {
            State::Idle => {}
            State::BackingOff | State::InFlight(_) => {
                self.take_back_probe();
                self.probe(now, effects);
            }
        }
    }

    /// Whether those that have followed may yet be found.
    pub(super) fn is_following(&self, now: Duration) -> bool {
        let patience = self.timeout * PROBES_TO_FOLLOW;
        self.following.behind_since.is_some_and(|since| now < since + patience)
    }
}
