//! One round of asking: a request, sent to as many replicas as is safe and of use.

use std::pin::pin;

use axum::body::Body;
use bytes::Bytes;
use futures::future::{Fuse, FusedFuture as _, OptionFuture};
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use shared::client::{AnswerBody, Pool};
use shared::message::Service;
use shared::mux::REQUEST_BYTES;
use shared::problem::{self, Problem};
use shared::telemetry::{self, RequestTrace};

use super::endless::is_endless;
use super::lateness::Lateness;
use super::retry_state::{Attempt, Ended, MayHaveHappened, RetryState, Sending};
use super::{Buffered, Proxy, SLACK};
use crate::endpoints::{Awaits, InFlight};
use crate::headers::strip_hop_by_hop;
use crate::pool::{EndpointId, Health, Intent, Start};
use crate::retry::{self, Failure, Repeat};

/// The longest problem of a replica that is looked into, in bytes. A longer one counts as
/// an answer that broke off.
pub(super) const MAX_PROBLEM_BYTES: usize = 64 * 1024;
/// Below which single keys are.
const KEYS: &str = "/v1/kv/";
/// Replicas that one read waits for at once: enough to get past one that hangs and one
/// that is slow, few enough that slowness of all is not made much worse.
const MAX_AT_ONCE: usize = 3;

/// Whom a round of asking may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Each replica that is able, until one has a good answer.
    First,
    /// One of them, and others only where that is a slow read: those who wait are many.
    Later,
}

/// What a round came to.
pub(super) enum RoundResult {
    /// The client's answer.
    Settled(Result<Response<Body>, Problem>),
    /// None that is good, which may pass.
    NotNow,
    /// None that is good, and waiting changes nothing.
    InVain,
}

impl Proxy {
    /// Sends the request to one replica after another: to the next when one has failed,
    /// or is slow to answer a read. Each is asked once; the first good answer counts. What
    /// is sent beyond the first is paid for from a budget; once that is spent, the request
    /// may still wait (`waiting`).
    pub(super) async fn ask_around(
        &self,
        request: &Buffered,
        trace: &RequestTrace,
        round: Round,
        state: &mut RetryState,
    ) -> RoundResult {
        let mut tried: Vec<EndpointId> = Vec::new();
        let mut next = Some(match round {
            Round::First => Start::First,
            Round::Later => Start::Waited,
        });
        let mut lateness = Lateness::new(self.patience.slow_read_after);
        state.begin_round();
        // Most requests need one attempt, which then takes no memory of its own.
        let mut first = pin!(Fuse::terminated());
        let mut others: Option<FuturesUnordered<_>> = None;
        loop {
            let has_time = tried.is_empty() || !request.asked_until.remaining().is_zero();
            let mut running = usize::from(!first.is_terminated())
                + others.as_ref().map_or(0, FuturesUnordered::len);
            let start = next.take().filter(|_| has_time && running < MAX_AT_ONCE);
            if let Some(start) = start
                && let Some(in_flight) = self.endpoints.begin(&request.wanted(start, &tried))
            {
                if start == Start::First && request.is_hedged {
                    lateness.hedge_after(in_flight.hedge_after());
                }
                let to = in_flight.target().id;
                tried.push(to);
                let sending = self.endpoints.read(|pool| state.next(request, to, pool));
                self.count(trace, start, sending.attempt);
                let attempt = self.attempt(request, start, sending, in_flight);
                if running == 0 {
                    first.set(attempt.fuse());
                } else {
                    others.get_or_insert_default().push(attempt);
                }
                running += 1;
            }
            let ended = tokio::select! {
                ended = first.as_mut(), if !first.is_terminated() => ended,
                Some(Some(ended)) = OptionFuture::from(others.as_mut().map(StreamExt::next)) => {
                    ended
                }
                start = lateness.wait(request), if running > 0 => {
                    next = Some(start);
                    continue;
                }
                else => break,
            };
            telemetry::attribute(trace.span(), "endpoint", ended.target.member.name.to_string());
            let was_hedge = ended.start == Start::Hedge;
            if let Some(settled) = state.take(request, ended).await {
                self.measured.hedges_won.inc_by(u64::from(was_hedge));
                return RoundResult::Settled(settled);
            }
            next = (round == Round::First).then_some(Start::Retry);
        }
        // Another one might do, but not at once.
        let budget_spent =
            !tried.is_empty() && self.endpoints.read(|pool| pool.retries().left() == 0);
        if state.may_pass(budget_spent) || tried.is_empty() && self.may_become_able() {
            RoundResult::NotNow
        } else {
            RoundResult::InVain
        }
    }

    /// What the client is told where no round settled its request.
    pub(super) fn give_up(
        &self,
        request: &Buffered,
        mut state: RetryState,
    ) -> Result<Response<Body>, Problem> {
        let last = state.last.take();
        last.unwrap_or_else(|| Err(state.refuse(self.nobody_able(request.intent))))
    }

    fn count(&self, trace: &RequestTrace, start: Start, attempt: usize) {
        if start == Start::Hedge {
            self.measured.hedges.inc();
        } else if attempt > 1 {
            self.measured.retries.inc();
        }
        let attempt = i64::try_from(attempt).unwrap_or(i64::MAX);
        telemetry::attribute(trace.span(), "attempt", attempt);
    }

