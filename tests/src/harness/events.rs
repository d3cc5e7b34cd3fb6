//! A client of `GET /v1/watch`, as an `EventSource` is one.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use reqwest::Response;
use serde_json::Value;

/// The longest that nothing may come: a few heartbeats.
const SILENCE: Duration = Duration::from_secs(40);

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub event: String,
    /// The revision that it is the last event of.
    pub id: Option<u64>,
    /// What it says.
    pub data: Value,
}

/// A watch.
#[derive(Debug)]
pub struct Events {
    response: Response,
    input: BytesMut,
    last_id: Option<u64>,
}

impl Events {
    /// Begins, or comes again after what was seen.
    ///
    /// # Errors
    /// When the answer is no stream of events.
    pub async fn open(http: &reqwest::Client, url: &str, seen: Option<u64>) -> Result<Self> {
        let request = http.get(url).header("accept", "text/event-stream");
        let request = match seen {
            Some(seen) => request.header("last-event-id", seen),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status();
        if !status.is_success() {
            bail!("{status}: {}", response.text().await?);
        }
        ensure!(response.headers()["content-type"] == "text/event-stream", "{response:?}");
        Ok(Self { response, input: BytesMut::new(), last_id: seen })
    }

    /// After which revision it is to be resumed.
    #[must_use]
    pub fn last_id(&self) -> Option<u64> {
        self.last_id
    }

    /// The next event; none at a clean end.
    ///
    /// # Errors
    /// When the answer breaks off, or nothing comes for too long.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            let Some(block) = self.block().await? else { return Ok(None) };
            let field = |name: &str| {
                block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            let id = field("id").map(str::parse).transpose()?;
            self.last_id = id.or(self.last_id);
            if let Some(event) = field("event") {
                let data = field("data").context("an event without data")?;
                let data = serde_json::from_str(data)?;
                return Ok(Some(Event { event: event.to_owned(), id, data }));
            }
        }
    }

    /// What comes up to the next empty line.
    async fn block(&mut self) -> Result<Option<String>> {
        let mut searched = 0;
        loop {
            let end = self.input[searched..].windows(2).position(|pair| pair == b"\n\n");
            if let Some(end) = end {
                let block = self.input.split_to(searched + end + 2);
                return Ok(Some(String::from_utf8(block.to_vec())?));
            }
            searched = self.input.len().saturating_sub(1);
            match tokio::time::timeout(SILENCE, self.response.chunk()).await?? {
                Some(chunk) => self.input.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}
