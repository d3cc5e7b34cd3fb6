//! How services find each other: each announces itself to every acceptor and reads there
//! of the others.
//!
//! What acceptors keep of this is soft: nothing that must hold rests on it. A member is
//! dropped when no acceptor has heard of it for [`EXPIRY`]; while no acceptor answers,
//! the members known last stay.
//!
//! Only acceptors of one cluster count: the one that a majority of them named last. Until
//! one has, all count, unless they name two. Acceptors refuse members of another cluster.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks and starts tasks")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures::future::{join_all, ready};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::base_url::BaseUrl;
use crate::client::{CallError, known_succession};
use crate::health::Check;
use crate::ids::{ClusterId, Instance, Name};
use crate::message::{
    Announced, Announcement, KnownSuccession, Member, NameConflict, Service, Succession,
};
use crate::wire::Reply;

mod acceptors;
mod known;
pub mod presence;

pub use acceptors::Acceptors;
use acceptors::learn_names;
pub use known::{Known, Listing};

/// How often a service announces itself.
pub const INTERVAL: Duration = Duration::from_millis(500);
/// A service that ends waits no longer for the acceptors to take it off their lists.
const WITHDRAWING: Duration = Duration::from_millis(200);
/// How long a member is believed in after it was last heard of.
pub const EXPIRY: Duration = Duration::from_secs(10);

/// What a service learns of the others.
#[derive(Debug)]
pub struct Discovered {
    /// All members, in order of their names.
    pub members: watch::Receiver<Vec<Member>>,
    /// Of which cluster they are, once an acceptor has said so.
    pub cluster: watch::Receiver<Option<ClusterId>>,
    /// The acceptors by now.
    pub acceptors: watch::Receiver<Acceptors>,
    /// Whether each is one, and has a name of its own.
    pub mixups: Mixups,
    /// Ends, soon after `shutdown`, once the acceptors know that this process ends: its next
    /// life then need not wait for whether it still lives.
    pub withdrawn: JoinHandle<()>,
}

/// Announces the member to the acceptors until `shutdown`, and tells of all members
/// whenever they change; then says that it ends. `cluster` is the one it belongs to, as
/// soon as it knows.
#[must_use]
pub fn spawn(
    member: Member,
    cluster: watch::Receiver<Option<ClusterId>>,
    acceptors: Acceptors,
    shutdown: CancellationToken,
) -> Discovered {
    let (sender, members) = watch::channel(Vec::new());
    let (of_members, named) = watch::channel(None);
    let (mixed_up, found) = watch::channel(Found::default());
    let (present, acceptors) = watch::channel(acceptors);
    let asked = acceptors.clone();
    let mixups = Mixups { own: member.instance, found };
    let withdrawn = tokio::spawn(async move {
        let news = News { members: sender, cluster: of_members, mixed_up };
        let announcing = announce(member.clone(), cluster, present, news);
        shutdown.run_until_cancelled(announcing).await;
        let acceptors = Arc::clone(&asked.borrow().clients);
        let (name, instance) = (&member.name, member.instance);
        let each = acceptors.iter().map(|to| to.withdraw(name, instance, WITHDRAWING));
        // Whoever does not hear of it finds out by its silence.
        let _best_effort = join_all(each).await;
    });
    Discovered { members, cluster: named, acceptors, mixups, withdrawn }
}

/// Where it is told what is learned.
struct News {
    members: watch::Sender<Vec<Member>>,
    cluster: watch::Sender<Option<ClusterId>>,
    mixed_up: watch::Sender<Found>,
}

