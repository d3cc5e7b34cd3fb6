//! Calls to other services, each a task of its own that ends with an input to the core.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use shared::client::{CallError, CoordinatorClient, ReplicaClient};
use shared::config::BaseUrl;
use shared::discovery::{Acceptors, Mixups};
use shared::ids::{ClusterId, Slot};
use shared::message::{ChosenReply, Heartbeat, Member, OfCluster, Proposal};
use shared::telemetry::{Context, TraceContext, in_context};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::probed::Probed;
use crate::metrics::Measured;
use crate::replica::config::Config;
use crate::replica::event::{Attempt, FetchId, Input, NoAnswer, ProbeId, ProbeScope, SourceKind};

/// The most calls at once: acceptors' probes, heartbeats to coordinators that hang, a
/// proposal and a fetch. Beyond it a call is left out: the core makes it again when it is
/// due.
const CALLS: usize = 512;

/// Which piece of the log is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// The cluster of this replica.
    pub(super) cluster: ClusterId,
    /// The first slot.
    pub(super) from: Slot,
    /// How long the source may wait for something new.
    pub(super) wait: Duration,
}

/// Makes calls.
#[derive(Debug)]
pub(super) struct Calls {
    inputs: mpsc::Sender<Input>,
    acceptors: watch::Receiver<Acceptors>,
    mixups: Mixups,
    running: JoinSet<()>,
    probed: Probed,
    fetch: Option<AbortHandle>,
    times: Times,
    measured: Measured,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    probe: Duration,
    propose: Duration,
    heartbeat: Duration,
    fetch: Duration,
}

impl Calls {
    pub(super) fn new(
        inputs: mpsc::Sender<Input>,
        acceptors: watch::Receiver<Acceptors>,
        mixups: Mixups,
        config: &Config,
        measured: Measured,
    ) -> Self {
        let times = Times {
            probe: config.probe_timeout,
            propose: config.proposal_timeout,
            heartbeat: config.leader_expiry,
            fetch: config.fetch_timeout,
        };
        let (running, probed) = (JoinSet::new(), Probed::new());
        Self { inputs, acceptors, mixups, running, probed, fetch: None, times, measured }
    }

    /// Asks acceptors for their watermarks.
    pub(super) fn probe(&mut self, probe: ProbeId, asked: ProbeScope) {
        let present = Arc::clone(&self.acceptors.borrow().clients);
        for (acceptor, answered) in self.probed.next(&present, (probe, asked), Instant::now()) {
            let (timeout, measured) = (self.times.probe, self.measured.clone());
            self.start(async move {
                let began = Instant::now();
                let reply = acceptor.watermarks(timeout).await.map_err(|error| no_answer(&error));
                let took = began.elapsed();
                match reply {
                    Ok(_) => answered.after(took),
                    Err(_) => answered.failed(),
                }
                measured.probed(reply.is_ok(), took.as_secs_f64());
                Input::ProbeReply { probe, reply }
            });
        }
    }

    /// Asks a coordinator to have a batch chosen, in the trace of the batch.
    pub(super) fn propose(
        &mut self,
        to: &Member,
        attempt: Attempt,
        proposal: Proposal,
        trace: Option<TraceContext>,
    ) {
        let (epoch, number, timeout) = (proposal.epoch, proposal.number, self.times.propose);
        let client = url_of(to).map(CoordinatorClient::new);
        let call = async move {
            let reply = match client {
                Ok(client) => {
                    client.propose(&proposal, timeout).await.map_err(|error| no_answer(&error))
                }
                Err(NoAnswer) => Err(NoAnswer),
            };
            Input::ProposalReply { epoch, number, attempt, reply }
        };
        let context = trace.map_or_else(Context::new, TraceContext::to_context);
        self.start(in_context(context, call));
    }

    /// Sends a heartbeat.
    pub(super) fn heartbeat(&mut self, to: &Member, message: Heartbeat) {
        // A sign of life by another one's name would depose that one, which is well.
        if !self.mixups.is_name_own() {
            return;
        }
        let (from, timeout) = (to.name.clone(), self.times.heartbeat);
        let client = url_of(to).map(CoordinatorClient::new);
        self.start(async move {
            let reply = match client {
                Ok(client) => {
                    client.heartbeat(&message, timeout).await.map_err(|error| no_answer(&error))
                }
                Err(NoAnswer) => Err(NoAnswer),
            };
            Input::HeartbeatReply { from, reply }
        });
    }

    /// Asks for a piece of the log; breaks off what was asked before.
    pub(super) fn fetch(
        &mut self,
        fetch: FetchId,
        (kind, source): (SourceKind, &Member),
        wanted: Wanted,
    ) {
        if let Some(before) = self.fetch.take() {
            before.abort();
        }
        let (timeout, url) = (self.times.fetch, url_of(source));
        self.fetch = self.start(async move {
            let reply = match url {
                Ok(url) => {
                    fetch_from(kind, url, wanted, timeout).await.map_err(|error| no_answer(&error))
                }
                Err(NoAnswer) => Err(NoAnswer),
            };
            Input::Fetched { fetch, reply }
        });
    }

    fn start(&mut self, call: impl Future<Output = Input> + Send + 'static) -> Option<AbortHandle> {
        while self.running.try_join_next().is_some() {}
        if self.running.len() >= CALLS {
            tracing::debug!(
                calls = CALLS,
                "too many calls are under way: one is left out, and made again when it is due"
            );
            return None;
        }
        let inputs = self.inputs.clone();
        Some(self.running.spawn(async move {
            let input = call.await;
            // It fails when the process ends.
            let _ = inputs.send(input).await;
        }))
    }
}

async fn fetch_from(
    kind: SourceKind,
    url: BaseUrl,
    Wanted { cluster, from, wait }: Wanted,
    timeout: Duration,
) -> Result<OfCluster<ChosenReply>, CallError> {
    match kind {
        SourceKind::Replica => {
            ReplicaClient::new(url).replication_log(cluster, from, wait, timeout).await
        }
        SourceKind::Coordinator => {
            CoordinatorClient::new(url).chosen(cluster, from, wait, timeout).await
        }
    }
}

pub(super) fn url_of(member: &Member) -> Result<BaseUrl, NoAnswer> {
    member.url.parse().map_err(|error| {
        tracing::debug!(member = %member.name, %error, "announces itself with a URL that is none");
        NoAnswer
    })
}

fn no_answer(error: &CallError) -> NoAnswer {
    tracing::debug!("{error}");
    NoAnswer
}
