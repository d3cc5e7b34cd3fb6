//! A load: how many clients, on what, for how long; and the closed loop that most are.

use std::slice::from_ref;
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use client::Client;
use futures::future::try_join_all;
use http::{Method, Request, header};
use http_body_util::Full;
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use super::connection::Connection;
use super::tally::{Measured, Outcome, Tally};
use crate::token;

/// The pause of a client after an error; without it a refusing cluster would be measured
/// by how fast it refuses.
pub(super) const ERROR_PAUSE: Duration = Duration::from_millis(5);
/// What leases last beyond the measurement.
const LEASE_SPARE: Duration = Duration::from_secs(60);

/// A request that a client sends.
pub(super) type Sent = Request<Full<Bytes>>;

/// A number of clients on keys of their own.
pub(crate) struct Load {
    pub(crate) url: Url,
    pub(crate) prefix: String,
    pub(crate) clients: usize,
    pub(crate) value_bytes: usize,
    pub(crate) duration: Duration,
}

impl Load {
    /// A closed loop: each client sends its next request when it has the answer to its last.
    /// `requests` gives those of a client, by their number.
    pub(super) async fn closed_loop<R>(
        &self,
        requests: impl Fn(usize) -> R,
    ) -> anyhow::Result<Measured>
    where
        R: Fn(u64) -> http::Result<Sent>,
    {
        let tally = Tally::over(self.duration)?;
        let note = |sent, outcome| tally.note(sent, outcome);
        let clients = (0..self.clients).map(|client| self.client(requests(client), &note));
        try_join_all(clients).await?;
        Ok(tally.measured())
    }

    /// One client, until `note` says that it is enough. `note` gets when a request was
    /// sent, and how it ended.
    pub(super) async fn client(
        &self,
        requests: impl Fn(u64) -> http::Result<Sent>,
        note: &impl Fn(Instant, Outcome) -> bool,
    ) -> anyhow::Result<()> {
        let mut connection = Connection::new(&self.url)?;
        for turn in 0.. {
            let request = requests(turn)?;
            let sent = Instant::now();
            let outcome = connection.ask(request).await;
            let failed = matches!(outcome, Outcome::Failed(_));
            if !note(sent, outcome) {
                break;
            }
            if failed {
                sleep(ERROR_PAUSE).await;
            }
        }
        Ok(())
    }

    /// A request for a path, and with this as its body.
    pub(super) fn request(
        &self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> http::Result<Sent> {
        let base = self.url.path().trim_end_matches('/');
        let mut request = Request::builder().method(method).uri(format!("{base}{path}"));
        if let Some(secret) = token::given() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        }
        request.body(Full::new(body.into()))
    }

    /// The same, with JSON.
    pub(super) fn json(&self, method: Method, path: &str, body: &Value) -> http::Result<Sent> {
        self.request(method, path, body.to_string())
    }

    /// A value that is written.
    pub(super) fn value(&self) -> Bytes {
        Bytes::from(vec![b'x'; self.value_bytes])
    }

    /// For what is no request of the measurement itself.
    pub(super) fn aside(&self) -> anyhow::Result<Client> {
        Ok(token::with_token(Client::of_urls(from_ref(&self.url))?))
    }

    /// Grants each client a lease that outlasts the measurement.
    pub(super) async fn grant_leases(&self) -> anyhow::Result<Vec<u64>> {
        let aside = self.aside()?;
        let grants = (0..self.clients).map(|_| async {
            Ok::<u64, client::Error>(aside.grant_lease(self.duration + LEASE_SPARE).await?.id)
        });
        try_join_all(grants).await.context("cannot grant a lease to each client")
    }

    /// Ends them again.
    pub(super) async fn revoke_leases(&self, leases: &[u64]) -> anyhow::Result<()> {
        let aside = self.aside()?;
        let revoke = |id: &u64| aside.revoke_lease(*id).into_future();
        try_join_all(leases.iter().map(revoke)).await.context("cannot end the leases again")?;
        Ok(())
    }
}
