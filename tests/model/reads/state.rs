//! A state of the world around a replica that reads.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use acceptor::acceptor::{Acceptor, Persisted};
use acceptor::limits::Limits;
use replica::replica::event::{ProbeId, RequestId};
use shared::ids::{Ballot, CoordinatorId, Slot};
use shared::message::{Accept, Prepare, SlotValue, Value, Watermarks};

use super::reader::{Reader, Released, Stepped};
use crate::check::Broken;
use crate::cluster::{ACCEPTORS, QUORUM, acceptor_id, draw, roster};
use crate::memo::join;

/// The leader's ballot.
pub(crate) const BALLOT: Ballot = Ballot { round: 1, coordinator: CoordinatorId(1) };

/// The world.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) acceptors: [Acceptor; ACCEPTORS],
    pub(crate) reader: Arc<Reader>,
    pub(crate) answers: BTreeMap<(ProbeId, usize), Watermarks>,
    pub(crate) failed: BTreeSet<ProbeId>,
    /// Reads that wait, each with the slot below which it must see everything.
    pub(crate) waiting: BTreeMap<RequestId, Slot>,
    pub(crate) reads: u64,
    pub(crate) released: Vec<Released>,
    pub(crate) broken: Option<Arc<str>>,
    /// Of all of this, whichever acceptor is which.
    pub(crate) digest: u64,
}

/// An acceptor that has promised the leader's ballot.
pub(crate) fn acceptor(place: usize) -> Acceptor {
    let mut acceptor = Acceptor::new(acceptor_id(place), draw(place), Limits::default());
    let _reply = acceptor
        .prepare(&Prepare { roster: roster(), ballot: BALLOT, from: Slot(0) })
        .expect("the first round")
        .persisted(Persisted::assert_synced());
    acceptor
}

pub(crate) fn watermarks(acceptor: &Acceptor) -> Watermarks {
    Watermarks {
        acceptor: acceptor.id(),
        roster: acceptor.roster().cloned(),
        draw: acceptor.draw(),
        promised: acceptor.promised(),
        marks: acceptor.marks(),
        leader_silent_ms: 0,
    }
}

pub(crate) fn vote(acceptor: &mut Acceptor, slot: Slot) {
    let proposals = vec![SlotValue { slot, value: Value::Noop.encode() }];
    let accept = Accept {
        roster: roster(),
        ballot: BALLOT,
        proposals,
        chosen_below: Slot(0),
        trim_below: Slot(0),
    };
    let _reply =
        acceptor.accept(&accept).expect("a correct leader").persisted(Persisted::assert_synced());
}

impl State {
    pub(crate) fn has_voted(&self, place: usize, slot: Slot) -> bool {
        self.acceptors[place].votes(slot).0.first().is_some_and(|vote| vote.slot == slot)
    }

    pub(crate) fn is_chosen(&self, slot: Slot) -> bool {
        (0..ACCEPTORS).filter(|place| self.has_voted(*place, slot)).count() >= QUORUM
    }

    /// One above the highest slot that is chosen.
    pub(crate) fn chosen_up_to(&self, slots: u64) -> Slot {
        (0..slots).rev().map(Slot).find(|slot| self.is_chosen(*slot)).map_or(Slot(0), Slot::next)
    }

    /// Takes over the replica's next state, and checks what it released.
    pub(crate) fn go_on(&mut self, stepped: Stepped) {
        match stepped {
            Ok((reader, released)) => {
                self.reader = reader;
                for Released { ids, executed_below } in &released {
                    for id in ids {
                        let bound = self.waiting.remove(id);
                        if bound.is_none_or(|bound| bound > *executed_below) {
                            self.broken = Some(
                                format!(
                                    "read {id} sees {executed_below}, and was to see {bound:?}"
                                )
                                .into(),
                            );
                        }
                    }
                }
                self.released = released;
            }
            Err(what) => self.broken = Some(what.into()),
        }
    }

    pub(crate) fn refresh_digest(&mut self) {
        let Self {
            acceptors,
            reader,
            answers,
            failed,
            waiting,
            reads,
            released,
            broken,
            digest: _,
        } = &*self;
        let mut digests: [u64; ACCEPTORS] = std::array::from_fn(|place| {
            let votes = acceptors[place].votes(Slot(0)).0;
            let voted = votes
                .iter()
                .fold(reader.acceptor_digests[place], |digest, vote| join(digest, vote.slot.0));
            let answers = answers.iter().filter(|((_, of), _)| *of == place);
            answers.fold(voted, |digest, ((probe, _), answer)| {
                join(join(digest, probe.0), answer.marks.voted_below.0)
            })
        });
        digests.sort_unstable();
        let mut hasher = DefaultHasher::new();
        (digests, reader.shared_digest, reads, released.len(), broken, failed.len(), waiting.len())
            .hash(&mut hasher);
        failed.iter().for_each(|probe| probe.0.hash(&mut hasher));
        waiting.iter().for_each(|(id, bound)| (id.0, bound).hash(&mut hasher));
        self.digest = hasher.finish();
    }
}

impl Broken for State {
    fn broken(&self) -> String {
        self.broken.as_deref().unwrap_or_default().to_owned()
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest.hash(hasher);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
