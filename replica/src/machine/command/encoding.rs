//! The bytes that [`Commands`] are in the log, and what of them can be read without the rest.

use bytes::Bytes;
use serde::Deserialize;
use shared::chain::ChainHash;
use shared::ids::{BatchNumber, Epoch, LogFormat, Slot};
use shared::message::{LogPrefix, Value};
use shared::telemetry::TraceContext;

use super::unreadable::within;
use super::{AnswerRetention, Commands, Unreadable, limits};
use crate::machine::format;

/// How the encoding of [`Commands`] begins: all but the mutations, and how many of them
/// follow.
type Head = (u64, u64, Option<TraceContext>, AnswerRetention, usize);

/// How it ends where it says what was executed: the slot, little-endian, and the hash. Always as
/// long, so that it is found from the end.
pub(in crate::machine) const LINK_BYTES: usize = 8 + 32;

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
        let mut bytes = postcard::to_allocvec(self).expect("encoding into memory does not fail");
        if let Some(LogPrefix { below, hash }) = &self.executed {
            bytes.extend_from_slice(&below.0.to_le_bytes());
            bytes.extend_from_slice(&hash.0);
        }
        Bytes::from(bytes)
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
        let not_commands = || Unreadable::NotCommands(bytes.len());
        let (mut commands, rest): (Self, _) =
            postcard::take_from_bytes(bytes).map_err(|_| not_commands())?;
        commands.executed = match rest {
            [] => None,
            rest => Some(rest.try_into().map(link).map_err(|_| not_commands())?),
        };
        commands.check()?;
        Ok(commands)
    }

    /// The trace of the batch that a slot holds, without reading its commands.
    #[must_use]
    pub fn trace_of(value: &[u8]) -> Option<TraceContext> {
        let (_, commands) = batch_of(value)?;
        let ((_, _, trace, _, _), _) = postcard::take_from_bytes::<Head>(commands).ok()?;
        trace
    }

    /// What the primary of the batch that a slot holds had executed, as it says, without reading
    /// its commands.
    #[must_use]
    pub fn executed_of(value: &[u8]) -> Option<LogPrefix> {
        let (_, commands) = batch_of(value).filter(|(format, _)| *format >= format::LINKED)?;
        commands.last_chunk().map(link)
    }
}

fn batch_of(value: &[u8]) -> Option<(LogFormat, &[u8])> {
    let (format, rest) = Value::format_of(value).ok()?;
    match postcard::take_from_bytes(rest).ok()?.0 {
        BatchHead::Batch(_epoch, _number, commands) => Some((format, commands)),
        BatchHead::Noop | BatchHead::View => None,
    }
}

fn link(bytes: &[u8; LINK_BYTES]) -> LogPrefix {
    let (below, hash) = bytes.split_first_chunk().expect("a slot comes first");
    let hash = ChainHash(*hash.first_chunk().expect("and a hash after it"));
    LogPrefix { below: Slot(u64::from_le_bytes(*below)), hash }
}