async fn announce(
    member: Member,
    cluster: watch::Receiver<Option<ClusterId>>,
    present: watch::Sender<Acceptors>,
    news: News,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut known, started) = (Known::of(present.borrow().clients.len()), Instant::now());
    let mut refusals = Refusals::default();
    for round in 0.. {
        ticks.tick().await;
        let acceptors = Arc::clone(&present.borrow().clients);
        let announcement = Announcement { cluster: *cluster.borrow(), member: member.clone() };
        let calls = acceptors.iter().map(|acceptor| acceptor.announce(&announcement, INTERVAL));
        let own = (*cluster.borrow()).or(known.cluster());
        let urls: Vec<BaseUrl> = acceptors.iter().map(|to| to.url().clone()).collect();
        let others = others(&present.borrow().beside, &news.members.borrow(), &member);
        let (replies, followed, heard) = tokio::join!(
            join_all(calls),
            ask_who_followed(&urls, round, own),
            ask_who_followed(&others, round, own),
        );
        refusals.say(replies.iter().filter_map(|reply| reply.as_ref().err()));
        let urls = acceptors.iter().map(|acceptor| acceptor.url().to_string());
        let answers: Vec<(String, Announced)> =
            urls.zip(replies).filter_map(|(url, reply)| Some((url, reply.ok()?))).collect();
        if !answers.is_empty() {
            let contested = answers.iter().filter(|(_, answer)| answer.is_contested).count();
            let is_contested = 2 * contested > answers.len();
            tell(&news.mixed_up, Found { mixups: mixups_of(&answers), is_contested });
        }
        learn_names(&present, &answers);
        let listings: Vec<Listing> = answers
            .into_iter()
            .map(|(_, Announced { cluster, directory, .. })| Listing { cluster, directory })
            .collect();
        let members = known.merge(started.elapsed(), &listings);
        // Before its members are told of.
        news.cluster.send_if_modified(|told| {
            let is_news = *told != known.of_members();
            *told = known.of_members();
            is_news
        });
        if let Some(members) = members {
            news.members.send_replace(members);
        }
        let latest = followed.into_iter().chain(heard).max_by_key(Succession::generation);
        let next = latest.and_then(|succession| present.borrow().succeeded_by(&succession));
        if let Some(next) = next {
            tracing::info!(
                generation = %next.generation(),
                acceptors = next.clients.iter().map(|to| to.url().as_str()).collect::<Vec<_>>().join(","),
                "other acceptors have followed: --acceptors should name them"
            );
            known.ask(next.clients.len());
            present.send_replace(next);
        }
    }
}

/// Who else may know of a change of the acceptors: coordinators and replicas, for whoever has
/// missed it until none of the acceptors that it knows is left.
fn others(beside: &[BaseUrl], members: &[Member], own: &Member) -> Vec<BaseUrl> {
    let knows = |member: &&Member| match member.service {
        Service::Coordinator | Service::Replica => member.instance != own.instance,
        Service::Acceptor | Service::Balancer => false,
    };
    let listed = members.iter().filter(knows).filter_map(|member| member.url.parse().ok());
    beside.iter().cloned().chain(listed).collect()
}

/// Asks one of these, another one in each round, for the latest succession that it knows.
/// That of a cluster that is not known to be the own one counts for nothing.
async fn ask_who_followed(
    urls: &[BaseUrl],
    round: usize,
    own: Option<ClusterId>,
) -> Option<Succession> {
    let asked = urls.get(round.checked_rem(urls.len())?)?;
    let told = known_succession(asked.clone(), INTERVAL).await.ok()?;
    told.latest.filter(|latest| Some(latest.cluster()) == own)
}

/// `GET /v1/succession`, for those who missed a change.
pub fn routes(acceptors: watch::Receiver<Acceptors>) -> Router {
    Router::new().route(
        "/v1/succession",
        get(move |reply: Reply| {
            let latest = acceptors.borrow().succession.clone();
            ready(reply.send(&KnownSuccession { latest }))
        }),
    )
}

/// The acceptors' refusals of the round before: each is said once.
#[derive(Debug, Default)]
struct Refusals(BTreeSet<String>);

