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

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures::future::{join_all, ready};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::base_url::BaseUrl;
use crate::client::{CallError, known_succession};
use crate::ids::ClusterId;
use crate::message::{Announced, Announcement, KnownSuccession, Member, Service, Succession};
use crate::wire::Reply;

mod acceptors;
mod known;
mod mixups;
pub mod presence;

pub use acceptors::Acceptors;
use acceptors::learn_names;
pub use known::{Known, Listing};
use mixups::{Found, mixups_of, tell};
pub use mixups::{Mixup, Mixups};

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
    /// Notified, all acceptors are asked at once who has followed them, and not one after the
    /// other in each round.
    pub follow: Arc<Notify>,
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
    let follow = Arc::new(Notify::new());
    let hurry = Arc::clone(&follow);
    let withdrawn = tokio::spawn(async move {
        let news = News { members: sender, cluster: of_members, mixed_up };
        let announcing = announce(member.clone(), cluster, (present, &hurry), news);
        shutdown.run_until_cancelled(announcing).await;
        let acceptors = Arc::clone(&asked.borrow().clients);
        let (name, instance) = (&member.name, member.instance);
        let each = acceptors.iter().map(|to| to.withdraw(name, instance, WITHDRAWING));
        // Whoever does not hear of it finds out by its silence.
        let _best_effort = join_all(each).await;
    });
    Discovered { members, cluster: named, acceptors, follow, mixups, withdrawn }
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
    (present, follow): (watch::Sender<Acceptors>, &Notify),
    news: News,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut known, started) = (Known::of(present.borrow().clients.len()), Instant::now());
    let mut refusals = Refusals::default();
    for round in 0.. {
        let asked = tokio::select! {
            biased;
            () = follow.notified() => Asked::All,
            _ = ticks.tick() => Asked::One(round),
        };
        let acceptors = Arc::clone(&present.borrow().clients);
        let announcement = Announcement { cluster: *cluster.borrow(), member: member.clone() };
        let calls = acceptors.iter().map(|acceptor| acceptor.announce(&announcement, INTERVAL));
        let own = (*cluster.borrow()).or(known.cluster());
        let urls: Vec<BaseUrl> = acceptors.iter().map(|to| to.url().clone()).collect();
        let others = others(&present.borrow().beside, &news.members.borrow(), &member);
        let (replies, followed, heard) = tokio::join!(
            join_all(calls),
            ask_who_followed(&urls, asked, own),
            ask_who_followed(&others, asked, own),
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

/// Who is asked for the latest succession.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// One, another in each round.
    One(usize),
    /// All, for there is one that is not known here.
    All,
}

/// Asks these for the latest succession that they know. That of a cluster that is not known to
/// be the own one counts for nothing.
async fn ask_who_followed(
    urls: &[BaseUrl],
    asked: Asked,
    own: Option<ClusterId>,
) -> Option<Succession> {
    let urls = match asked {
        Asked::One(round) => std::slice::from_ref(urls.get(round.checked_rem(urls.len())?)?),
        Asked::All => urls,
    };
    let told = join_all(urls.iter().map(|url| known_succession(url.clone(), INTERVAL))).await;
    let latest = told.into_iter().flatten().filter_map(|told| told.latest);
    latest.filter(|latest| Some(latest.cluster()) == own).max_by_key(Succession::generation)
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
