//! Other acceptors: a generation is stopped, sealed, and followed by the next.

mod draining;
mod handing_over;
mod looking;

use coordinator::effect::{
    AcceptorIndex, Effect, FoundAcceptor, Input, LeftBehind, Reason, RequestId, Survey, Timer,
};
use shared::ids::{AcceptorId, Ballot, ClusterId, Generation, Slot};
use shared::message::{
    AcceptorsRefused, AcceptorsReply, AcceptorsRequest, Heartbeat, Marks, Phase, Roster, Seated,
    Succession, SuccessionReply, SuccessionRequest, Vote, WantedAcceptors, Watermarks,
};

use crate::support::*;

/// The acceptor that comes in the place of the third one.
const NEW: AcceptorId = AcceptorId(9);

fn urls(of: [&str; 3]) -> Vec<String> {
    of.map(str::to_owned).to_vec()
}

/// The third acceptor of the first generation leaves, from a slot on.
fn succession(begin: u64) -> Succession {
    let previous = Seated { roster: roster(), urls: urls(["0", "1", "2"]) };
    let members = vec![id(0), id(1), NEW];
    let next = Roster::new(roster().cluster(), Generation(1), members).unwrap();
    let next = Seated { roster: next, urls: urls(["0", "1", "new"]) };
    Succession::new(previous, next, Slot(begin)).unwrap()
}

fn answer(acceptor: AcceptorId) -> SuccessionReply {
    SuccessionReply {
        acceptor,
        roster: Some(roster()),
        opened: None,
        sealed: None,
        is_unused: false,
        can_write: true,
    }
}

fn unused(acceptor: AcceptorId) -> SuccessionReply {
    SuccessionReply { roster: None, is_unused: true, ..answer(acceptor) }
}

fn sealed(acceptor: AcceptorId, by: &Succession) -> SuccessionReply {
    SuccessionReply { sealed: Some(by.clone()), ..answer(acceptor) }
}

fn opened(acceptor: AcceptorId, by: &Succession) -> SuccessionReply {
    let roster = Some(by.next().roster.clone());
    SuccessionReply { roster, opened: Some(by.clone()), ..answer(acceptor) }
}

fn found(url: &str, answer: Result<SuccessionReply, String>) -> FoundAcceptor {
    FoundAcceptor { url: url.to_owned(), answer }
}

fn all_found() -> Vec<FoundAcceptor> {
    vec![
        found("0", Ok(answer(id(0)))),
        found("1", Ok(answer(id(1)))),
        found("2", Ok(answer(id(2)))),
        found("new", Ok(unused(NEW))),
    ]
}

fn survey(found: Vec<FoundAcceptor>) -> Survey {
    Survey { found, left_behind: None }
}

/// Asks for these, and tells what is found whenever it wants a look.
fn ask_for(
    bench: &mut Bench,
    request: u64,
    wanted: WantedAcceptors,
    found: Vec<FoundAcceptor>,
) -> Vec<Effect> {
    let (cluster, id) = (roster().cluster(), RequestId(request));
    let request = AcceptorsRequest { cluster, base: None, wanted };
    let survey = survey(found);
    let effects = bench.step(Input::Acceptors { id, request, survey: survey.clone() });
    match &effects[..] {
        [Effect::Survey { id, .. }] => bench.step(Input::Surveyed { id: *id, survey }),
        _ => effects,
    }
}

fn replace() -> WantedAcceptors {
    WantedAcceptors::Replace { leaves: "2".to_owned(), comes: "new".to_owned() }
}

fn ask(bench: &mut Bench, request: u64, found: Vec<FoundAcceptor>) -> Vec<Effect> {
    ask_for(bench, request, replace(), found)
}

/// A leader that has been asked, and wants a look before it proposes the stop.
fn asked() -> (Bench, Ballot) {
    let (mut bench, mine) = leading();
    let request = AcceptorsRequest { cluster: roster().cluster(), base: None, wanted: replace() };
    let survey = survey(all_found());
    let effects = bench.step(Input::Acceptors { id: RequestId(1), request, survey });
    let urls = ["0", "1", "2", "new"].map(str::to_owned).to_vec();
    assert_eq!(effects, [Effect::Survey { id: RequestId(1), urls }]);
    (bench, mine)
}

fn surveyed(bench: &mut Bench, survey: Survey) -> Vec<Effect> {
    bench.step(Input::Surveyed { id: RequestId(1), survey })
}

fn changed(id: u64, seated: Seated) -> Effect {
    let not_heard = Vec::new();
    Effect::AcceptorsReply {
        id: RequestId(id),
        reply: AcceptorsReply::Changed { seated, not_heard },
    }
}

fn is_stop(effect: &Effect) -> bool {
    matches!(effect, Effect::Accept { message, .. }
        if message.proposals.iter().any(|value| Succession::of_stop(&value.value).is_some()))
}

fn reply(id: u64, reply: AcceptorsReply) -> Vec<Effect> {
    vec![Effect::AcceptorsReply { id: RequestId(id), reply }]
}

fn refused(id: u64, why: AcceptorsRefused) -> Vec<Effect> {
    reply(id, AcceptorsReply::Refused(why))
}

/// A replica that holds all below a slot durably.
fn beat(replica: u64, below: u64) -> Heartbeat {
    let below = Slot(below);
    let view = Some(view(4, 1, &[2, 3]));
    Heartbeat { executed_below: below, durable_below: below, ..heartbeat(replica, view) }
}

fn all_beat(bench: &mut Bench, below: u64) {
    for replica in 1..=3 {
        bench.step(Input::Heartbeat(beat(replica, below)));
    }
}

/// A leader in a cluster with a view of three replicas that were all heard just now.
fn leading() -> (Bench, Ballot) {
    let (mut bench, mine) = Bench::leading();
    all_beat(&mut bench, 0);
    (bench, mine)
}

fn tell(to: usize, request: SuccessionRequest) -> Effect {
    Effect::Succession { to: AcceptorIndex(to), request }
}

/// What is said while too few are known to be sealed.
fn seals() -> Vec<Effect> {
    let seal = SuccessionRequest::Seal(succession(0));
    let seals = (0..3).map(|to| tell(to, seal.clone()));
    seals.chain([tell(3, SuccessionRequest::Tell)]).collect()
}

fn says(bench: &mut Bench, from: usize, reply: SuccessionReply) -> Vec<Effect> {
    bench.step(Input::SuccessionReply { from: at(from), reply })
}

/// A leader whose stop in slot 0 is chosen.
fn stopped() -> (Bench, Ballot) {
    let (mut bench, mine) = leading();
    ask(&mut bench, 1, all_found());
    assert_eq!(bench.accepted(0, mine, &[0]), []);
    let known = Effect::SuccessionKnown(succession(0));
    let new = Effect::NewAcceptor { at: at(3), url: "new".to_owned() };
    let expected = all([vec![new, known], seals()]);
    assert_eq!(bench.accepted(1, mine, &[0]), expected);
    (bench, mine)
}

fn only_accepts(effects: Vec<Effect>) -> Vec<Effect> {
    effects.into_iter().filter(|effect| matches!(effect, Effect::Accept { .. })).collect()
}
