//! How events are followed: Server-Sent Events, or a JSON document a line.

use std::io;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Method;
use http::request::Parts;
use serde_json::{Value, json};

use super::kind::Happening;
use super::ring::Event;
use super::{Events, Follower};
use crate::fields::only;
use crate::framing::Framing;
use crate::ids::Instance;
use crate::places::ClientNetwork;
use crate::problem::Problem;
use crate::query::{Parameter, Query};

/// Where to ask.
pub const PATH: &str = "/v1/events";

/// Without anything to say for so long, that is said.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// So many are written at once.
const AT_ONCE: usize = 128;

/// Asks for what is still held, first.
pub const HELD: Parameter = Parameter::flag("held", "true");

/// After which event it goes on.
pub const LAST_EVENT_ID: Parameter =
    Parameter::pattern("Last-Event-ID", "^[0-9a-f]{16}-[0-9]+$", "00000000000000aa-7");

/// An event's identity: which ring, and which of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EventId {
    ring: Instance,
    number: u64,
}

impl FromStr for EventId {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let read = text.split_once('-').and_then(|(ring, number)| {
            Some(Self { ring: ring.parse().ok()?, number: number.parse().ok()? })
        });
        read.ok_or_else(|| {
            let given: String = text.chars().take(64).collect();
            Problem::bad_request(format!("Last-Event-ID {given:?} is no id of an event"))
        })
    }
}

/// Answers `GET /v1/events`.
///
/// # Errors
/// Where it is malformed, or as many follow, in all or of its client, as may.
pub fn answer(events: &Arc<Events>, parts: &Parts) -> Result<Response, Problem> {
    let is_held_asked = Query::parse(parts.uri.query(), &[HELD])?.flag(HELD.name)?;
    let last = only(&parts.headers, LAST_EVENT_ID.name)?.map(|value| {
        let text = value.to_str().map_err(|_| Problem::bad_request("Last-Event-ID is no text"))?;
        text.parse::<EventId>()
    });
    let last = last.transpose()?;
    let framing = Framing::of(&parts.headers);
    if parts.method == Method::HEAD {
        // Who asks whether it may follow takes nobody's place.
        return Ok(framing.response(Body::empty()));
    }
    let follower = events.follow(ClientNetwork::asking(&parts.extensions))?;
    let (newest, before_oldest) = {
        let ring = events.lock();
        (ring.newest(), ring.before_oldest())
    };
    // What another ring counted says nothing of this one: all that is held is told.
    let (seen, is_other) = match last {
        Some(id) if id.ring == events.instance && id.number <= newest => (id.number, false),
        Some(_) => (before_oldest, true),
        None if is_held_asked => (before_oldest, false),
        None => (newest, false),
    };
    let stream = Stream { follower, framing, seen, is_begun: false, is_other };
    Ok(framing.response(stream.into_body()))
}

/// One who follows.
struct Stream {
    follower: Follower,
    framing: Framing,
    /// All up to this one is told.
    seen: u64,
    is_begun: bool,
    /// It comes from another ring, of which nobody knows what it missed.
    is_other: bool,
}

impl Stream {
    /// It ends with the process, so that its client goes elsewhere.
    fn into_body(self) -> Body {
        Body::from_stream(futures::stream::try_unfold(self, |mut stream| async move {
            let shutdown = stream.follower.events.shutdown.clone();
            let piece = shutdown.run_until_cancelled(stream.piece()).await;
            Ok::<_, io::Error>(piece.map(|piece| (piece, stream)))
        }))
    }

    /// Waits for something to say.
    async fn piece(&mut self) -> Bytes {
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.is_begun, true) {
            self.framing.begin(&mut out, Some(self.id(self.seen)));
            if self.is_other {
                self.write(&mut out, "lagged", None, &json!({"missed": null}));
            }
        }
        loop {
            // Marked before the look, so that what comes between look and wait counts.
            self.follower.grown.mark_unchanged();
            let after = self.follower.events.lock().after(self.seen, AT_ONCE);
            if after.missed > 0 {
                self.seen += after.missed;
                self.write(&mut out, "lagged", Some(self.seen), &json!({"missed": after.missed}));
            }
            for event in after.events {
                self.seen = event.number;
                self.write(&mut out, event.what.name(), Some(event.number), &data(&event));
            }
            if !out.is_empty() {
                return out.into();
            }
            if tokio::time::timeout(HEARTBEAT, self.follower.grown.changed()).await.is_err() {
                // A client that is cut off then misses nothing either.
                self.framing.heartbeat(&mut out, Some(self.id(self.seen)));
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, name: &str, number: Option<u64>, data: &Value) {
        let id = number.map(|number| self.id(number));
        self.framing.event(out, name, data.to_string().as_bytes(), id);
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.follower.events.instance)
    }
}