impl Refusals {
    fn say<'a>(&mut self, errors: impl Iterator<Item = &'a CallError>) {
        let is_refusal = |error: &&CallError| matches!(error, CallError::Refused { status, .. } if status.is_client_error());
        let now: BTreeSet<String> = errors.filter(is_refusal).map(ToString::to_string).collect();
        for refusal in now.difference(&self.0) {
            tracing::error!("this service is not listed: {refusal}");
        }
        self.0 = now;
    }
}

/// Two that are taken for one, or one that is taken for two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mixup {
    /// Two processes have one name.
    SameName(NameConflict),
    /// Two of the acceptors that are listed by URL are one.
    SameAcceptor {
        /// The acceptor.
        name: Name,
        /// Where it answers.
        urls: [String; 2],
    },
}

impl Mixup {
    /// Whether this process is the one that came later.
    fn is_against(&self, own: Instance) -> bool {
        match self {
            Self::SameName(NameConflict { rival, .. }) => rival.instance == own,
            Self::SameAcceptor { .. } => false,
        }
    }
}

impl fmt::Display for Mixup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName(NameConflict { listed, rival }) => write!(
                formatter,
                "two processes run by the name {}: {} (instance {}), and {} (instance {}), which \
                 came later and is not listed: give it another --id, or end it",
                listed.name, listed.url, listed.instance, rival.url, rival.instance
            ),
            Self::SameAcceptor { name, urls: [one, other] } => write!(
                formatter,
                "{one} and {other} are the same acceptor, {name}: --acceptors is to list each once"
            ),
        }
    }
}

/// What is mixed up now, as the acceptors' answers show.
#[derive(Clone, Debug)]
pub struct Mixups {
    /// Whose it is to know.
    own: Instance,
    found: watch::Receiver<Found>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    mixups: Vec<Mixup>,
    is_contested: bool,
}

impl Mixups {
    /// As long as nothing is known: none.
    #[must_use]
    pub fn none(own: Instance) -> Self {
        Self { own, found: watch::channel(Found::default()).1 }
    }

    /// Each in words.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        self.found.borrow().mixups.iter().map(ToString::to_string).collect()
    }

    /// Waits until what is mixed up has changed; false when it never will again.
    pub async fn changed(&mut self) -> bool {
        self.found.changed().await.is_ok()
    }

    /// Whether nobody else may have this process's name, as far as is known: not one who
    /// had it before, and not one who had it a moment ago.
    #[must_use]
    pub fn is_name_own(&self) -> bool {
        let found = self.found.borrow();
        !found.is_contested && !found.mixups.iter().any(|mixup| mixup.is_against(self.own))
    }

    /// For readiness: one whose name is another's is not ready, for the others it is a
    /// warning.
    #[must_use]
    pub fn check(&self) -> Check {
        let found = self.found.borrow();
        let told = found.mixups.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        if told.is_empty() {
            Check::new("names", None)
        } else if found.mixups.iter().any(|mixup| mixup.is_against(self.own)) {
            Check::new("names", Some(told))
        } else {
            Check::warning("names", told)
        }
    }
}

/// Says in the log what is new.
fn tell(mixed_up: &watch::Sender<Found>, found: Found) {
    mixed_up.send_if_modified(|known| {
        let new = found.mixups.iter().filter(|mixup| !known.mixups.contains(mixup));
        new.for_each(|mixup| tracing::error!("{mixup}"));
        if found.mixups.is_empty() && !known.mixups.is_empty() {
            tracing::info!("every name is one process's again");
        }
        let is_news = *known != found;
        *known = found;
        is_news
    });
}

