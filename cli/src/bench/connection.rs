//! One client's connection: HTTP/1.1, kept alive, opened again when it broke. It is one of
//! those by which services call each other, as every microsecond spent here is taken from a
//! cluster on the same cores.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use shared::client::{Connections, Pool, PoolLimits};
use shared::tls::Calls;
use tokio::time::timeout;
use url::{Position, Url};

use super::tally::Outcome;

/// The longest wait for an answer: above the services' own deadline (10 s).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest wait for a connection: the cluster may be far away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client with at most one request under way.
pub(crate) struct Connection(Arc<Connections>);

impl Connection {
    /// Opens nothing yet.
    pub(crate) fn new(url: &Url) -> anyhow::Result<Self> {
        let limits = PoolLimits { connect_timeout: CONNECT_TIMEOUT, ..PoolLimits::default() };
        let pool = Pool::new(limits).calling(Calls::of_process());
        Ok(Self(pool.to(&url[..Position::BeforePath])?))
    }

    /// Sends a request, and says how it ended.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Outcome {
        match self.send(request).await {
            Ok(status) if status.is_success() => Outcome::Done,
            Ok(status) => Outcome::Failed(status.to_string()),
            Err(error) => Outcome::Failed(error.to_string()),
        }
    }

    /// Sends a request and takes the whole answer.
    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<StatusCode> {
        timeout(ANSWER_TIMEOUT, self.exchange(request)).await.context("no answer in time")?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> anyhow::Result<StatusCode> {
        let response = self.0.send(request).await?;
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(status)
    }
}
