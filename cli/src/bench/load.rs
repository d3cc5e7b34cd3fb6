//! The closed loop.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use http::{Method, Request, header};
use http_body_util::Full;
use tokio::time::sleep;
use url::Url;

use super::connection::Connection;
use crate::token;

/// What is not counted at the start: connections are opened and caches filled.
const WARM_UP: Duration = Duration::from_millis(500);
/// The pause of a client after an error; without it a refusing cluster would be measured
/// by how fast it refuses.
const ERROR_PAUSE: Duration = Duration::from_millis(5);
/// A client goes round this many keys of its own.
const KEYS_PER_CLIENT: u64 = 256;
/// The longest latency told apart from longer ones, in microseconds.
const MAX_LATENCY_US: u64 = 120_000_000;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Write,
    LinearizableRead,
    LocalRead,
}

impl Work {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::LinearizableRead => "linearizable read",
            Self::LocalRead => "local read",
        }
    }
}

/// A number of clients on keys of their own.
pub(crate) struct Load {
    pub(crate) url: Url,
    pub(crate) prefix: String,
    pub(crate) clients: usize,
    pub(crate) value_bytes: usize,
    pub(crate) duration: Duration,
}

/// What was measured.
pub(crate) struct Measured {
    /// Of the successful requests, in microseconds.
    pub(crate) latency: Histogram<u64>,
    pub(crate) elapsed: Duration,
    /// How often each error came.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Load {
    /// Runs all clients for the duration.
    pub(crate) async fn run(&self, work: Work) -> anyhow::Result<Measured> {
        match work {
            Work::Write => {}
            Work::LinearizableRead | Work::LocalRead => {
                self.fill().await.context("cannot write what is to be read")?
            }
        }
        let latency = RefCell::new(Histogram::new_with_bounds(1, MAX_LATENCY_US, 3)?);
        let errors = RefCell::new(BTreeMap::new());
        let begin = Instant::now() + WARM_UP;
        let end = begin + self.duration;
        let stop = Cell::new(false);
        let note = |sent: Instant, outcome: Outcome| {
            let answered = Instant::now();
            if answered >= end {
                stop.set(true);
            } else if sent >= begin {
                match outcome {
                    Outcome::Done => {
                        let micros =
                            u64::try_from((answered - sent).as_micros()).unwrap_or(u64::MAX);
                        latency.borrow_mut().saturating_record(micros);
                    }
                    Outcome::Failed(error) => *errors.borrow_mut().entry(error).or_insert(0) += 1,
                }
            }
            !stop.get()
        };
        try_join_all((0..self.clients).map(|client| self.client(client, work, &note))).await?;
        Ok(Measured {
            latency: latency.into_inner(),
            elapsed: self.duration,
            errors: errors.into_inner(),
        })
    }

    /// One client, until `note` says that it is enough. `note` gets when a request was
    /// sent, and how it ended.
    pub(crate) async fn client(
        &self,
        client: usize,
        work: Work,
        note: &impl Fn(Instant, Outcome) -> bool,
    ) -> anyhow::Result<()> {
        let mut connection = Connection::new(&self.url)?;
        let value = Bytes::from(vec![b'x'; self.value_bytes]);
        for turn in 0.. {
            let request = self.request(client, turn % KEYS_PER_CLIENT, work, &value)?;
            let sent = Instant::now();
            let outcome = match connection.send(request).await {
                Ok(status) if status.is_success() => Outcome::Done,
                Ok(status) => Outcome::Failed(status.to_string()),
                Err(error) => Outcome::Failed(error.to_string()),
            };
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

    /// Every key that will be read is written once.
    async fn fill(&self) -> anyhow::Result<()> {
        let clients = (0..self.clients).map(async |client| {
            let mut connection = Connection::new(&self.url)?;
            let value = Bytes::from(vec![b'x'; self.value_bytes]);
            for index in 0..KEYS_PER_CLIENT {
                let status =
                    connection.send(self.request(client, index, Work::Write, &value)?).await?;
                ensure!(status.is_success(), "{status}");
            }
            anyhow::Ok(())
        });
        try_join_all(clients).await.map(drop)
    }

    fn request(
        &self,
        client: usize,
        index: u64,
        work: Work,
        value: &Bytes,
    ) -> http::Result<Request<Full<Bytes>>> {
        let (method, query, body) = match work {
            Work::Write => (Method::PUT, "", value.clone()),
            Work::LinearizableRead => (Method::GET, "", Bytes::new()),
            Work::LocalRead => (Method::GET, "?consistency=local", Bytes::new()),
        };
        let path = self.url.path().trim_end_matches('/');
        let target = format!("{path}/v1/kv/{}{client}/{index}{query}", self.prefix);
        let mut request = Request::builder().method(method).uri(target);
        if let Some(secret) = token::given() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {secret}"));
        }
        request.body(Full::new(body))
    }
}

/// How a request ended.
pub(crate) enum Outcome {
    Done,
    Failed(String),
}
