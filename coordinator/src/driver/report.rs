//! What is logged: changes of state, and what the coordinator waits for. Nothing per
//! request.

use std::time::Duration;

use shared::client::CallError;
use shared::config::BaseUrl;
use tokio::sync::watch;

use crate::coordinator::{Trouble, Waiting};
use crate::effect::{AcceptorIndex, Effect};

/// An acceptor is called silent after so many failed calls in a row.
const FAILURES_UNTIL_SILENT: u32 = 3;

/// What is waited for is said after this long: a start takes a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// … and then again this often.
const REMINDER: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, Default)]
struct Calls {
    failed_in_a_row: u32,
    refusal: Option<String>,
}

/// Tells people what the core tells the shell.
#[derive(Debug)]
pub(crate) struct Reporter {
    urls: Vec<BaseUrl>,
    calls: Vec<Calls>,
    waiting_for: watch::Sender<Option<String>>,
    troubles: watch::Sender<Vec<Trouble>>,
    waiting_since: Option<Duration>,
    said_at: Option<Duration>,
}

impl Reporter {
    /// A reporter, and what the coordinator waits for in words, for readiness.
    pub(crate) fn new(
        urls: Vec<BaseUrl>,
    ) -> (Self, watch::Receiver<Option<String>>, watch::Receiver<Vec<Trouble>>) {
        let (waiting_for, receiver) =
            watch::channel(Some("the first answer of an acceptor".to_owned()));
        let calls = vec![Calls::default(); urls.len()];
        let (troubles, troubles_receiver) = watch::channel(Vec::new());
        let reporter =
            Self { urls, calls, waiting_for, troubles, waiting_since: None, said_at: None };
        (reporter, receiver, troubles_receiver)
    }

    fn url(&self, at: AcceptorIndex) -> &str {
        self.urls.get(at.0).map_or("unknown", BaseUrl::as_str)
    }

    /// There is one more acceptor.
    pub(crate) fn add(&mut self, url: BaseUrl) {
        self.urls.push(url);
        self.calls.push(Calls::default());
    }

    /// A call to an acceptor ended.
    pub(crate) fn called(&mut self, at: AcceptorIndex, error: Option<&CallError>) {
        let url = self.url(at).to_owned();
        let Some(calls) = self.calls.get_mut(at.0) else { return };
        let Some(error) = error else {
            if calls.failed_in_a_row >= FAILURES_UNTIL_SILENT {
                tracing::info!(%url, "the acceptor answers again");
            }
            *calls = Calls::default();
            return;
        };
        calls.failed_in_a_row = calls.failed_in_a_row.saturating_add(1);
        if calls.failed_in_a_row == FAILURES_UNTIL_SILENT {
            tracing::warn!(%url, %error, "the acceptor does not answer");
        }
        if let CallError::Refused { status, detail, .. } = error
            && status.is_client_error()
            && calls.refusal.as_ref() != Some(detail)
        {
            tracing::error!(%url, %error, "the acceptor refuses what this coordinator says");
            calls.refusal = Some(detail.clone());
        }
    }

    /// What the coordinator waits for now.
    pub(crate) fn waiting(&mut self, now: Duration, waiting: Option<Waiting>) {
        let text = waiting.map(|waiting| describe(&waiting, |at| self.url(at).to_owned()));
        match &text {
            None => {
                if self.said_at.take().is_some() {
                    tracing::info!("a quorum of acceptors answers");
                }
                self.waiting_since = None;
            }
            Some(text) => {
                let since = *self.waiting_since.get_or_insert(now);
                let due = self.said_at.map_or(since + PATIENCE, |said_at| said_at + REMINDER);
                if now >= due {
                    tracing::warn!("waiting for {text}");
                    self.said_at = Some(now);
                }
            }
        }
        self.waiting_for.send_if_modified(|before| {
            let changed = *before != text;
            *before = text;
            changed
        });
    }

