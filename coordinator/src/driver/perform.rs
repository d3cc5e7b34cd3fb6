//! What the core says is done: messages go to the callers, replies to whoever waits, and
//! timers are set.
#![expect(clippy::disallowed_methods, reason = "the shell reads clocks")]

use std::net::{Ipv4Addr, SocketAddr};

use shared::client::AcceptorClient;
use shared::config::{BaseUrl, Scheme};
use shared::message::{ProposalReply, SuccessionRequest};
use shared::random;
use shared::telemetry::TraceContext;
use tokio::time::Instant;

use super::{Acceptor, Driver, Waiter};
use crate::config::shell::{POLLS_IN_FLIGHT, PREPARES_IN_FLIGHT, SUCCESSIONS_IN_FLIGHT};
use crate::driver::calls::Caller;
use crate::effect::{AcceptorIndex, Effect};

impl Driver {
    pub(super) fn perform(&mut self, effect: Effect, trace: Option<TraceContext>) {
        self.reporter.effect(&effect);
        match effect {
            Effect::PollWatermarks { to, poll } => {
                if let Some(acceptor) =
                    self.acceptors.get_mut(to.0).filter(|acceptor| acceptor.polls < POLLS_IN_FLIGHT)
                {
                    acceptor.polls += 1;
                    acceptor.caller.poll(poll);
                }
            }
            Effect::Prepare { to, message } => {
                let free = |acceptor: &&mut Acceptor| acceptor.prepares < PREPARES_IN_FLIGHT;
                if let Some(acceptor) = self.acceptors.get_mut(to.0).filter(free) {
                    acceptor.prepares += 1;
                    acceptor.caller.prepare(message);
                }
            }
            Effect::Accept { to, message } => {
                if let Some(trace) = trace {
                    self.traces
                        .extend(message.proposals.iter().map(|proposal| (proposal.slot, trace)));
                }
                if let Some(acceptor) = self.acceptors.get_mut(to.0) {
                    acceptor.outbox.push(message, &self.traces);
                }
            }
            Effect::Arm { timer, after, jitter } => {
                self.timers.insert(timer, Instant::now() + after + random::jitter(jitter));
            }
            Effect::ProposalReply { id, reply } => {
                self.measured.proposal_answered(&reply);
                if let Some(Waiter { since, trace, answer }) = self.waiters.remove(&id) {
                    if matches!(reply, ProposalReply::Chosen { .. }) {
                        let took = since.elapsed().as_secs_f64();
                        let recorded = trace.filter(|trace| trace.is_sampled());
                        let recorded = recorded.map(TraceContext::trace_id_hex);
                        self.measured.chosen_seconds.observe(took, recorded);
                    }
                    let _gone = answer.send(reply);
                }
            }
            Effect::PrimaryReply { id, reply } => {
                if let Some(waiter) = self.primary_waiters.remove(&id) {
                    let _gone = waiter.send(reply);
                }
            }
            Effect::Survey { id, urls } => self.to_survey.push((id, urls)),
            Effect::Succession { to, request } => self.tell(to, request),
            Effect::NewAcceptor { at, url } => self.add_acceptor(at, &url),
            Effect::AcceptorsReply { id, reply } => {
                if let Some(waiter) = self.acceptors_waiters.remove(&id) {
                    let _gone = waiter.send(reply);
                }
            }
            Effect::Succeeded(_) => self.publish_acceptors(),
            Effect::Chosen(_) => {
                self.measured.decisions.inc();
            }
            Effect::PhaseChanged(change) => {
                self.measured.phase_changed(change);
                self.traces.clear();
                self.acceptors.iter_mut().for_each(|acceptor| acceptor.outbox.clear());
                self.pacing.restart();
            }
            Effect::WrongCluster(wrong) => self.wrong_cluster = Some(wrong),
            Effect::ViewProposed { slot: _, view } => {
                self.measured.view_proposed(self.core.view(), &view);
            }
            Effect::VotesLost(_)
            | Effect::ClaimRefused { .. }
            | Effect::RosterKnown(_)
            | Effect::SuccessionKnown(_)
            | Effect::NotACluster(_)
            | Effect::ForeignAcceptor { .. } => {}
        }
    }

    /// Tells an acceptor of a succession, unless it is away.
    fn tell(&mut self, to: AcceptorIndex, request: SuccessionRequest) {
        let free = |acceptor: &&mut Acceptor| acceptor.successions < SUCCESSIONS_IN_FLIGHT;
        if let Some(acceptor) = self.acceptors.get_mut(to.0).filter(free) {
            acceptor.successions += 1;
            acceptor.caller.succession(request);
        }
    }

    fn add_acceptor(&mut self, at: AcceptorIndex, url: &str) {
        assert_eq!(at.0, self.acceptors.len(), "the place of a new acceptor");
        // It was checked before it was chosen; what is forged leads nowhere.
        let nowhere = |_| BaseUrl::of(Scheme::Http, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let url = url.parse().unwrap_or_else(nowhere);
        self.reporter.add(url.clone());
        let caller = Caller::new(at, AcceptorClient::new(url), self.calls.clone());
        self.acceptors.push(Acceptor::new(caller, self.limits));
    }

    fn publish_acceptors(&self) {
        let of = |at: AcceptorIndex| self.acceptors.get(at.0);
        let callers = self.core.present().filter_map(of);
        let clients = callers.map(|acceptor| acceptor.caller.client().clone()).collect();
        self.present.send_replace(clients);
    }
}