    fn nobody_able(&self, intent: Intent) -> Problem {
        self.endpoints.read(|pool| retry::nobody_able(intent, pool))
    }

    /// Whether it may pass by itself that no replica is able to answer: not where healthy
    /// ones have said for a while that they have no quorum, or cannot get what was chosen, nor
    /// where the operator has drained all.
    fn may_become_able(&self) -> bool {
        let now = self.endpoints.now();
        self.endpoints.read(|pool| {
            if pool.lost_quorum_lately(now) {
                return true;
            }
            let drained = pool.drained().count();
            let serving = pool.endpoints().count() - drained;
            let healthy_drained =
                pool.drained().filter(|endpoint| endpoint.health == Health::Healthy).count();
            pool.healthy() == healthy_drained && (serving > 0 || drained == 0)
        })
    }

    /// Sends the request to one replica.
    async fn attempt(
        &self,
        request: &Buffered,
        start: Start,
        sending: Sending,
        in_flight: InFlight,
    ) -> Ended {
        let target = in_flight.target().clone();
        let attempt = self.send(request, sending, in_flight).await;
        Ended { target, start, sending, attempt }
    }

    async fn send(&self, request: &Buffered, sending: Sending, in_flight: InFlight) -> Attempt {
        let limit = request.deadline.at() + SLACK;
        let outgoing = request.outgoing(sending, self.endpoints.cluster());
        let sent = send_to(&in_flight.target().member.url, outgoing);
        let sent = tokio::time::timeout_at(limit, sent);
        // Who waits in line for a lock is kept in it by the replica, whoever is primary.
        let awaits = match request.intent {
            Intent::Mutation if !request.waits_in_line => Awaits::Primary(sending.primary),
            Intent::Mutation | Intent::Read | Intent::LocalRead => Awaits::Endpoint,
        };
        let lost = self.endpoints.lost(in_flight.target().id, request.intent, awaits);
        let sent = match sending.repeat {
            Repeat::Harmful => sent.await,
            // It needs not wait for a replica that cannot answer it any more: it loses
            // nothing by starting again elsewhere.
            Repeat::Harmless => tokio::select! {
                sent = sent => sent,
                () = lost => return Attempt::Lost,
            },
        };
        match sent {
            Ok(Ok(response)) => {
                let replica = in_flight.target().id;
                in_flight.answered();
                if response.status().is_success() && is_endless(&request.path) {
                    let (mut parts, body) = response.into_parts();
                    strip_hop_by_hop(&mut parts.headers);
                    let body = self.endless(replica, body);
                    return Attempt::Answer(Response::from_parts(parts, body));
                }
                tokio::time::timeout_at(limit, judge(request.intent, sending.repeat, response))
                    .await
                    .unwrap_or(Attempt::Failed(Failure::TimedOut(request.deadline.timeout())))
            }
            // It may be the request's fault; if it is the replica's, the checks will tell.
            Ok(Err(failure @ Failure::NotTaken(_))) => Attempt::Failed(failure),
            Ok(Err(failure)) => {
                // One request alone makes nobody unhealthy.
                if !sending.broke_before {
                    in_flight.failed();
                }
                Attempt::Failed(failure)
            }
            // Whose fault that is, the checks will tell.
            Err(_) => Attempt::Failed(Failure::TimedOut(request.deadline.timeout())),
        }
    }
}

/// Sends the request over the connections to the replica at the URL: that of a single key, which
/// is most of them, with others.
async fn send_to(url: &str, request: Request<Bytes>) -> Result<Response<AnswerBody>, Failure> {
    let connections = Pool::of_process().to_a(Some(Service::Replica), url)?;
    let is_put_or_got = [Method::GET, Method::PUT].contains(request.method());
    let is_short = is_put_or_got
        && request.uri().path().starts_with(KEYS)
        && request.body().len() <= REQUEST_BYTES;
    Ok(if is_short {
        connections.send_short(request).await?
    } else {
        connections.send(request.map(Full::new)).await?
    })
}

/// Makes an answer ready for the client. Of a doubtful one it reads the problem, to see
/// whether another replica may do better.
async fn judge(intent: Intent, repeat: Repeat, response: Response<AnswerBody>) -> Attempt {
    let (mut parts, body) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    if !retry::is_doubtful(repeat, parts.status) {
        return Attempt::Answer(Response::from_parts(parts, Body::new(body)));
    }
    let body = match Limited::new(body, MAX_PROBLEM_BYTES).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return Attempt::Failed(Failure::Broken(error.to_string())),
    };
    let problem: Option<problem::Body> = serde_json::from_slice(&body).ok();
    let response = Response::from_parts(parts, Body::from(body));
    if retry::is_not_now(intent, repeat, problem.as_ref()) {
        let may_have = if retry::leaves_open(intent, problem.as_ref()) {
            MayHaveHappened::Yes
        } else {
            MayHaveHappened::No
        };
        Attempt::NotNow(response, may_have)
    } else {
        Attempt::Answer(response)
    }
}
