//! What is counted.

use crate::metrics::{Counter, Labels, Metrics, Series};
use crate::telemetry::Seldom;

use super::identity::Role;

/// Why a connection did not come to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Plain HTTP was spoken.
    Plain,
    /// Too many were under way.
    Limit,
    /// It took too long.
    Timeout,
    /// The other side's certificate, or what else it said, was refused; or it refused ours.
    Refused,
}

impl Failure {
    /// Their names, in their order.
    const NAMES: [&str; 4] = ["plain", "limit", "timeout", "refused"];
}

/// Why a request was refused by who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It takes a certificate of the cluster.
    Certificate,
    /// It is for others.
    Role,
    /// It speaks for somebody else.
    Name,
}

impl Refusal {
    /// Their names, in their order.
    const NAMES: [&str; 3] = ["certificate", "role", "name"];
}

/// Who asked: the roles in their order, and whoever has none.
const ASKED: usize = Role::ALL.len() + 1;

/// The counters of a service.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    handshakes: [Counter; Failure::NAMES.len()],
    refusals: [[Counter; Refusal::NAMES.len()]; ASKED],
    pub(super) reloaded: Counter,
    pub(super) reload_failed: Counter,
}

impl Counts {
    pub(super) fn failed(&self, failure: Failure) {
        self.handshakes[failure as usize].inc();
    }

    /// A request of somebody was refused.
    pub(super) fn refused(&self, role: Option<Role>, refusal: Refusal, detail: &str) {
        static SAID: Seldom = Seldom::new();
        let known = role.and_then(|role| Role::ALL.iter().position(|it| *it == role));
        self.refusals[known.unwrap_or(Role::ALL.len())][refusal as usize].inc();
        if let Some(left_out) = SAID.may() {
            tracing::warn!(left_out, "a request was refused by who asked: {detail}");
        }
    }

    /// Registers all of them; a service without TLS shows that nothing of this happened.
    pub(crate) fn register(&self, metrics: &mut Metrics) {
        metrics.register(
            "synod_tls_handshakes_failed_total",
            "Connections of others that did not come to TLS",
            Series::by("reason", &Failure::NAMES, &self.handshakes),
        );
        let roles = Role::ALL.map(Role::as_str).into_iter().chain(["none"]);
        let refusals = roles.zip(&self.refusals).flat_map(|(role, counters)| {
            Refusal::NAMES.into_iter().zip(counters).map(move |(reason, counter)| {
                let labels: Labels = vec![("role", role), ("reason", reason)];
                (labels, counter.clone())
            })
        });
        metrics.register(
            "synod_tls_refusals_total",
            "Requests of those who may not ask what they asked, by what their certificate says",
            Series::new(refusals),
        );
        let reloads = [self.reloaded.clone(), self.reload_failed.clone()];
        metrics.register(
            "synod_tls_reloads_total",
            "How often changed files were read, and taken or refused",
            Series::by("result", &["taken", "refused"], &reloads),
        );
    }
}