    /// What people must mend now: each kind is said when it begins and when it ends.
    pub(crate) fn troubles(&mut self, now: Vec<Trouble>) {
        let before = self.troubles.borrow().clone();
        let is_in = |those: &[Trouble], one: &Trouble| {
            those.iter().any(|other| std::mem::discriminant(other) == std::mem::discriminant(one))
        };
        for trouble in now.iter().filter(|trouble| !is_in(&before, trouble)) {
            match trouble {
                // Said with its effect.
                Trouble::VotesLost(_) => {}
                Trouble::SlotsLost(what) => {
                    tracing::error!("{what}. No view is proposed until one of these is back")
                }
                Trouble::TwoHistories(what) => tracing::error!("{what}"),
                Trouble::TrimmingHeldUp(what) => tracing::warn!("{what}"),
            }
        }
        for trouble in before.iter().filter(|trouble| !is_in(&now, trouble)) {
            match trouble {
                Trouble::VotesLost(_) => tracing::info!("no replica is ahead of the acceptors"),
                Trouble::SlotsLost(_) => tracing::info!("a replica has what was trimmed"),
                Trouble::TwoHistories(_) => tracing::info!("the replicas have one history"),
                Trouble::TrimmingHeldUp(_) => tracing::info!("the acceptors have room again"),
            }
        }
        self.troubles.send_if_modified(|told| std::mem::replace(told, now.clone()) != now);
    }

    /// The core has something to say.
    pub(crate) fn effect(&self, effect: &Effect) {
        match effect {
            Effect::PhaseChanged(change) => {
                let (from, to) = (change.from, change.to);
                tracing::info!(ballot = %change.ballot, reason = %change.reason, "from {from:?} to \
                    {to:?}");
            }
            Effect::ViewProposed { slot, view } => {
                let backups: Vec<&str> = view.backups.iter().map(|name| name.as_str()).collect();
                tracing::info!(%slot, epoch = %view.epoch, primary = %view.primary, backups = backups.join(","), "proposes a view");
            }
            Effect::RosterKnown(roster) => {
                tracing::info!(cluster = %roster.cluster(), acceptors = roster.acceptors().len(), "knows its cluster");
            }
            Effect::NotACluster(error) => {
                tracing::error!(%error, "the configured acceptors are not one cluster")
            }
            Effect::ForeignAcceptor { at, foreign } => {
                tracing::error!(url = self.url(*at), "an acceptor is not counted: {foreign}");
            }
            Effect::ClaimRefused { at, why } => {
                tracing::error!(url = self.url(*at), "an acceptor is not believed: {why}");
            }
            Effect::VotesLost(why) => tracing::error!("nothing is proposed any more: {why}"),
            Effect::SuccessionKnown(succession) => tracing::info!(
                generation = %succession.generation(), begin = %succession.begin(),
                "other acceptors are chosen"
            ),
            Effect::Succeeded(succession) => tracing::info!(
                generation = %succession.generation(), begin = %succession.begin(),
                acceptors = succession.next().urls.join(","),
                "these are the acceptors now"
            ),
            // Why the process ends is said once, by whoever ends it.
            Effect::WrongCluster(_)
            | Effect::PollWatermarks { .. }
            | Effect::Prepare { .. }
            | Effect::Accept { .. }
            | Effect::Arm { .. }
            | Effect::ProposalReply { .. }
            | Effect::PrimaryReply { .. }
            | Effect::Succession { .. }
            | Effect::Survey { .. }
            | Effect::NewAcceptor { .. }
            | Effect::AcceptorsReply { .. }
            | Effect::Chosen(_) => {}
        }
    }
}

/// What a coordinator waits for, in words.
pub(crate) fn describe(waiting: &Waiting, url_of: impl Fn(AcceptorIndex) -> String) -> String {
    match waiting {
        Waiting::Answers(places) => {
            let urls: Vec<String> = places.iter().map(|at| url_of(*at)).collect();
            format!(
                "an answer of {}: a cluster forms when all its acceptors answer",
                urls.join(" and ")
            )
        }
        Waiting::Succession => {
            "word from a majority of --acceptors of who the acceptors are by now".to_owned()
        }
        Waiting::Confirmation => "a second answer of every acceptor".to_owned(),
        Waiting::Cluster(error) => format!("acceptors that make up one cluster: {error}"),
        Waiting::Quorum { heard, needed } => {
            format!("a quorum of acceptors: {heard} of {needed} needed answer")
        }
    }
}
