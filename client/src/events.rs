//! What happens in the cluster, as it happens.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use http::{HeaderName, Method, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::call::Call;
use crate::client::Client;
use crate::error::{Error, Failure};
use crate::lines::{self, Lines};

/// The longest that nothing may come: two heartbeats, and some.
const SILENCE: Duration = Duration::from_secs(25);
/// The pause before a stream that ended is resumed.
const PAUSE: Duration = Duration::from_millis(500);

/// Something that happened, or `lagged`: some of it is not held any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// `leader`, `view`, `member`, `roster`, `trim`, `compact`, `access`, `warning` or
    /// `lagged`.
    pub event: String,
    /// Names it, to go on after it.
    pub id: Option<String>,
    /// What there is to know of it.
    #[serde(default)]
    pub data: Value,
}

/// Follows what happens: [`Client::events`].
#[derive(Clone, Debug)]
pub struct Events {
    client: Client,
    held: bool,
}

impl Client {
    /// Follows what happens in the cluster, from now on.
    #[must_use = "nothing is sent before the stream is read"]
    pub fn events(&self) -> Events {
        Events { client: self.clone(), held: false }
    }
}

impl Events {
    /// Begins with what is still held of what has happened.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// What happens. A cut is mended without a word where nothing was missed; the stream
    /// ends with the first error.
    #[must_use]
    pub fn stream(self) -> BoxStream<'static, Result<Happened, Error>> {
        let (seen, lines, heard) = (None, None, Instant::now());
        let follower = Follower { client: self.client, held: self.held, seen, lines, heard };
        let events = stream::try_unfold(follower, |mut follower| async move {
            follower.next().await.map(|event| Some((event, follower)))
        });
        events.boxed()
    }
}

struct Follower {
    client: Client,
    held: bool,
    /// The id of what was told last.
    seen: Option<String>,
    lines: Option<Lines<Happened>>,
    /// When something was heard last.
    heard: Instant,
}

impl Follower {
    async fn next(&mut self) -> Result<Happened, Error> {
        loop {
            let mut lines = match self.lines.take() {
                Some(lines) => lines,
                None => lines::of(self.client.open(&self.call()).await?),
            };
            match tokio::time::timeout(SILENCE, lines.next()).await {
                Ok(Some(Ok(said))) => {
                    self.heard = Instant::now();
                    self.lines = Some(lines);
                    self.seen = said.id.clone().or(self.seen.take());
                    if said.event != "heartbeat" {
                        return Ok(said);
                    }
                }
                Ok(Some(Err(reason))) => self.lost(reason).await?,
                Ok(None) => self.lost(String::from("it ended")).await?,
                Err(_elapsed) => self.lost(format!("silent for {SILENCE:?}")).await?,
            }
        }
    }

    fn call(&self) -> Call {
        let mut call = Call::read(Method::GET, "/v1/events");
        call.header(header::ACCEPT, "application/x-ndjson");
        match &self.seen {
            Some(seen) => call.header(HeaderName::from_static("last-event-id"), seen),
            None if self.held => call.param("held", "true"),
            None => {}
        }
        call
    }

    async fn lost(&mut self, reason: String) -> Result<(), Error> {
        let waited = self.heard.elapsed();
        if waited > self.client.timeout() + SILENCE {
            let url = self.client.address().to_owned();
            return Err(Error::Unavailable { waited, last: Failure::Lost { url, reason } });
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Said, Stub};

    #[tokio::test]
    async fn a_stream_that_ends_is_resumed_after_what_was_told() {
        let stub = Stub::start(|_, count| {
            let line = format!(
                "{{\"event\":\"heartbeat\",\"id\":\"aa-{0}\"}}\n\
                 {{\"event\":\"trim\",\"id\":\"aa-{count}\",\"data\":{{\"trimmed_below\":{count}}}}}\n",
                count - 1,
            );
            Said::Answer(200, line)
        })
        .await;
        let mut events = stub.client().events().held().stream();
        for count in 1..=2_u64 {
            let told = events.next().await.unwrap().unwrap();
            assert_eq!((told.event.as_str(), &told.data["trimmed_below"]), ("trim", &count.into()));
        }
        let asked = stub.asked();
        assert!(asked[0].line.contains("held=true"), "{asked:?}");
        assert_eq!(asked[1].header("last-event-id"), Some("aa-1"));
    }
}
