//! Calls to acceptors: each a task that ends by itself and says how it ended.
#![expect(clippy::disallowed_methods, reason = "the shell starts tasks")]

use std::future::Future;

use shared::client::{AcceptorClient, CallError};
use shared::config::BaseUrl;
use shared::ids::Ballot;
use shared::message::{
    Accept, AcceptReply, Prepare, PrepareReply, SuccessionReply, SuccessionRequest, Watermarks,
};
use shared::telemetry::{self, TraceContext};
use tokio::sync::mpsc;
use tracing::{Instrument as _, Span};

use crate::config::shell::{ACCEPT_TIMEOUT, POLL_TIMEOUT, PREPARE_TIMEOUT, SUCCESSION_TIMEOUT};
use crate::driver::outbox::OutgoingAccept;
use crate::effect::{AcceptorIndex, PollNumber};

/// How a call ended. Sent for each, also where there is no answer: the outbox counts.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) at: AcceptorIndex,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Watermarks { poll: PollNumber, result: Result<Watermarks, CallError> },
    Prepare { ballot: Ballot, result: Result<PrepareReply, CallError> },
    Accept { ballot: Ballot, result: Result<AcceptReply, CallError> },
    Succession { result: Box<Result<SuccessionReply, CallError>> },
}

impl Outcome {
    pub(crate) fn error(&self) -> Option<&CallError> {
        match self {
            Self::Watermarks { result, .. } => result.as_ref().err(),
            Self::Prepare { result, .. } => result.as_ref().err(),
            Self::Accept { result, .. } => result.as_ref().err(),
            Self::Succession { result } => result.as_ref().as_ref().err(),
        }
    }
}

/// Where calls to one acceptor start.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    at: AcceptorIndex,
    client: AcceptorClient,
    ended: mpsc::Sender<Ended>,
}

impl Caller {
    pub(crate) fn new(
        at: AcceptorIndex,
        client: AcceptorClient,
        ended: mpsc::Sender<Ended>,
    ) -> Self {
        Self { at, client, ended }
    }

    fn spawn(&self, call: impl Future<Output = Outcome> + Send + 'static) {
        let (at, ended) = (self.at, self.ended.clone());
        tokio::spawn(async move {
            let outcome = call.await;
            // The driver has gone when the service ends.
            let _gone = ended.send(Ended { at, outcome }).await;
        });
    }

    pub(crate) fn poll(&self, poll: PollNumber) {
        let client = self.client.clone();
        self.spawn(async move {
            Outcome::Watermarks { poll, result: client.watermarks(POLL_TIMEOUT).await }
        });
    }

    pub(crate) fn prepare(&self, message: Prepare) {
        let client = self.client.clone();
        self.spawn(async move {
            let result = client.prepare(&message, PREPARE_TIMEOUT).await;
            Outcome::Prepare { ballot: message.ballot, result }
        });
    }

    pub(crate) fn client(&self) -> &AcceptorClient {
        &self.client
    }

    pub(crate) fn succession(&self, request: SuccessionRequest) {
        let client = self.client.clone();
        self.spawn(async move {
            let result = client.succession(&request, SUCCESSION_TIMEOUT).await;
            Outcome::Succession { result: Box::new(result) }
        });
    }

    pub(crate) fn accept(&self, outgoing: OutgoingAccept) {
        let (client, OutgoingAccept { accept, traces }) = (self.client.clone(), outgoing);
        let span = accept_span(client.url(), &accept, &traces);
        let context = telemetry::of_span(&span).or(traces.first().copied());
        let call = async move {
            let result = client.accept(&accept, ACCEPT_TIMEOUT).await;
            Span::current().record("answer", answer_of(&result));
            Outcome::Accept { ballot: accept.ballot, result }
        };
        match context {
            Some(context) => {
                self.spawn(telemetry::in_context(context.to_context(), call.instrument(span)))
            }
            None => self.spawn(call),
        }
    }
}

/// The span of a request that votes are asked with: below the first proposal in it,
/// linked to the others. Signs of life have none.
fn accept_span(url: &BaseUrl, accept: &Accept, traces: &[TraceContext]) -> Span {
    let [first, others @ ..] = traces else { return Span::none() };
    if !telemetry::is_recording() {
        return Span::none();
    }
    let span = tracing::info_span!(
        parent: None,
        "coordinator.accept",
        otel.kind = "client",
        ballot = %accept.ballot,
        slot = accept.proposals.first().map(|proposal| proposal.slot.0),
        slots = accept.proposals.len(),
        url = %url,
        answer = tracing::field::Empty,
    );
    telemetry::set_parent(&span, first.to_context());
    others.iter().for_each(|other| telemetry::link(&span, *other));
    span
}

/// What an acceptor answered, in a word.
fn answer_of(result: &Result<AcceptReply, CallError>) -> &'static str {
    match result {
        Ok(AcceptReply::Accepted(_)) => "accepted",
        Ok(AcceptReply::Nack(_)) => "nack",
        Ok(AcceptReply::Stranger(_)) => "stranger",
        Ok(AcceptReply::Full(_)) => "full",
        Err(_) => "none",
    }
}
