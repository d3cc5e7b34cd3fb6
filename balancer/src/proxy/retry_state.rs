//! What is known of a request after some attempts, and what its client is told for it.

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use shared::problem::{self, Outcome, Problem};
use shared::random;
use shared::repeat::Repeatable;

use super::attempts::MAX_PROBLEM_BYTES;
use super::{Buffered, SLACK};
use crate::pool::{EndpointId, Intent, Pool, Start, Target};
use crate::retry::{self, Failure, Repeat};

/// What an attempt came to.
pub(super) enum Attempt {
    /// An answer for the client.
    Answer(Response<Body>),
    /// An answer for the client, unless another replica has a better one; and whether the
    /// mutation may have happened all the same.
    NotNow(Response<Body>, MayHaveHappened),
    /// The replica became unable to answer while the request waited for it.
    Lost,
    Failed(Failure),
}

/// What is known of a mutation after an attempt without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MayHaveHappened {
    Yes,
    No,
}

/// An attempt that has ended.
pub(super) struct Ended {
    pub(super) target: Target,
    pub(super) start: Start,
    pub(super) sending: Sending,
    pub(super) attempt: Attempt,
}

/// How a request is sent this time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    /// Which attempt it is.
    pub(super) attempt: usize,
    /// By which name it may be sent again.
    pub(super) name: Option<Repeatable>,
    pub(super) repeat: Repeat,
    /// Who the primary is then.
    pub(super) primary: Option<EndpointId>,
    /// Whether the replica that it is sent to has broken off with it already.
    pub(super) broke_before: bool,
}

/// What is known of a request after some attempts.
pub(super) struct RetryState {
    attempts: usize,
    /// By which name a mutation without a key was sent last.
    name: Option<Repeatable>,
    happened: MayHaveHappened,
    /// Who was the last known primary when it was sent last.
    primary: Option<EndpointId>,
    /// Who broke off while it had the request, each life once: seen from here, or by a replica
    /// that had asked the primary.
    broken: Vec<EndpointId>,
    /// Whether what was found in this round may pass by itself.
    may_pass: bool,
    /// What the client is told if nothing better comes.
    pub(super) last: Option<Result<Response<Body>, Problem>>,
}

impl RetryState {
    pub(super) fn new() -> Self {
        let happened = MayHaveHappened::No;
        let (primary, broken) = (None, Vec::new());
        Self { attempts: 0, name: None, happened, primary, broken, may_pass: false, last: None }
    }

    /// A round of asking begins.
    pub(super) fn begin_round(&mut self) {
        self.may_pass = false;
    }

    /// Whether the round that has ended, in which another replica might have done where this
    /// says so, is to be followed by one more.
    pub(super) fn may_pass(&self, another_might_do: bool) -> bool {
        (self.may_pass || another_might_do) && self.broken.len() <= retry::MOST_BROKEN
    }

    /// The next attempt. While none before can have been executed, the request gets a name
    /// of its own, and with it the latest that is known to be executed.
    pub(super) fn next(&mut self, request: &Buffered, to: EndpointId, pool: &Pool) -> Sending {
        self.attempts += 1;
        let may_be_named = retry::may_be_named(&request.method, request.path.path());
        let is_harmful = request.repeat == Repeat::Harmful;
        if is_harmful && may_be_named && self.happened == MayHaveHappened::No {
            let named = |since| Repeatable { identity: random::identity(), since };
            self.name = pool.named_since().map(named);
        }
        self.primary = pool.last_primary().or(self.primary);
        Sending {
            attempt: self.attempts,
            name: self.name,
            repeat: self.repeat(request),
            primary: pool.primary(),
            broke_before: self.broken.contains(&to),
        }
    }

    /// Whether it does harm to send the request once more.
    fn repeat(&self, request: &Buffered) -> Repeat {
        if self.name.is_some() { Repeat::Harmless } else { request.repeat }
    }

    /// The problem of the balancer's own that a request ends with after this.
    pub(super) fn refuse(&self, problem: Problem) -> Problem {
        match self.happened {
            MayHaveHappened::Yes => problem.with_outcome(Outcome::Unknown),
            MayHaveHappened::No => problem,
        }
    }

    /// Takes in what an attempt came to; what settles the request is given back.
    pub(super) async fn take(
        &mut self,
        request: &Buffered,
        Ended { target, sending, attempt, .. }: Ended,
    ) -> Option<Result<Response<Body>, Problem>> {
        match attempt {
            // Too much at once, after an attempt that may have been executed: that is worth a
            // wait.
            Attempt::Answer(response) if self.is_open(response.status()) => {
                match settled(self.happened, request, response).await {
                    executed @ Ok(_) => return Some(executed),
                    open @ Err(_) => (self.may_pass, self.last) = (true, Some(open)),
                }
            }
            Attempt::Answer(response) => {
                return Some(settled(self.happened, request, response).await);
            }
            Attempt::NotNow(response, may_have) => {
                if response.status() == StatusCode::BAD_GATEWAY {
                    self.broke_off(self.primary.unwrap_or(target.id));
                }
                self.may_pass |= retry::may_pass(response.status());
                self.last = Some(settled(self.happened, request, response).await);
                if may_have == MayHaveHappened::Yes {
                    self.happened = may_have;
                }
            }
            Attempt::Lost => {
                self.may_pass = true;
                self.last = Some(Err(retry::lost(request.intent, target.member.name.as_str())));
                if request.intent == Intent::Mutation {
                    self.happened = MayHaveHappened::Yes;
                }
            }
            Attempt::Failed(failure) => {
                let name = &target.member.name;
                tracing::debug!(endpoint = %name, ?failure, "an attempt failed");
                let problem = retry::give_up(request.intent, name.as_str(), &failure);
                let problem = self.refuse(problem);
                if matches!(failure, Failure::Broken(_)) {
                    self.broke_off(target.id);
                }
                let is_blamed =
                    request.intent == Intent::Mutation && self.broken.len() > retry::MOST_BROKEN;
                if is_blamed || !retry::may_go_elsewhere(self.repeat(request), &failure) {
                    return Some(Err(problem));
                }
                self.may_pass |=
                    retry::failure_may_pass(request.intent, &failure, sending.broke_before);
                if retry::leaves_open(request.intent, Some(problem.body())) {
                    self.happened = MayHaveHappened::Yes;
                }
                self.last = Some(Err(problem));
            }
        }
        None
    }

    fn is_open(&self, status: StatusCode) -> bool {
        self.happened == MayHaveHappened::Yes && status == StatusCode::SERVICE_UNAVAILABLE
    }

    fn broke_off(&mut self, who: EndpointId) {
        if !self.broken.contains(&who) {
            self.broken.push(who);
        }
    }
}

/// What the client is told by an answer, where an attempt before it may have been executed:
/// a refusal then is of this attempt only.
async fn settled(
    happened: MayHaveHappened,
    request: &Buffered,
    response: Response<Body>,
) -> Result<Response<Body>, Problem> {
    if happened == MayHaveHappened::No || response.status().is_success() {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let body = Limited::new(body, MAX_PROBLEM_BYTES).collect();
    let body = match tokio::time::timeout_at(request.deadline.at() + SLACK, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) | Err(_) => {
            parts.headers.remove(header::CONTENT_LENGTH);
            Bytes::new()
        }
    };
    let problem: Option<problem::Body> = serde_json::from_slice(&body).ok();
    if retry::settles(parts.status, problem.as_ref(), request.waits_in_line) {
        return Ok(Response::from_parts(parts, Body::from(body)));
    }
    Err(retry::left_open(parts.status, problem.as_ref().map_or("", |problem| &problem.detail)))
}
