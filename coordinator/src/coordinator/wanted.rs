//! Other acceptors are asked for: who they would be, and whether they may follow.
//!
//! It is judged twice by what is found at the addresses: when they are asked for, and again
//! when nothing but the stop is left to propose, since what was found first is seconds old
//! by then. After the stop there is no way back.

use std::time::Duration;

use shared::ids::{AcceptorId, Generation};
use shared::message::{
    AcceptorsRefused, AcceptorsRequest, Roster, Seated, Succession, SuccessionReply,
    WantedAcceptors,
};

use super::{Coordinator, State};
use crate::effect::{FoundAcceptor, LeftBehind, Survey};
use crate::replicas::trimming::{held_up_long_by, not_durable_at};
use crate::succession::Stage;

/// What a request comes to.
pub(super) enum Resolved {
    /// The acceptors are those already.
    Done,
    /// These are to follow.
    To(Seated),
}

/// Who would follow, and how many of them answered and can write.
struct Next {
    seated: Seated,
    living: usize,
}

impl Coordinator {
    /// What a request comes to, by what a survey has shown.
    pub(super) fn judge_wanted(
        &self,
        request: &AcceptorsRequest,
        survey: &Survey,
    ) -> Result<Resolved, AcceptorsRefused> {
        let present = self.membership.seated().ok_or(AcceptorsRefused::ChangeUnderWay)?;
        let Some(next) = self.resolve_wanted(&present, request, &survey.found)? else {
            return Ok(Resolved::Done);
        };
        match survey.left_behind.clone() {
            Some(LeftBehind::Old(old)) => return Err(AcceptorsRefused::OldService(old)),
            Some(LeftBehind::Silent(silent)) => {
                return Err(AcceptorsRefused::SilentService(silent));
            }
            None => {}
        }
        check_sealable(&present, &survey.found)?;
        self.check_next(present, &next)?;
        Ok(Resolved::To(next.seated))
    }

    /// Whom a request names; none where they are the acceptors already, at those addresses.
    fn resolve_wanted(
        &self,
        present: &Seated,
        request: &AcceptorsRequest,
        found: &[FoundAcceptor],
    ) -> Result<Option<Next>, AcceptorsRefused> {
        let generation = present.roster.generation();
        if request.base.is_some_and(|base| base != generation) {
            return Err(AcceptorsRefused::OtherGeneration { present: generation });
        }
        let urls = match &request.wanted {
            WantedAcceptors::All(urls) => urls.clone(),
            WantedAcceptors::Replace { leaves, comes } => {
                let answers = answer_at(comes, found)?;
                if !present.urls.contains(leaves) {
                    // Whoever asks again hears that it is done, if it is.
                    let is_member = present.roster.contains(answers.acceptor);
                    if is_member && present.urls.contains(comes) {
                        return Ok(None);
                    }
                    return Err(AcceptorsRefused::NoRoster(format!(
                        "{leaves} is none of the acceptors: {}",
                        present.urls.join(", ")
                    )));
                }
                if comes != leaves && present.urls.contains(comes) {
                    return Err(AcceptorsRefused::NoRoster(format!(
                        "{comes} is one of the acceptors already: name where a new one was \
                         started, without data"
                    )));
                }
                let instead = |url: &String| if url == leaves { comes } else { url }.clone();
                present.urls.iter().map(instead).collect()
            }
        };
        let (mut ids, mut living) = (Vec::new(), 0);
        for url in &urls {
            let (acceptor, is_living) = self.identify(&present.roster, url, found)?;
            ids.push(acceptor);
            living += usize::from(is_living);
        }
        refuse_twice(&urls, &ids)?;
        let next = Generation(generation.0.saturating_add(1));
        let roster = Roster::new(present.roster.cluster(), next, ids)
            .map_err(|error| AcceptorsRefused::NoRoster(error.to_string()))?;
        // The same ones at other addresses are to be reached there.
        let is_moved = urls.iter().any(|url| !present.urls.contains(url));
        if roster.acceptors() == present.roster.acceptors() && !is_moved {
            return Ok(None);
        }
        Ok(Some(Next { seated: Seated { roster, urls }, living }))
    }

    /// What the change of the acceptors that is under way here waits for, in words.
    pub(super) fn change_waits_for(&self, now: Duration) -> Option<String> {
        if let Some(handover) = &self.handover {
            let (generation, ends) = (handover.succession().generation(), handover.stage());
            return Some(match ends {
                Stage::Sealing => "a quorum of the acceptors before to end their generation".into(),
                Stage::Opening | Stage::Over => {
                    format!("a quorum of the acceptors of generation {generation} to begin it")
                }
            });
        }
        let State::Phase2(leader) = &self.state else { return None };
        if leader.phase2.stop().is_some() {
            return Some("a quorum of the present acceptors to accept its end".to_owned());
        }
        let draining = leader.draining.as_ref()?;
        if draining.is_looking {
            return Some("a last look at all acceptors and services".to_owned());
        }
        let next_slot = leader.phase2.next_slot();
        let why = not_durable_at(&self.config, now, &self.replicas, next_slot);
        let what =
            format!("all that is chosen, below slot {next_slot}, to be durable at the replicas");
        Some(why.map_or_else(|| what.clone(), |why| format!("{what}: {}", why.words)))
    }

