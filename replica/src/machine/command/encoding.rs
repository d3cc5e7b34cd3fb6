//! The bytes that [`Commands`] are in the log, and what of them can be read without the rest.

use bytes::Bytes;
use serde::Deserialize;
use shared::ids::{BatchNumber, Epoch};
use shared::message::Value;
use shared::telemetry::TraceContext;

use super::unreadable::within;
use super::{AnswerRetention, Commands, Unreadable, limits};

/// How the encoding of [`Commands`] begins: all but the mutations, and how many of them
/// follow.
type Head = (u64, u64, Option<TraceContext>, AnswerRetention, usize);

/// A [`Value`], of a batch no more than where its commands are.
#[derive(Deserialize)]
enum BatchHead<'a> {
    Noop,
    View,
    Batch(Epoch, BatchNumber, &'a [u8]),
}

impl Commands {
    /// Encodes them, once, for everyone.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        Bytes::from(postcard::to_allocvec(self).expect("encoding into memory does not fail"))
    }

    /// Reads encoded commands and checks them against the limits of the format.
    ///
    /// # Errors
    /// When the bytes are no commands, or commands beyond a limit. The same bytes err the
    /// same way everywhere.
    pub fn decode(bytes: &[u8]) -> Result<Self, Unreadable> {
        within("the payload", bytes.len(), limits::BATCH_BYTES)?;
        // Before any of them takes memory: three bytes make a command of a hundred.
        if let Ok(((_, _, _, _, commands), _)) = postcard::take_from_bytes::<Head>(bytes) {
            within("the number of commands", commands, limits::BATCH_COMMANDS)?;
        }
        let commands: Self = match postcard::take_from_bytes(bytes) {
            Ok((commands, [])) => commands,
            Ok((_, [_, ..])) | Err(_) => return Err(Unreadable::NotCommands(bytes.len())),
        };
        commands.check()?;
        Ok(commands)
    }

    /// The trace of the batch that a slot holds, without reading its commands.
    #[must_use]
    pub fn trace_of(value: &[u8]) -> Option<TraceContext> {
        let (_, rest) = Value::format_of(value).ok()?;
        let commands = match postcard::take_from_bytes(rest).ok()?.0 {
            BatchHead::Batch(_epoch, _number, commands) => commands,
            BatchHead::Noop | BatchHead::View => return None,
        };
        let ((_, _, trace, _, _), _) = postcard::take_from_bytes::<Head>(commands).ok()?;
        trace
    }
}