/// What the answers to one announcement show, by the URLs that were asked.
fn mixups_of(answers: &[(String, Announced)]) -> Vec<Mixup> {
    let mut mixups = Vec::new();
    for (index, (url, one)) in answers.iter().enumerate() {
        for (other_url, other) in &answers[index + 1..] {
            let (listed, rival) = (one.acceptor.clone(), other.acceptor.clone());
            if listed.instance == rival.instance {
                let urls = [url.clone(), other_url.clone()];
                mixups.push(Mixup::SameAcceptor { name: listed.name, urls });
            } else if listed.name == rival.name {
                mixups.push(Mixup::SameName(NameConflict { listed, rival }));
            }
        }
    }
    // Who came later is what most say: an acceptor that has restarted does not know.
    let told: Vec<&NameConflict> =
        answers.iter().flat_map(|(_, answer)| &answer.conflicts).collect();
    let count = |conflict: &NameConflict| told.iter().filter(|other| **other == conflict).count();
    let mut by_name: BTreeMap<&Name, &NameConflict> = BTreeMap::new();
    for conflict in &told {
        let most = by_name.entry(&conflict.listed.name).or_insert(conflict);
        if count(conflict) > count(most) {
            *most = conflict;
        }
    }
    mixups.extend(by_name.into_values().cloned().map(Mixup::SameName));
    mixups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Directory;

    fn member(name: &str, instance: u64) -> Member {
        let name: Name = name.parse().unwrap();
        Member {
            name,
            service: Service::Replica,
            url: "http://127.0.0.1:1".into(),
            instance: Instance(instance),
        }
    }

    fn answer(url: &str, acceptor: Member, conflicts: &[NameConflict]) -> (String, Announced) {
        let (directory, conflicts) = (Directory::default(), conflicts.to_vec());
        let (cluster, is_contested) = (None, false);
        (url.to_owned(), Announced { cluster, acceptor, directory, conflicts, is_contested })
    }

    fn mixups(own: u64, mixups: Vec<Mixup>) -> Mixups {
        let found = Found { mixups, is_contested: false };
        Mixups { own: Instance(own), found: watch::channel(found).1 }
    }

    #[test]
    fn an_acceptor_that_is_listed_twice_is_named_with_both_its_addresses() {
        let answers = [
            answer("http://a:1", member("acceptor-1", 1), &[]),
            answer("http://b:1", member("acceptor-2", 2), &[]),
            answer("http://c:1", member("acceptor-1", 1), &[]),
        ];
        let urls = ["http://a:1".to_owned(), "http://c:1".to_owned()];
        let name = "acceptor-1".parse().unwrap();
        let found = mixups_of(&answers);
        assert_eq!(found, [Mixup::SameAcceptor { name, urls }]);
        assert!(found[0].to_string().starts_with("http://a:1 and http://c:1 are the same"));
        assert_eq!(mixups(1, found).check().result, Ok(()), "a warning");
    }

    #[test]
    fn two_of_one_name_are_told_once_and_the_later_one_is_not_ready() {
        let conflict =
            NameConflict { listed: member("replica-1", 7), rival: member("replica-1", 8) };
        let told = std::slice::from_ref(&conflict);
        let NameConflict { listed, rival } = conflict.clone();
        let restarted = [NameConflict { listed: rival, rival: listed }];
        let answers = [
            answer("http://d:1", member("acceptor-4", 4), &restarted),
            answer("http://a:1", member("acceptor-1", 1), told),
            answer("http://b:1", member("acceptor-2", 2), told),
            answer("http://c:1", member("acceptor-2", 3), &[]),
        ];
        let acceptors =
            NameConflict { listed: member("acceptor-2", 2), rival: member("acceptor-2", 3) };
        let expected = [acceptors, conflict].map(Mixup::SameName);
        let found = mixups_of(&answers);
        assert_eq!(found, expected);
        let known = mixups(7, found.clone());
        assert!(known.check().result.is_ok() && known.check().warning.is_some());
        assert!(
            mixups(8, found.clone()).check().result.unwrap_err().contains("by the name replica-1")
        );
        assert!(known.is_name_own() && !mixups(8, found).is_name_own());
        let contested = Found { mixups: Vec::new(), is_contested: true };
        let contested = Mixups { own: Instance(7), found: watch::channel(contested).1 };
        assert!(!contested.is_name_own(), "who had it a moment ago may live");
        assert_eq!(contested.check(), Check::new("names", None));
    }
}
