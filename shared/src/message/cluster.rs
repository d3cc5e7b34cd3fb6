//! Which cluster a message belongs to. Services of two clusters can meet: at addresses
//! that were given to others, or where disks were replaced and a new cluster formed. What
//! is a fact in one cluster is none in another, so whoever asks names its own cluster, and
//! whoever answers does.

use serde::{Deserialize, Serialize};

use crate::ids::ClusterId;

/// An answer, and of which cluster it is. It cannot be read without naming one's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfCluster<T> {
    cluster: ClusterId,
    content: T,
}

impl<T> OfCluster<T> {
    /// An answer of a service that belongs to the cluster.
    #[must_use]
    pub fn new(cluster: ClusterId, content: T) -> Self {
        Self { cluster, content }
    }

    /// Of which cluster it is.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What it says, to a service of the cluster `own`.
    ///
    /// # Errors
    /// When it is of another cluster.
    pub fn for_cluster(self, own: ClusterId) -> Result<T, OtherCluster> {
        if self.cluster == own {
            Ok(self.content)
        } else {
            Err(OtherCluster { ours: own, theirs: self.cluster })
        }
    }
}

/// Two services are of two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this service is of cluster {ours}, and the other one of cluster {theirs}")]
pub struct OtherCluster {
    /// The cluster of the one that says so.
    pub ours: ClusterId,
    /// The cluster of the other.
    pub theirs: ClusterId,
}

/// Why a request of a service of some cluster is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// It is another cluster than ours.
    #[error(transparent)]
    Other(#[from] OtherCluster),
    /// Nobody has told us yet which one is ours.
    #[error("this service does not know its own cluster yet: no quorum of acceptors has named it")]
    Unknown,
}

/// The cluster that both are of: ours, as far as it is known, and that of whoever asks.
///
/// # Errors
/// When they are two, or ours is not known yet.
pub fn same_cluster(ours: Option<ClusterId>, theirs: ClusterId) -> Result<ClusterId, ClusterError> {
    match ours {
        None => Err(ClusterError::Unknown),
        Some(ours) if ours == theirs => Ok(ours),
        Some(ours) => Err(OtherCluster { ours, theirs }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: ClusterId = ClusterId(1);
    const THEIRS: ClusterId = ClusterId(2);

    #[test]
    fn an_answer_is_read_only_in_its_own_cluster() {
        assert_eq!(OfCluster::new(OURS, 7).for_cluster(OURS), Ok(7));
        let other = OtherCluster { ours: OURS, theirs: THEIRS };
        assert_eq!(OfCluster::new(THEIRS, 7).for_cluster(OURS), Err(other));
    }

    #[test]
    fn a_request_of_another_cluster_or_before_ours_is_known_is_refused() {
        assert_eq!(same_cluster(Some(OURS), OURS), Ok(OURS));
        assert_eq!(same_cluster(None, OURS), Err(ClusterError::Unknown));
        let other = OtherCluster { ours: OURS, theirs: THEIRS };
        assert_eq!(same_cluster(Some(OURS), THEIRS), Err(ClusterError::Other(other)));
    }
}
