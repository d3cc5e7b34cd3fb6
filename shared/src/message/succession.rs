//! One roster follows another: how the acceptors of a cluster are replaced.
//!
//! ```text
//!  leader of generation g                acceptors of g        acceptors of g+1
//!    takes no more batches, waits until all that is chosen is durable at the replicas
//!    ──Accept(stop at slot s)──────────▶ vote                                      (nothing above s, ever)
//!    ──Seal(succession)────────────────▶ sealed, on disk                           (a quorum of g)
//!    ──Open(succession)──────────────────────────────────────▶ opened, on disk     (a quorum of g+1)
//!    ──Prepare, Accept from slot s on────────────────────────▶ promise, vote
//! ```
//!
//! The scheme is Stoppable Paxos (Lamport, Malkhi and Zhou, *Stoppable Paxos*, 2008): the
//! stop is a value like others, chosen in one slot of generation g, and what a quorum has
//! accepted there ends g. It is no part of the log: slot s of the log is decided by g+1.
//! A succession whose stop is chosen is a fact, so whoever knows it may bring it to its
//! end, as often as it likes, whoever leads.

use serde::{Deserialize, Serialize};

use super::roster::{Roster, quorum};
use super::value::EncodedValue;
use crate::bounded;
use crate::bounds::MAX_NUMBER;
use crate::ids::{AcceptorId, ClusterId, Generation, LogFormat, Slot};

/// The longest address of an acceptor. Bytes.
pub const MAX_ACCEPTOR_URL_BYTES: usize = 512;

/// The longest answer about successions: two of them, each with two rosters and their
/// addresses. Bytes.
pub const MAX_SUCCESSION_BYTES: usize = 64 << 10;

/// Stands where the number of a value's format does, and is none: replicas make nothing of
/// a stop, and no value of theirs is one.
const STOP: LogFormat = LogFormat(0);

/// A roster, and where its acceptors are reached. An address is where a message goes, and
/// an identity is who answers: which of them answers where is not said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seated {
    /// Who votes.
    pub roster: Roster,
    /// One address for each.
    #[serde(deserialize_with = "bounded::list")]
    pub urls: Vec<String>,
}

/// The end of one generation of the acceptors, and the beginning of the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Succession {
    previous: Seated,
    next: Seated,
    begin: Slot,
}

/// A [`Succession`] as it is written, not checked yet.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Succession", deny_unknown_fields)]
struct Written {
    previous: Seated,
    next: Seated,
    begin: Slot,
}

/// Two rosters that do not follow each other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SuccessionError {
    /// They are of two clusters.
    #[error("the rosters are of two clusters, {0} and {1}")]
    Clusters(ClusterId, ClusterId),
    /// Generations are counted.
    #[error("generation {next} does not follow on {previous}")]
    Generations {
        /// That of the first.
        previous: Generation,
        /// That of the second.
        next: Generation,
    },
    /// Each acceptor has an address, of its own.
    #[error("{urls} addresses for {acceptors} acceptors, each of at most {limit} bytes", limit = MAX_ACCEPTOR_URL_BYTES)]
    Urls {
        /// Different addresses that are not too long.
        urls: usize,
        /// Acceptors.
        acceptors: usize,
    },
    /// See [`MAX_NUMBER`].
    #[error("slot {0} is above {MAX_NUMBER}")]
    Slot(Slot),
}

impl Succession {
    /// What ends `previous` below `begin`, from where on `next` decides.
    ///
    /// # Errors
    /// When the second cannot follow the first.
    pub fn new(previous: Seated, next: Seated, begin: Slot) -> Result<Self, SuccessionError> {
        let clusters = (previous.roster.cluster(), next.roster.cluster());
        if clusters.0 != clusters.1 {
            return Err(SuccessionError::Clusters(clusters.0, clusters.1));
        }
        let generations = (previous.roster.generation(), next.roster.generation());
        if generations.0.0.checked_add(1) != Some(generations.1.0) {
            let (previous, next) = generations;
            return Err(SuccessionError::Generations { previous, next });
        }
        for Seated { roster, urls } in [&previous, &next] {
            let mut different: Vec<&String> =
                urls.iter().filter(|url| url.len() <= MAX_ACCEPTOR_URL_BYTES).collect();
            different.sort_unstable();
            different.dedup();
            let (urls, acceptors) = (urls.len().min(different.len()), roster.acceptors().len());
            if urls != acceptors {
                return Err(SuccessionError::Urls { urls, acceptors });
            }
        }
        // There is one above it.
        if begin.0 >= MAX_NUMBER {
            return Err(SuccessionError::Slot(begin));
        }
        Ok(Self { previous, next, begin })
    }

