//! Those who wait here for a lock: they look again whenever something became of their lease's
//! waiting, and only then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use shared::ids::{LeaseId, Slot};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// As many wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{most} requests wait for locks (--max-lock-waits), the limit of this replica")]
pub(crate) struct TooManyWait {
    /// How many may.
    pub(crate) most: usize,
}

/// Who waits. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct LockWaits {
    most: usize,
    waiting: Arc<Mutex<Places>>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    of_leases: BTreeMap<LeaseId, Place>,
}

#[derive(Debug, Default)]
struct Place {
    requests: usize,
    settled: Arc<Notify>,
}

impl LockWaits {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, waiting: Arc::default() }
    }

    /// A place for one more, who waits for a lease.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn enter(&self, lease: LeaseId) -> Result<Waiting, TooManyWait> {
        let mut places = self.lock();
        if places.taken >= self.most {
            return Err(TooManyWait { most: self.most });
        }
        places.taken += 1;
        let place = places.of_leases.entry(lease).or_default();
        place.requests += 1;
        Ok(Waiting { waits: self.clone(), lease, settled: Arc::clone(&place.settled) })
    }

    /// How many may wait.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// How many wait.
    pub(crate) fn taken(&self) -> usize {
        self.lock().taken
    }

    /// Whether anybody waits.
    pub(super) fn are_any(&self) -> bool {
        self.lock().taken > 0
    }

    /// Wakes those who wait for a lease.
    pub(super) fn tell(&self, lease: LeaseId) {
        if let Some(place) = self.lock().of_leases.get(&lease) {
            place.settled.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.waiting.lock().expect("a panic under the lock ends the process")
    }
}

/// Whose waiting may have ended by slots that are executed and not stored: whoever waits looks
/// at what is stored, and once.
#[derive(Debug, Default)]
pub(super) struct Untold {
    /// By ascending slots.
    leases: VecDeque<(Slot, LeaseId)>,
}

impl Untold {
    /// A slot is executed by which something became of the waiting of these.
    pub(super) fn executed(&mut self, slot: Slot, leases: impl Iterator<Item = LeaseId>) {
        self.leases.extend(leases.map(|lease| (slot, lease)));
    }

    /// Everything below a slot is stored: these are to be told now. Slots may have been executed
    /// meanwhile that are not.
    pub(super) fn stored(&mut self, below: Slot) -> impl Iterator<Item = LeaseId> {
        let stored = self.leases.partition_point(|(slot, _)| *slot < below);
        self.leases.drain(..stored).map(|(_, lease)| lease)
    }
}

/// The place of one who waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    waits: LockWaits,
    lease: LeaseId,
    settled: Arc<Notify>,
}

impl Waiting {
    /// Ends when something became of the lease's waiting since this was called and enabled.
    pub(crate) fn woken(&self) -> Notified<'_> {
        self.settled.notified()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut places = self.waits.lock();
        places.taken -= 1;
        if let Some(place) = places.of_leases.get_mut(&self.lease) {
            place.requests -= 1;
            if place.requests == 0 {
                places.of_leases.remove(&self.lease);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_of_what_was_executed_while_what_came_before_it_was_stored() {
        let mut untold = Untold::default();
        untold.executed(Slot(1), [LeaseId(1)].into_iter());
        untold.executed(Slot(2), [LeaseId(2), LeaseId(3)].into_iter());
        let mut stored = |below| untold.stored(Slot(below)).collect::<Vec<_>>();
        assert_eq!(stored(2), [LeaseId(1)]);
        assert_eq!(stored(2), []);
        assert_eq!(stored(3), [LeaseId(2), LeaseId(3)]);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_what_concerns_its_lease_and_by_nothing_else() {
        let waits = LockWaits::new(2);
        let (one, other) = (waits.enter(LeaseId(1)).unwrap(), waits.enter(LeaseId(2)).unwrap());
        assert_eq!(waits.enter(LeaseId(1)).unwrap_err(), TooManyWait { most: 2 });
        let (mut first, mut second) = (Box::pin(one.woken()), Box::pin(other.woken()));
        assert!(!first.as_mut().enable() && !second.as_mut().enable());
        waits.tell(LeaseId(1));
        first.as_mut().await;
        assert!(!second.as_mut().enable());
        drop((first, second));
        drop((one, other));
        let places = waits.lock();
        assert_eq!((places.taken, places.of_leases.len()), (0, 0));
    }
}
