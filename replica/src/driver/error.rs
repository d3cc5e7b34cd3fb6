//! Why the driver stops before it is told to.

use shared::ids::{ClusterId, Name, Slot};
use tokio::task::JoinError;

use crate::machine::state::RemovedReplica;
use crate::replica::WrongHistory;
use crate::store::StoreError;

/// Why the driver stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DriverError {
    /// The state is damaged, or cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The acceptors are not those of the state.
    #[error(
        "the data directory is of cluster {expected}, but the acceptors form cluster {found}: \
         wrong --acceptors or wrong --data-dir"
    )]
    WrongCluster {
        /// What the state says.
        expected: ClusterId,
        /// What a quorum of acceptors says.
        found: ClusterId,
    },
    /// The state is not what the cluster goes on with.
    #[error(transparent)]
    WrongHistory(#[from] WrongHistory),
    /// There is another state to go on from: it only has to be adopted.
    #[error("the state of {from} is here, in which the slots below {executed_below} are executed")]
    NewState {
        /// The replica that it comes from.
        from: Name,
        /// How far it is.
        executed_below: Slot,
    },
    /// This replica was taken out of the cluster for good.
    #[error(
        "this replica was taken out of the cluster for good (slot {}, epoch {}), and its data \
         with it: start it on an empty data directory to have it join as a new one", .0.slot, .0.epoch
    )]
    Removed(RemovedReplica),
    /// The task that executes is gone, which is a defect.
    #[error("the task that executes ended")]
    ExecutorGone,
}

pub(super) fn executor_ended(ended: Result<Result<(), StoreError>, JoinError>) -> DriverError {
    match ended {
        Ok(Err(error)) => DriverError::Store(error),
        Ok(Ok(())) | Err(_) => DriverError::ExecutorGone,
    }
}
