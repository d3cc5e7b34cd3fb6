//! Which acceptors make up a cluster.

use serde::{Deserialize, Serialize};

use crate::bounded;
use crate::ids::{AcceptorId, ClusterId, Draw, Generation};

/// The acceptors of one cluster: sorted, without repeats, an odd number of them.
///
/// The first one is made when the cluster forms, which needs every acceptor at once:
/// every coordinator then makes the same roster of the same answers, so forming needs no
/// agreement of its own. An acceptor adopts the first roster that names it and keeps it
/// on disk; one that lost its disk has another identity, is named by no roster and is
/// never counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Listed", into = "Listed")]
pub struct Roster {
    cluster: ClusterId,
    generation: Generation,
    acceptors: Vec<AcceptorId>,
}

/// A [`Roster`] as it is written, not checked yet.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Roster", deny_unknown_fields)]
struct Listed {
    cluster: ClusterId,
    generation: Generation,
    #[serde(deserialize_with = "bounded::list")]
    acceptors: Vec<AcceptorId>,
}

/// A list of acceptors is not a [`Roster`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosterError {
    /// An even number of acceptors (or none) tolerates no more faults than one fewer.
    #[error(
        "a cluster has an odd number of acceptors, at most {max}, not {0}",
        max = Roster::MAX_LEN,
    )]
    Size(usize),
    /// Two of the addresses lead to the same acceptor.
    #[error("acceptor {0} is named twice")]
    Repeated(AcceptorId),
}

impl Roster {
    /// The most acceptors in a cluster: more make every write slower and tolerate faults
    /// that nobody has at once.
    pub const MAX_LEN: usize = 9;

    /// Sorts and checks a list of acceptors.
    ///
    /// # Errors
    /// When the number is even, zero or above [`Roster::MAX_LEN`], or one is named twice.
    pub fn new(
        cluster: ClusterId,
        generation: Generation,
        mut acceptors: Vec<AcceptorId>,
    ) -> Result<Self, RosterError> {
        if acceptors.len().is_multiple_of(2) || acceptors.len() > Self::MAX_LEN {
            return Err(RosterError::Size(acceptors.len()));
        }
        acceptors.sort_unstable();
        match acceptors.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(RosterError::Repeated(pair[0])),
            None => Ok(Self { cluster, generation, acceptors }),
        }
    }

    /// The roster of a cluster that forms of these acceptors. Its identity is a digest of
    /// what each has drawn, in the order of the acceptors: so whoever hears the same
    /// acceptors makes the same one, and an acceptor with another disk makes it another.
    ///
    /// # Errors
    /// As of [`Roster::new`].
    pub fn form(mut drawn: Vec<(AcceptorId, Draw)>) -> Result<Self, RosterError> {
        drawn.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for (_, draw) in &drawn {
            hasher.update(&draw.0.to_le_bytes());
        }
        let digest = hasher.finalize();
        let (head, _) = digest.as_bytes().split_first_chunk::<8>().expect("a digest of 32 bytes");
        let acceptors = drawn.into_iter().map(|(acceptor, _)| acceptor).collect();
        Self::new(ClusterId(u64::from_le_bytes(*head)), Generation(0), acceptors)
    }

    /// The cluster's identity.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Which of the cluster's rosters this is.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The acceptors, in order.
    #[must_use]
    pub fn acceptors(&self) -> &[AcceptorId] {
        &self.acceptors
    }

    /// Whether the acceptor has a vote in this cluster.
    #[must_use]
    pub fn contains(&self, acceptor: AcceptorId) -> bool {
        self.acceptors.binary_search(&acceptor).is_ok()
    }

    /// The size of a majority: any two quorums share an acceptor.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.acceptors.len())
    }
}

/// The size of a majority of `acceptors`.
#[must_use]
pub fn quorum(acceptors: usize) -> usize {
    acceptors / 2 + 1
}

impl TryFrom<Listed> for Roster {
    type Error = RosterError;

    fn try_from(listed: Listed) -> Result<Self, RosterError> {
        Self::new(listed.cluster, listed.generation, listed.acceptors)
    }
}

impl From<Roster> for Listed {
    fn from(Roster { cluster, generation, acceptors }: Roster) -> Self {
        Self { cluster, generation, acceptors }
    }
}
