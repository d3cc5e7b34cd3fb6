//! Which acceptors make up the cluster: a pure judgement of what they answered.
//!
//! Nobody is told the first roster; it is computed. Every coordinator that sees the same
//! answers computes the same one, so forming needs no agreement of its own. The cluster's
//! identity is made then, of what each acceptor drew with its disk, and is kept with the
//! roster on every acceptor's disk: nothing computes it again. A roster that
//! an acceptor already has on disk is *the* roster, as soon as a quorum of its members
//! answered and could follow it. Only where no acceptor has one is a new one formed, and
//! that takes the answers of all.
//!
//! The answers to one poll are not enough to form a new roster: between them, an acceptor
//! could adopt another coordinator's roster, vote, lose its disk and answer as a new one,
//! and two quorums would share nobody. So the same answers are asked for twice, the
//! second time after all of the first came (a double collect, Afek et al., *Atomic
//! Snapshots of Shared Memory*, section 3): then no acceptor had adopted anything when
//! the last of them got its identity. `Membership` does the counting.

use shared::ids::{AcceptorId, Draw};
use shared::message::{Roster, RosterError};

use crate::ids::AcceptorIndex;

/// Who answered, and what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptorInfo {
    /// The acceptor's identity.
    pub acceptor: AcceptorId,
    /// The roster it has on disk.
    pub roster: Option<Roster>,
    /// What it drew for the cluster that it will form.
    pub draw: Draw,
}

/// What the answers amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Too few answered to say.
    Waiting {
        /// Those that have not answered.
        missing: Vec<AcceptorIndex>,
    },
    /// This is the cluster: some acceptor says so, and a quorum is there that can follow.
    Existing(Roster),
    /// They are acceptors of a cluster whose acceptors are not those any more that formed it:
    /// one of them has to say who is.
    Succeeded,
    /// All answered and none belongs to a cluster: this would be one.
    Unformed(Roster),
    /// The configured acceptors are not one cluster. Waiting may or may not help.
    Conflict(FormationError),
}

/// The configured acceptors are not one cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormationError {
    /// Two of them belong to different clusters, and none of the clusters has a quorum
    /// here.
    #[error(
        "the configured acceptors belong to different clusters: {one} and {other}",
        one = described(.0),
        other = described(.1),
    )]
    TwoClusters(Roster, Roster),
    /// The list of URLs is not the whole cluster, or more than it.
    #[error(
        "{configured} acceptors are configured, but their cluster has {}: {}",
        .roster.acceptors().len(),
        described(.roster),
    )]
    Size {
        /// How many URLs there are.
        configured: usize,
        /// What an acceptor has on disk.
        roster: Roster,
    },
    /// The acceptors' identities are no roster.
    #[error(transparent)]
    Roster(RosterError),
    /// All answered, but of the cluster that some belong to there is no quorum.
    #[error(
        "{present} of the configured acceptors belong or can belong to the cluster of {}, which \
         needs {}",
        described(.roster),
        .roster.quorum(),
    )]
    NoQuorum {
        /// Members that answered.
        present: usize,
        /// The cluster.
        roster: Roster,
    },
}

fn described(roster: &Roster) -> String {
    let acceptors: Vec<String> = roster.acceptors().iter().map(ToString::to_string).collect();
    format!("{} (acceptors {})", roster.cluster(), acceptors.join(", "))
}

/// Judges the latest answer of each configured acceptor, in the order of the URLs.
#[must_use]
pub fn judge(answers: &[Option<AcceptorInfo>]) -> Judgement {
    let heard: Vec<&AcceptorInfo> = answers.iter().flatten().collect();
    let mut claimed: Vec<&Roster> =
        heard.iter().filter_map(|answer| answer.roster.as_ref()).collect();
    claimed.sort_unstable();
    claimed.dedup();

    let supported: Vec<&Roster> = claimed
        .iter()
        .copied()
        .filter(|roster| members(roster, &heard) >= roster.quorum())
        .collect();
    match supported.as_slice() {
        [roster] => existing(answers.len(), roster),
        [one, other, ..] => {
            Judgement::Conflict(FormationError::TwoClusters((*one).clone(), (*other).clone()))
        }
        [] => unsupported(answers, &heard, &claimed),
    }
}

/// How many different acceptors answered that are in the roster and in no other.
fn members(roster: &Roster, heard: &[&AcceptorInfo]) -> usize {
    let follows = |answer: &&&AcceptorInfo| {
        roster.contains(answer.acceptor) && answer.roster.as_ref().is_none_or(|its| its == roster)
    };
    let mut ids: Vec<AcceptorId> =
        heard.iter().filter(follows).map(|answer| answer.acceptor).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.len()
}

