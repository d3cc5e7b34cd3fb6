//! While the roster is unknown: what the acceptors answer is judged
//! ([`super::formation`]), and the roster that it makes is adopted.

use std::time::Duration;

use shared::ids::Generation;
use shared::message::Roster;

use super::formation::{AcceptorInfo, Judgement, judge};
use super::{Answer, Membership, Recorded, is_member};
use crate::ids::PollNumber;

impl Membership {
    pub(super) fn form(&mut self, now: Duration) -> Recorded {
        match self.judgement() {
            Judgement::Existing(roster) => self.adopt(now, roster),
            Judgement::Waiting { .. } | Judgement::Succeeded => {
                self.candidate = None;
                Recorded::Waiting
            }
            Judgement::Conflict(error) => {
                self.candidate = None;
                Recorded::NotACluster(error)
            }
            Judgement::Unformed(roster) => match &self.candidate {
                Some((candidate, after)) if *candidate == roster => {
                    let confirmed = self
                        .present()
                        .flat_map(|place| &place.answer)
                        .all(|answer| answer.poll > *after);
                    if confirmed { self.adopt(now, roster) } else { Recorded::Waiting }
                }
                Some(_) | None => {
                    let latest = self.polls.back().map_or(PollNumber(0), |(poll, _)| *poll);
                    self.candidate = Some((roster, latest));
                    Recorded::AskAgain
                }
            },
        }
    }

    fn adopt(&mut self, now: Duration, roster: Roster) -> Recorded {
        for place in &mut self.places {
            if let Some(answer) =
                place.answer.as_ref().filter(|answer| is_member(&roster, &answer.reply))
            {
                place.member = Some(answer.reply.acceptor);
                place.heard_at = Some(now);
            }
        }
        self.candidate = None;
        self.roster = Some(roster.clone());
        Recorded::Formed(roster)
    }

    /// Whether the acceptors that are asked are those that formed the cluster no more, so
    /// that one of them has to say who is.
    fn is_succeeded(&self) -> bool {
        self.present().flat_map(|place| &place.answer).any(|answer| {
            let roster = answer.reply.roster.as_ref();
            roster.is_some_and(|roster| roster.generation() > Generation(0))
        })
    }

    fn acceptor_infos(&self) -> Vec<Option<AcceptorInfo>> {
        let of = |answer: &Answer| AcceptorInfo {
            acceptor: answer.reply.acceptor,
            roster: answer.reply.roster.clone(),
            draw: answer.reply.draw,
        };
        self.present().map(|place| place.answer.as_ref().map(of)).collect()
    }

    /// What the acceptors make up so far, while the roster is unknown.
    pub(crate) fn judgement(&self) -> Judgement {
        match &self.roster {
            Some(roster) => Judgement::Existing(roster.clone()),
            None => {
                let judged = judge(&self.acceptor_infos());
                // A stray one of a later generation, or of another cluster, does not stand in
                // the way of a quorum of those that formed it, of which none is sealed then.
                let formed_it = |roster: &Roster| roster.generation() == Generation(0);
                let is_first = matches!(&judged, Judgement::Existing(first) if formed_it(first));
                if !is_first && self.is_succeeded() { Judgement::Succeeded } else { judged }
            }
        }
    }
}