    /// The cluster of both.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.next.roster.cluster()
    }

    /// What ends.
    #[must_use]
    pub fn previous(&self) -> &Seated {
        &self.previous
    }

    /// What begins.
    #[must_use]
    pub fn next(&self) -> &Seated {
        &self.next
    }

    /// Which one begins.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.next.roster.generation()
    }

    /// The first slot that the next generation decides. All below is chosen by then, and
    /// durable at enough replicas.
    #[must_use]
    pub fn begin(&self) -> Slot {
        self.begin
    }

    /// As the value that is voted for in slot [`Succession::begin`] of the generation that
    /// ends.
    #[must_use]
    pub fn encode_stop(&self) -> EncodedValue {
        let bytes = postcard::to_allocvec(&(STOP, self));
        EncodedValue::from(bytes.expect("encoding into memory does not fail"))
    }

    /// What a value ends, if it is no value of the log but a stop.
    #[must_use]
    pub fn of_stop(value: &[u8]) -> Option<Self> {
        // What nearly all values show with their first byte.
        if value.first() != Some(&0) {
            return None;
        }
        match postcard::take_from_bytes::<(LogFormat, Self)>(value) {
            Ok(((STOP, succession), [])) => Some(succession),
            Ok(_) | Err(_) => None,
        }
    }
}

impl Seated {
    /// The size of a majority.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.roster.acceptors().len())
    }
}

impl TryFrom<Written> for Succession {
    type Error = SuccessionError;

    fn try_from(written: Written) -> Result<Self, SuccessionError> {
        Self::new(written.previous, written.next, written.begin)
    }
}

impl From<Succession> for Written {
    fn from(Succession { previous, next, begin }: Succession) -> Self {
        Self { previous, next, begin }
    }
}

/// What an acceptor is told of a succession, or asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SuccessionRequest {
    /// Of which generation are you?
    Tell,
    /// This is chosen: vote no more in the generation that it ends.
    Seal(Succession),
    /// A quorum of the generation that it ends is sealed: vote in the next one.
    Open(Succession),
}

/// The answer to each [`SuccessionRequest`]: what the acceptor has on disk by then. One
/// that is not of the cluster, or not of the roster, has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccessionReply {
    /// Who answers.
    pub acceptor: AcceptorId,
    /// The roster that it votes in, or voted in last.
    pub roster: Option<Roster>,
    /// What made it of that roster, unless that was the cluster's forming.
    pub opened: Option<Succession>,
    /// What ended that, for it.
    pub sealed: Option<Succession>,
    /// Whether it has never promised, voted or trimmed, and is of no cluster: only such a
    /// one can come to a cluster that there is.
    pub is_unused: bool,
    /// Whether its disk has room for what it would record of a succession.
    pub can_write: bool,
}

/// The answer of an acceptor, a coordinator or a replica to `GET /v1/succession`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownSuccession {
    /// The latest change of the acceptors whose stop it knows to be chosen.
    pub latest: Option<Succession>,
}

impl SuccessionReply {
    /// The latest succession that it knows.
    #[must_use]
    pub fn latest(&self) -> Option<&Succession> {
        self.sealed.as_ref().or(self.opened.as_ref())
    }

    /// Whether it will vote no more in what that one ends.
    #[must_use]
    pub fn is_beyond(&self, succession: &Succession) -> bool {
        self.latest().is_some_and(|latest| {
            latest.cluster() == succession.cluster()
                && latest.generation() >= succession.generation()
        })
    }

    /// Whether it votes in what that one begins, or did.
    #[must_use]
    pub fn has_opened(&self, succession: &Succession) -> bool {
        self.roster.as_ref().is_some_and(|roster| {
            roster.cluster() == succession.cluster()
                && roster.generation() >= succession.generation()
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::message::Value;

    fn seated(generation: u64, ids: &[u64]) -> Seated {
        let acceptors = ids.iter().copied().map(AcceptorId).collect();
        Seated {
            roster: Roster::new(ClusterId(1), Generation(generation), acceptors).unwrap(),
            urls: ids.iter().map(|id| format!("http://acceptor-{id}")).collect(),
        }
    }

    #[test]
    fn a_stop_is_read_as_it_was_written_and_is_no_value() {
        let succession =
            Succession::new(seated(0, &[1, 2, 3]), seated(1, &[1, 2, 4]), Slot(7)).unwrap();
        let value = succession.encode_stop();
        assert_eq!(Succession::of_stop(&value), Some(succession));
        assert_eq!(Succession::of_stop(&value[..value.len() - 1]), None);
        assert!(Value::decode(&value).is_err());
        for other in [Value::Noop.encode(), Bytes::new(), Bytes::from_static(b"\0")] {
            assert_eq!(Succession::of_stop(&other), None);
        }
    }

    #[test]
    fn only_what_follows_is_a_succession() {
        let (zero, one, two) = (seated(0, &[1, 2, 3]), seated(1, &[1]), seated(2, &[1]));
        assert!(Succession::new(zero.clone(), one.clone(), Slot(0)).is_ok());
        assert!(matches!(
            Succession::new(zero.clone(), two, Slot(0)),
            Err(SuccessionError::Generations { .. })
        ));
        let mut twice = seated(1, &[1, 2, 3]);
        twice.urls[0] = twice.urls[1].clone();
        let error = SuccessionError::Urls { urls: 2, acceptors: 3 };
        assert_eq!(Succession::new(zero.clone(), twice, Slot(0)), Err(error));
        let too_far = Slot(MAX_NUMBER);
        assert_eq!(Succession::new(zero, one, too_far), Err(SuccessionError::Slot(too_far)));
    }
}