fn existing(configured: usize, roster: &Roster) -> Judgement {
    if roster.acceptors().len() == configured {
        Judgement::Existing(roster.clone())
    } else {
        Judgement::Conflict(FormationError::Size { configured, roster: roster.clone() })
    }
}

fn unsupported(
    answers: &[Option<AcceptorInfo>],
    heard: &[&AcceptorInfo],
    claimed: &[&Roster],
) -> Judgement {
    if let [one, other, ..] = claimed {
        return Judgement::Conflict(FormationError::TwoClusters((*one).clone(), (*other).clone()));
    }
    let missing: Vec<AcceptorIndex> = answers
        .iter()
        .enumerate()
        .filter(|(_, answer)| answer.is_none())
        .map(|(index, _)| AcceptorIndex(index))
        .collect();
    if !missing.is_empty() {
        return Judgement::Waiting { missing };
    }
    match claimed.first() {
        Some(roster) => Judgement::Conflict(FormationError::NoQuorum {
            present: members(roster, heard),
            roster: (*roster).clone(),
        }),
        None => {
            match Roster::form(heard.iter().map(|answer| (answer.acceptor, answer.draw)).collect())
            {
                Ok(roster) => Judgement::Unformed(roster),
                Err(error) => Judgement::Conflict(FormationError::Roster(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster(ids: &[u64]) -> Roster {
        Roster::form(ids.iter().map(|&id| (AcceptorId(id), Draw(id))).collect()).unwrap()
    }

    fn answer(id: u64, roster: Option<&Roster>) -> Option<AcceptorInfo> {
        Some(AcceptorInfo { acceptor: AcceptorId(id), roster: roster.cloned(), draw: Draw(id) })
    }

    #[test]
    fn a_new_cluster_needs_the_answer_of_every_acceptor() {
        assert_eq!(
            judge(&[answer(1, None), None, answer(3, None)]),
            Judgement::Waiting { missing: vec![AcceptorIndex(1)] }
        );
        assert_eq!(
            judge(&[answer(3, None), answer(1, None), answer(2, None)]),
            Judgement::Unformed(roster(&[1, 2, 3]))
        );
    }

    #[test]
    fn a_roster_on_disk_is_the_roster_once_a_quorum_of_its_members_answered() {
        let it = roster(&[1, 2, 3]);
        assert_eq!(
            judge(&[answer(1, Some(&it)), None, None]),
            Judgement::Waiting { missing: vec![AcceptorIndex(1), AcceptorIndex(2)] }
        );
        assert_eq!(judge(&[answer(1, Some(&it)), answer(2, None), None]), Judgement::Existing(it));
    }

    #[test]
    fn a_wiped_acceptor_is_in_no_roster() {
        let it = roster(&[1, 2, 3]);
        assert_eq!(
            judge(&[answer(1, Some(&it)), answer(2, Some(&it)), answer(9, None)]),
            Judgement::Existing(it.clone())
        );
        assert_eq!(
            judge(&[answer(1, Some(&it)), answer(8, None), answer(9, None)]),
            Judgement::Conflict(FormationError::NoQuorum { present: 1, roster: it })
        );
    }

    #[test]
    fn an_acceptor_of_another_cluster_does_not_stop_one_that_has_a_quorum() {
        let (it, other) = (roster(&[1, 2, 3]), roster(&[7, 8, 9]));
        assert_eq!(
            judge(&[answer(7, Some(&other)), answer(1, Some(&it)), answer(2, Some(&it))]),
            Judgement::Existing(it.clone())
        );
        assert_eq!(
            judge(&[answer(7, Some(&other)), answer(1, Some(&it)), None]),
            Judgement::Conflict(FormationError::TwoClusters(it, other))
        );
    }

    #[test]
    fn a_list_of_urls_that_is_not_the_whole_cluster_is_refused() {
        let it = roster(&[1, 2, 3, 4, 5]);
        assert_eq!(
            judge(&[answer(1, Some(&it)), answer(2, Some(&it)), answer(3, Some(&it))]),
            Judgement::Conflict(FormationError::Size { configured: 3, roster: it })
        );
    }

    #[test]
    fn two_urls_of_one_acceptor_are_refused() {
        assert_eq!(
            judge(&[answer(1, None), answer(1, None), answer(2, None)]),
            Judgement::Conflict(FormationError::Roster(RosterError::Repeated(AcceptorId(1))))
        );
    }

    #[test]
    fn an_even_number_of_acceptors_is_refused() {
        assert_eq!(
            judge(&[answer(1, None), answer(2, None)]),
            Judgement::Conflict(FormationError::Roster(RosterError::Size(2)))
        );
    }
}