fn data(event: &Event) -> Value {
    let mut data = serde_json::to_value::<&Happening>(&event.what).expect("plain JSON");
    // An event without a place in the log, or in time as Paxos counts it, is put there.
    let places = ["slot", "ballot", "epoch", "trimmed_below"];
    let has_place = places.iter().any(|place| !data[*place].is_null());
    if let Some(slot) = event.executed_slot.filter(|_| !has_place) {
        data["executed_slot"] = json!(slot);
    }
    data["time"] = json!(event.time);
    data
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use http::Request;
    use tokio_util::sync::CancellationToken;

    use super::super::{FOLLOWERS, FOLLOWERS_OF_A_CLIENT};
    use super::*;
    use crate::ids::Slot;

    fn trim(below: u64) -> Happening {
        Happening::Trim { trimmed_below: Slot(below) }
    }

    fn parts(query: &str, fields: &[(&'static str, String)]) -> Parts {
        let mut request = Request::get(format!("/v1/events{query}"));
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    async fn told(response: Response) -> String {
        let mut body = response.into_body().into_data_stream();
        String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn whoever_comes_again_is_told_what_it_missed() {
        let events = Events::new(Instance(7), CancellationToken::new());
        events.tell(trim(1));
        let id = |number| ("last-event-id", format!("{}-{number}", Instance(7)));
        let first = told(answer(&events, &parts("", &[])).unwrap()).await;
        assert!(first.contains(&format!("id: {}-1", Instance(7))), "{first}");
        assert!(!first.contains("event: trim"), "{first}");
        events.tell(trim(2));
        let again = told(answer(&events, &parts("", &[id(1)])).unwrap()).await;
        assert!(again.contains("\"trimmed_below\":2"), "{again}");
        assert!(!again.contains("\"trimmed_below\":1") && !again.contains("lagged"), "{again}");
        for asked in ["?held=true", "?held=1", "?held"] {
            let held = told(answer(&events, &parts(asked, &[])).unwrap()).await;
            assert!(held.contains("\"trimmed_below\":1"), "{asked}: {held}");
        }
        let other = [("last-event-id", format!("{}-1", Instance(8)))];
        let other = told(answer(&events, &parts("", &other)).unwrap()).await;
        assert!(
            other.contains("event: lagged") && other.contains("\"trimmed_below\":1"),
            "{other}"
        );
        for below in 3..2_000 {
            events.tell(trim(below));
        }
        let late = told(answer(&events, &parts("", &[id(1)])).unwrap()).await;
        assert!(late.contains("event: lagged\ndata: {\"missed\":974}"), "{late}");
    }

    #[tokio::test]
    async fn lines_are_json_documents() {
        let events = Events::new(Instance(7), CancellationToken::new());
        events.tell(trim(1));
        let lines = [("accept", "application/x-ndjson".to_owned())];
        let lines = told(answer(&events, &parts("?held=true", &lines)).unwrap()).await;
        let lines: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["event"], "heartbeat");
        assert_eq!(lines[1]["event"], "trim");
        assert!(lines[1]["data"]["time"].as_str().unwrap().ends_with('Z'));
    }

    #[tokio::test]
    async fn what_names_no_place_in_the_log_is_told_with_how_far_that_is_executed() {
        let events = Events::new(Instance(7), CancellationToken::new());
        let warning = || Happening::warning("disk", super::super::Standing::Began, "full");
        events.tell(warning());
        events.executed(Slot(43));
        events.tell(warning());
        events.tell(trim(9));
        let lines = [("accept", "application/x-ndjson".to_owned())];
        let lines = told(answer(&events, &parts("?held", &lines)).unwrap()).await;
        let data: Vec<Value> = lines
            .lines()
            .skip(1)
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["data"].clone())
            .collect();
        let slots: Vec<&Value> = data.iter().map(|data| &data["executed_slot"]).collect();
        assert_eq!(slots, [&json!(null), &json!(42), &json!(null)], "{data:?}");
        assert_eq!(data[2]["trimmed_below"], 9);
    }

    #[tokio::test]
    async fn what_is_malformed_is_refused_and_so_is_one_follower_too_many() {
        let events = Events::new(Instance(7), CancellationToken::new());
        for (query, fields) in [
            ("?x=1", vec![]),
            ("?held=maybe", vec![]),
            ("", vec![("last-event-id", "7".to_owned())]),
            ("", vec![("last-event-id", "x-1".to_owned())]),
            ("", vec![("last-event-id", format!("{}-1", Instance(7))); 2]),
            ("?held&held", vec![]),
        ] {
            let refused = answer(&events, &parts(query, &fields)).unwrap_err();
            assert_eq!(refused.status(), 400, "{query} {fields:?}");
        }
        let of_client = |number: u8| {
            let mut parts = parts("", &[]);
            parts.extensions.insert(ClientNetwork::of([192, 0, 2, number].into()));
            answer(&events, &parts)
        };
        let greedy: Vec<Response> =
            (0..FOLLOWERS_OF_A_CLIENT).map(|_| of_client(1).unwrap()).collect();
        assert_eq!(of_client(1).unwrap_err().status(), 429);
        let mut followers: Vec<Response> =
            (greedy.len()..FOLLOWERS).map(|at| of_client(2 + at as u8 / 16).unwrap()).collect();
        assert_eq!(of_client(9).unwrap_err().status(), 503);
        followers.pop();
        assert!(of_client(9).is_ok());
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_process() {
        let shutdown = CancellationToken::new();
        let events = Events::new(Instance(7), shutdown.clone());
        let mut body = answer(&events, &parts("", &[])).unwrap().into_body().into_data_stream();
        assert!(body.next().await.is_some());
        shutdown.cancel();
        assert!(body.next().await.is_none());
    }
}
