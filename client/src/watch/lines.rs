//! A watch as it is sent: a JSON document a line.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::Value;
use std::io;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

/// The longest line, in bytes: a value of a MiB, each byte of it escaped, and then some.
const MAX_LINE_BYTES: usize = 16 << 20;

/// What is said, a line each; in words what went wrong.
pub(super) type Lines = BoxStream<'static, Result<Said, String>>;

/// A line.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    /// `put`, `delete`, `heartbeat`, `lagged`, …
    pub(super) event: String,
    /// The revision that is whole with it.
    pub(super) id: Option<u64>,
    #[serde(default)]
    pub(super) data: Value,
}

pub(super) fn of(response: reqwest::Response) -> Lines {
    let bytes = StreamReader::new(response.bytes_stream().map_err(io::Error::other));
    let lines = FramedRead::new(bytes, LinesCodec::new_with_max_length(MAX_LINE_BYTES));
    lines
        .map(|line| {
            let line = line.map_err(|error| error.to_string())?;
            serde_json::from_str(&line).map_err(|error| format!("no event: {error}"))
        })
        .boxed()
}