    /// Which acceptor is at an address, and whether it answered just now and can write.
    fn identify(
        &self,
        present: &Roster,
        url: &str,
        found: &[FoundAcceptor],
    ) -> Result<(AcceptorId, bool), AcceptorsRefused> {
        let unfit =
            |why: &str| AcceptorsRefused::Unfit { url: url.to_owned(), why: why.to_owned() };
        let known = self.membership.present_at(url).and_then(|at| self.membership.member_at(at));
        match (answer_at(url, found), known) {
            (Ok(reply), _) if present.contains(reply.acceptor) => {
                Ok((reply.acceptor, reply.can_write))
            }
            // Also where another one answered before: its disk is a new one.
            (Ok(reply), _) if reply.is_unused && reply.can_write => Ok((reply.acceptor, true)),
            (Ok(reply), _) if reply.is_unused => Err(unfit("its disk is full")),
            (Ok(reply), _) => Err(unfit(not_empty(present, reply))),
            (Err(_), Some(known)) => Ok((known, false)),
            (Err(why), None) => Err(why),
        }
    }

    /// Whether these may follow the present ones.
    fn check_next(&self, present: Seated, next: &Next) -> Result<(), AcceptorsRefused> {
        let Next { seated, living } = next;
        let (acceptors, needed) = (seated.roster.acceptors().len(), seated.quorum());
        if *living < needed {
            let living = *living;
            return Err(AcceptorsRefused::NoQuorum { living, acceptors, needed });
        }
        Succession::new(present, seated.clone(), self.chosen_below)
            .map_err(|error| AcceptorsRefused::NoRoster(error.to_string()))?;
        let State::Phase2(leader) = &self.state else { return Ok(()) };
        if let Some(limit) = leader.no_room(&self.config, self.now) {
            return Err(AcceptorsRefused::NotDurable(limit));
        }
        let next_slot = leader.phase2.next_slot();
        match not_durable_at(&self.config, self.now, &self.replicas, next_slot) {
            Some(why) if why.is_lasting => Err(AcceptorsRefused::NotDurable(why.words)),
            // Whoever was waited for has it by now, and the acceptors are emptier than at first.
            Some(_) | None if leader.phase2.is_drained() => Ok(()),
            Some(_) | None => {
                let fill = leader.fill(&self.config, self.now);
                let until = (fill, self.chosen_below);
                let held_up = held_up_long_by(&self.config, self.now, &self.replicas, until);
                held_up.map_or(Ok(()), |words| Err(AcceptorsRefused::NotDurable(words)))
            }
        }
    }
}

/// What an acceptor is that has data, and is none of the present ones; and what to do.
fn not_empty(present: &Roster, reply: &SuccessionReply) -> &'static str {
    match &reply.roster {
        Some(roster) if roster.cluster() == present.cluster() => {
            "it was an acceptor of this cluster, and has left: give it an empty data directory \
             first"
        }
        Some(_) => {
            "it is an acceptor of another cluster: name where a new acceptor was started, with an \
             empty data directory"
        }
        None => "it has data of another use: give it an empty data directory first",
    }
}

/// Refuses a list that names an acceptor twice, be it by two addresses.
fn refuse_twice(urls: &[String], ids: &[AcceptorId]) -> Result<(), AcceptorsRefused> {
    for (at, url) in urls.iter().enumerate() {
        let Some(first) = ids[..at].iter().position(|other| *other == ids[at]) else { continue };
        let first = &urls[first];
        return Err(AcceptorsRefused::NoRoster(if first == url {
            format!("{url} is named twice: name each acceptor once")
        } else {
            format!("{first} and {url} are the same acceptor: name it once")
        }));
    }
    Ok(())
}

/// Who answers at an address.
fn answer_at<'a>(
    url: &str,
    found: &'a [FoundAcceptor],
) -> Result<&'a SuccessionReply, AcceptorsRefused> {
    let unfit = |why: &str| AcceptorsRefused::Unfit { url: url.to_owned(), why: why.to_owned() };
    match found.iter().find(|found| found.url == url).map(|found| &found.answer) {
        Some(Ok(reply)) => Ok(reply),
        Some(Err(why)) => Err(unfit(why)),
        None => Err(unfit("nobody asked it")),
    }
}

/// Whether a quorum of the present acceptors can end their generation: once the stop is
/// chosen there is no other way on.
fn check_sealable(present: &Seated, found: &[FoundAcceptor]) -> Result<(), AcceptorsRefused> {
    let why_not = |reply: &SuccessionReply| {
        if !present.roster.contains(reply.acceptor) {
            Some("another acceptor answers there")
        } else if reply.sealed.is_some() || reply.roster.as_ref() != Some(&present.roster) {
            Some("it is not in this generation yet")
        } else if !reply.can_write {
            Some("its disk is full")
        } else {
            None
        }
    };
    let (mut able, mut missing) = (Vec::new(), Vec::new());
    for url in &present.urls {
        match answer_at(url, found).map(|reply| (reply.acceptor, why_not(reply))) {
            Ok((acceptor, None)) => able.push(acceptor),
            Ok((_, Some(why))) => missing.push(format!("{url} ({why})")),
            Err(_) => missing.push(format!("{url} (it does not answer)")),
        }
    }
    able.sort_unstable();
    able.dedup();
    let needed = present.quorum();
    if able.len() >= needed {
        return Ok(());
    }
    Err(AcceptorsRefused::CannotSeal { missing: missing.join(", "), needed })
}
