//! An answer that is a JSON document a line, as it comes.

use std::io;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::io::StreamReader;

use crate::answer::Coming;

/// The longest line, in bytes: a value of a MiB, each byte of it escaped, and then some.
const MAX_LINE_BYTES: usize = 16 << 20;

/// What is said, a line each; in words what went wrong.
pub(crate) type Lines<T> = BoxStream<'static, Result<T, String>>;

pub(crate) fn of<T: DeserializeOwned + 'static>(answer: Coming) -> Lines<T> {
    let bytes = StreamReader::new(answer.into_stream().map_err(io::Error::other));
    let lines = FramedRead::new(bytes, LinesCodec::new_with_max_length(MAX_LINE_BYTES));
    lines
        .map(|line| {
            let line = line.map_err(|error| error.to_string())?;
            serde_json::from_str(&line).map_err(|error| format!("no event: {error}"))
        })
        .boxed()
}
