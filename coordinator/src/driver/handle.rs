//! How the HTTP handlers speak to the driver: bounded questions, each with its own place
//! for the answer.

use std::sync::Arc;
use std::time::Duration;

use shared::bounds::TooFar;
use shared::client::AcceptorClient;
use shared::ids::{ClusterId, Epoch, Instance, Name, Slot};
use shared::message::{
    AcceptorsReply, AcceptorsRequest, ChosenReply, ClusterError, Heartbeat, HeartbeatReply, Phase,
    PrimaryReply, PrimaryRequest, Proposal, ProposalReply, same_cluster,
};
use shared::telemetry::TraceContext;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::coordinator::{ChosenLookup, Status, Trouble};
use crate::effect::Survey;
use shared::page::PageLimits;

/// Questions that wait for the driver. It answers within microseconds; as many at once
/// mean that it hangs.
pub(crate) const WAITING_QUESTIONS: usize = 1_024;

/// A question to the driver.
#[derive(Debug)]
pub(crate) enum Question {
    Propose {
        proposal: Proposal,
        trace: Option<TraceContext>,
        answer: oneshot::Sender<ProposalReply>,
    },
    Heartbeat {
        heartbeat: Heartbeat,
        answer: oneshot::Sender<Result<HeartbeatReply, TooFar>>,
    },
    Ending {
        instance: Instance,
        answer: oneshot::Sender<HeartbeatReply>,
    },
    Primary {
        request: PrimaryRequest,
        answer: oneshot::Sender<PrimaryReply>,
    },
    Acceptors {
        request: AcceptorsRequest,
        survey: Survey,
        answer: oneshot::Sender<AcceptorsReply>,
    },
    Chosen {
        from: Slot,
        limits: PageLimits,
        answer: oneshot::Sender<ChosenLookup>,
    },
    PrimaryOf {
        epoch: Epoch,
        answer: oneshot::Sender<Option<Name>>,
    },
    Status {
        answer: oneshot::Sender<DriverStatus>,
    },
}

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("{WAITING_QUESTIONS} requests wait for the coordinator")]
    Busy,
    #[error("the coordinator is ending")]
    Ending,
}

/// What long polls wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) phase: Phase,
    pub(crate) chosen_below: Slot,
}

/// The core's status and what the shell counts.
#[derive(Clone, Debug)]
pub(crate) struct DriverStatus {
    pub(crate) core: Status,
    pub(crate) counts: Counts,
    pub(crate) waiting_proposals: usize,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(crate) struct Counts {
    /// Slots that became chosen under this coordinator's leadership.
    pub(crate) decisions: u64,
    /// Votes that acceptors sent it.
    pub(crate) votes: u64,
    /// Requests to acceptors that asked for votes.
    pub(crate) accepts: u64,
}

/// What the driver tells unasked.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) progress: watch::Receiver<Position>,
    /// The cluster, once known: it never changes in a life of the process.
    pub(crate) cluster: watch::Receiver<Option<ClusterId>>,
    /// The present acceptors.
    pub(crate) acceptors: watch::Receiver<Arc<[AcceptorClient]>>,
    pub(crate) waiting_for: watch::Receiver<Option<String>>,
    pub(crate) troubles: watch::Receiver<Vec<Trouble>>,
}

/// The driver, as handlers see it.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    questions: mpsc::Sender<Question>,
    known: Known,
}

impl Handle {
    pub(crate) fn new(questions: mpsc::Sender<Question>, known: Known) -> Self {
        Self { questions, known }
    }

    /// The cluster, whenever it gets known.
    pub(crate) fn cluster(&self) -> watch::Receiver<Option<ClusterId>> {
        self.known.cluster.clone()
    }

    /// The cluster, for the answer to a service of that one.
    pub(crate) fn same_cluster(&self, theirs: ClusterId) -> Result<ClusterId, ClusterError> {
        same_cluster(*self.known.cluster.borrow(), theirs)
    }

    /// The present acceptors, whenever they change.
    pub(crate) fn present_acceptors(&self) -> watch::Receiver<Arc<[AcceptorClient]>> {
        self.known.acceptors.clone()
    }

    async fn ask<R>(
        &self,
        question: impl FnOnce(oneshot::Sender<R>) -> Question,
    ) -> Result<R, NoAnswer> {
        let (answer, reply) = oneshot::channel();
        self.questions.try_send(question(answer)).map_err(no_answer)?;
        reply.await.map_err(|_| NoAnswer::Ending)
    }

    /// Proposes, and waits for what becomes of it. Where the wait runs out because
    /// acceptors have no room, it says so.
    pub(crate) async fn propose(&self, proposal: Proposal, wait: Duration) -> ProposalReply {
        let trace = TraceContext::current().filter(|trace| trace.is_sampled());
        let (answer, reply) = oneshot::channel();
        match self
            .questions
            .try_send(Question::Propose { proposal, trace, answer })
            .map_err(no_answer)
        {
            Ok(()) => {}
            Err(busy @ NoAnswer::Busy) => {
                return ProposalReply::Overloaded { limit: busy.to_string() };
            }
            Err(NoAnswer::Ending) => return ProposalReply::NotLeading,
        }
        // A driver that ends leaves its proposals to the next leader.
        match timeout(wait, reply).await.ok().and_then(Result::ok) {
            Some(reply) => reply,
            None => match self.status().await.ok().and_then(|status| status.core.no_room) {
                Some(limit) => ProposalReply::Overloaded { limit },
                None => ProposalReply::Unresolved,
            },
        }
    }

