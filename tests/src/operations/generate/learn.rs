//! What a client remembers of the answers that it hears.

use super::Generator;
use crate::operations::{
    AccessAnswer, AccessCall, AccessDeed, Answer, Call, Key, Step, StepResult, Taken, TenureAnswer,
    TenureCall,
};

/// So many leases a client uses.
const LEASES: usize = 3;

impl Generator {
    /// Remembers what its client heard of a call.
    pub fn learn(&mut self, call: &Call, revision: u64, answer: &Answer) {
        self.newest = self.newest.max(revision);
        match (call, answer) {
            // Comparisons are made with the present.
            (Call::Read { at: Some(_), .. } | Call::List { at: Some(_), .. }, _) => {}
            (Call::Read { key, .. }, Answer::Read(seen)) => {
                self.see(key, seen.map(|seen| seen.modified));
            }
            (Call::List { .. }, Answer::Listed(page)) => {
                page.items.iter().for_each(|(key, seen)| self.see(key, Some(seen.modified)));
            }
            (Call::Put { key, .. }, Answer::Put) => self.see(key, Some(revision)),
            (Call::Put { key, .. } | Call::Delete { key, .. }, _) => self.see(key, None),
            (Call::DeletePrefix { prefix } | Call::Rollback { prefix, .. }, _) => {
                self.forget(prefix);
            }
            (Call::Transaction(transaction), Answer::Transaction(taken)) => {
                self.learn_steps(transaction.branch(taken.succeeded), revision, taken);
            }
            (Call::Access(AccessCall { deed: AccessDeed::Put { key, .. }, .. }), answer) => {
                if *answer == Answer::Access(AccessAnswer::Put) {
                    self.see(key, Some(revision));
                }
            }
            (
                Call::Transaction(_) | Call::Append { .. } | Call::Compact { .. } | Call::Access(_),
                _,
            ) => {}
            (Call::Tenure(call), Answer::Tenure(answer)) => {
                self.learn_tenure(call, revision, *answer);
            }
            (Call::Tenure(_), _) => {}
            (Call::Read { .. } | Call::List { .. }, _) => {}
        }
    }

    fn learn_tenure(&mut self, call: &TenureCall, revision: u64, answer: TenureAnswer) {
        match (call, answer) {
            (_, TenureAnswer::Granted) => {
                self.leases.push(revision);
                let surplus = self.leases.len().saturating_sub(LEASES);
                self.leases.drain(..surplus);
            }
            (TenureCall::Acquire { lock, .. }, TenureAnswer::Held(fence)) => {
                self.fences.insert(Key::clone(lock), fence);
            }
            (TenureCall::Acquire { lock, lease, .. }, TenureAnswer::Waits(since)) => {
                self.waits.push((Key::clone(lock), *lease, since));
                let surplus = self.waits.len().saturating_sub(LEASES);
                self.waits.drain(..surplus);
            }
            (TenureCall::FencedPut { key, .. }, TenureAnswer::Put) => {
                self.see(key, Some(revision));
            }
            _ => {}
        }
    }

    fn learn_steps(&mut self, steps: &[Step], revision: u64, taken: &Taken) {
        for (step, result) in steps.iter().zip(&taken.results) {
            match (step, result) {
                (Step::Put { key, .. }, _) => self.see(key, Some(revision)),
                (Step::Delete { key }, _) => self.see(key, None),
                (Step::DeletePrefix { prefix }, _) => self.forget(prefix),
                (Step::Read { key }, StepResult::Read(version)) => {
                    self.see(key, version.map(|version| version.modified));
                }
                (Step::List { .. }, StepResult::Listed { items, .. }) => {
                    items.iter().for_each(|(key, it)| self.see(key, Some(it.modified)));
                }
                (Step::Read { .. } | Step::List { .. }, _) => {}
            }
        }
    }

    fn forget(&mut self, prefix: &str) {
        self.seen.retain(|key, _| !key.starts_with(prefix));
    }

    fn see(&mut self, key: &Key, modified: Option<u64>) {
        match modified {
            Some(revision) => self.seen.insert(Key::clone(key), revision),
            None => self.seen.remove(key),
        };
    }
}
