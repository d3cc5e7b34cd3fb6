//! What a client asks for.

use super::{Client, Reading, Stage};
use crate::linearizability::history::{Call, Consistency, Guard, Key, OperationId};
use crate::linearizability::listing::{Listing, Order};
use crate::simulation::environment::random::MILLION;

/// Some keys begin with others, so that prefixes matter.
pub(super) const KEYS: [&str; 6] = ["a", "ab", "b", "abc", "ba", "c"];
const PREFIXES: [&str; 4] = ["a", "ab", "b", ""];

impl Client {
    pub(super) fn draw_call(&mut self, operation: OperationId) -> Call {
        let index = self.random.index(usize::from(self.workload.keys));
        let key: Key = KEYS[index].into();
        let linearizable = Consistency::Linearizable;
        match self.stage {
            Stage::MustWrite => return Call::Put { key, value: operation.0, guard: Guard::Always },
            Stage::MustRead | Stage::Done => {
                return Call::Read { key, at: None, consistency: self.unread_consistency() };
            }
            Stage::Working => {}
        }
        match self.random.weighted(&self.workload.weights) {
            0 => self.draw_read(key, linearizable),
            1 => {
                let at_least = if self.random.chance(500_000) { self.newest } else { 0 };
                self.draw_read(key, Consistency::Local { at_least })
            }
            2 => Call::Put { key, value: operation.0, guard: Guard::Always },
            3 => Call::Delete { key, guard: self.draw_guard(index) },
            4 => Call::Put { key, value: operation.0, guard: self.draw_guard(index) },
            _ => Call::DeletePrefix { prefix: PREFIXES[self.random.index(PREFIXES.len())].into() },
        }
    }

    fn unread_consistency(&self) -> Consistency {
        match self.unread().1 {
            Reading::Linearizable => Consistency::Linearizable,
            Reading::Local => Consistency::Local { at_least: self.newest },
        }
    }

    /// One in four reads many keys at once. None reads the past, and no list has pages: a
    /// replica's are SQL, which is not here.
    fn draw_read(&mut self, key: Key, consistency: Consistency) -> Call {
        if !self.random.chance(MILLION / 4) {
            return Call::Read { key, at: None, consistency };
        }
        let order = *self.random.pick(&[Order::Ascending, Order::Descending]);
        let prefix = PREFIXES[self.random.index(PREFIXES.len())];
        let listing = Listing { order, ..Listing::of_prefix(prefix) };
        Call::List { listing, at: None, consistency }
    }

    fn draw_guard(&mut self, key: usize) -> Guard {
        match (self.random.below(6), self.seen[key]) {
            (0, _) => Guard::Always,
            (1, _) => Guard::Exists,
            (2, _) | (_, None) => Guard::Absent,
            (_, Some(revision)) => Guard::Revision(revision),
        }
    }
}