    pub(crate) async fn heartbeat(
        &self,
        heartbeat: Heartbeat,
    ) -> Result<Result<HeartbeatReply, TooFar>, NoAnswer> {
        self.ask(|answer| Question::Heartbeat { heartbeat, answer }).await
    }

    /// Another coordinator is about to end.
    pub(crate) async fn ending(&self, instance: Instance) -> Result<HeartbeatReply, NoAnswer> {
        self.ask(|answer| Question::Ending { instance, answer }).await
    }

    /// Asks for another primary, and waits for what becomes of that.
    pub(crate) async fn primary(
        &self,
        request: PrimaryRequest,
        wait: Duration,
    ) -> Result<PrimaryReply, NoAnswer> {
        let asked = self.ask(|answer| Question::Primary { request, answer });
        match timeout(wait, asked).await {
            Ok(Err(busy @ NoAnswer::Busy)) => Err(busy),
            // A view that is proposed stays so.
            Ok(Err(NoAnswer::Ending)) | Err(_) => Ok(PrimaryReply::Unresolved),
            Ok(Ok(reply)) => Ok(reply),
        }
    }

    /// Asks for other acceptors, and waits for what becomes of that.
    pub(crate) async fn acceptors(
        &self,
        request: AcceptorsRequest,
        survey: Survey,
        wait: Duration,
    ) -> Result<AcceptorsReply, NoAnswer> {
        let asked = self.ask(|answer| Question::Acceptors { request, survey, answer });
        match timeout(wait, asked).await {
            Ok(Err(busy @ NoAnswer::Busy)) => Err(busy),
            // A stop that is proposed stays so.
            Ok(Err(NoAnswer::Ending)) | Err(_) => Ok(AcceptorsReply::Unresolved),
            Ok(Ok(reply)) => Ok(reply),
        }
    }

    /// Whether it leads.
    pub(crate) fn leads(&self) -> bool {
        self.known.progress.borrow().phase == Phase::Phase2
    }

    /// Waits until it does not.
    pub(crate) async fn leads_no_more(&self) {
        let mut progress = self.known.progress.clone();
        // A driver that has ended leads no more either.
        let _ended = progress.wait_for(|position| position.phase != Phase::Phase2).await;
    }

    /// Chosen entries from a slot on; where there are none yet, waits for them.
    pub(crate) async fn chosen(
        &self,
        from: Slot,
        limits: PageLimits,
        wait: Duration,
    ) -> Result<ChosenLookup, NoAnswer> {
        let mut progress = self.known.progress.clone();
        let first = self.look_up(from, limits, &mut progress).await?;
        if !is_empty(&first) {
            return Ok(first);
        }
        let later = async {
            loop {
                progress.changed().await.map_err(|_| NoAnswer::Ending)?;
                let found = self.look_up(from, limits, &mut progress).await?;
                if !is_empty(&found) {
                    return Ok(found);
                }
            }
        };
        timeout(wait, later).await.unwrap_or(Ok(first))
    }

    async fn look_up(
        &self,
        from: Slot,
        limits: PageLimits,
        progress: &mut watch::Receiver<Position>,
    ) -> Result<ChosenLookup, NoAnswer> {
        progress.mark_unchanged();
        self.ask(|answer| Question::Chosen { from, limits, answer }).await
    }

    /// Who is primary of an epoch, as far as it is known here.
    pub(crate) async fn primary_of(&self, epoch: Epoch) -> Result<Option<Name>, NoAnswer> {
        self.ask(|answer| Question::PrimaryOf { epoch, answer }).await
    }

    pub(crate) async fn status(&self) -> Result<DriverStatus, NoAnswer> {
        self.ask(|answer| Question::Status { answer }).await
    }

    /// What people must mend.
    pub(crate) fn troubles(&self) -> Vec<Trouble> {
        self.known.troubles.borrow().clone()
    }

    /// What the coordinator waits for before it can be of use, in words.
    pub(crate) fn waiting_for(&self) -> Option<String> {
        self.known.waiting_for.borrow().clone()
    }
}

fn no_answer(error: TrySendError<Question>) -> NoAnswer {
    match error {
        TrySendError::Full(_) => NoAnswer::Busy,
        TrySendError::Closed(_) => NoAnswer::Ending,
    }
}

fn is_empty(lookup: &ChosenLookup) -> bool {
    match lookup {
        ChosenLookup::Here(ChosenReply::Entries { entries, .. }) => entries.is_empty(),
        ChosenLookup::Here(ChosenReply::Trimmed { .. } | ChosenReply::Unavailable)
        | ChosenLookup::Older { .. } => false,
    }
}
