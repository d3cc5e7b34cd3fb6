//! The bytes of a connection with many requests on it, and when it is given up.
#![expect(clippy::disallowed_methods, reason = "a shell: it reads the clock")]

use std::io;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{Frame, Malformed, TOO_LONG, announced, take};
use crate::tls::Transport;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 16 << 10;

/// From so many bytes on that the other side has not taken, nothing is added to them.
const UNSENT_BYTES: usize = 256 << 10;

/// How often it is asked whether a connection is to be given up: see [`Link::check`].
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// More than this is given back where it is not needed any more, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// When a connection is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// The longest frame, in bytes.
    pub(crate) longest: usize,
    /// How long the other side may take nothing of what is written.
    pub(crate) write: Duration,
    /// How long a frame may take from its first byte to its last.
    pub(crate) frame: Duration,
    /// How long nothing may be under way.
    pub(crate) idle: Duration,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    reader: ReadHalf<Transport>,
    writer: WriteHalf<Transport>,
    input: BytesMut,
    /// What is to be written.
    pub(crate) output: BytesMut,
    is_flushed: bool,
    /// How many bytes were written in all.
    written: u64,
    patience: Patience,
    /// When the other side took something last, or there was nothing for it to take.
    taken_at: Instant,
    /// When the frame began that is not there whole.
    frame_began: Option<Instant>,
    /// When something was under way, or was read, last.
    used_at: Instant,
}

/// The other side has ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Link {
    /// A connection, of which these bytes were read already.
    pub(crate) fn new(transport: Transport, input: BytesMut, patience: Patience) -> Self {
        let (reader, writer) = tokio::io::split(transport);
        let now = Instant::now();
        Self {
            reader,
            writer,
            input,
            output: BytesMut::new(),
            is_flushed: true,
            written: 0,
            patience,
            taken_at: now,
            frame_began: None,
            used_at: now,
        }
    }

    /// Whether more may be added to what is to be written.
    pub(crate) fn has_room(&self) -> bool {
        self.output.len() < UNSENT_BYTES
    }

    /// Whether the other side has all.
    pub(crate) fn is_all_written(&self) -> bool {
        self.output.is_empty() && self.is_flushed
    }

    /// Where what is added next will stand among all bytes that are written.
    pub(crate) fn position(&self) -> u64 {
        self.written + self.output.len() as u64
    }

    /// Whether nothing was written of what stands from there on.
    pub(crate) fn was_not_begun(&self, position: u64) -> bool {
        self.written <= position
    }

    /// Moves some bytes, one way or the other; reads only where more is wanted. Dropped before
    /// it has ended, it has moved none.
    ///
    /// # Errors
    /// Where the connection broke.
    pub(crate) async fn step(&mut self, wants_more: bool) -> io::Result<Result<(), Closed>> {
        let is_to_write = !self.is_all_written();
        let Self { reader, writer, input, output, is_flushed, written, .. } = self;
        let (taken_at, used_at) = (&mut self.taken_at, &mut self.used_at);
        tokio::select! {
            biased;
            wrote = write(writer, output, is_flushed, written), if is_to_write => {
                wrote?;
                *taken_at = Instant::now();
                Ok(Ok(()))
            }
            read = read(reader, input), if wants_more => {
                *used_at = Instant::now();
                Ok(if read? == 0 { Err(Closed) } else { Ok(()) })
            }
            else => std::future::pending().await,
        }
    }

    /// The next frame of those that were read.
    ///
    /// # Errors
    /// Where the other side speaks something else.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        let invalid = |malformed: Malformed| io::Error::new(io::ErrorKind::InvalidData, malformed);
        if announced(&self.input).is_some_and(|length| length > self.patience.longest) {
            return Err(invalid(TOO_LONG));
        }
        let frame = take(&mut self.input).map_err(invalid)?;
        give_back(&mut self.input);
        self.frame_began = match frame {
            None if !self.input.is_empty() => self.frame_began.or_else(|| Some(Instant::now())),
            _ => None,
        };
        Ok(frame)
    }

    /// Whether the connection is still of use, by how long what is under way has taken.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) fn check(&mut self, is_busy: bool) -> Result<(), &'static str> {
        let now = Instant::now();
        if self.is_all_written() {
            self.taken_at = now;
        }
        if is_busy {
            self.used_at = now;
        }
        if now - self.taken_at > self.patience.write {
            Err("nothing was taken of what was written")
        } else if self.frame_began.is_some_and(|began| now - began > self.patience.frame) {
            Err("a frame took too long")
        } else if now - self.used_at > self.patience.idle {
            Err("nothing was under way")
        } else {
            Ok(())
        }
    }
}

/// When to check a connection.
pub(crate) fn checks() -> Interval {
    let mut checks = tokio::time::interval(CHECK_EVERY);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    checks
}

async fn write(
    writer: &mut WriteHalf<Transport>,
    output: &mut BytesMut,
    is_flushed: &mut bool,
    written: &mut u64,
) -> io::Result<()> {
    if !output.is_empty() {
        let wrote = writer.write(output).await;
        if wrote.is_err() {
            // TLS may have sent a part of it before.
            *written += output.len() as u64;
        }
        let bytes = wrote?;
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        (*written, *is_flushed) = (*written + bytes as u64, false);
        output.advance(bytes);
        give_back(output);
    }
    if output.is_empty() {
        writer.flush().await?;
        *is_flushed = true;
    }
    Ok(())
}

/// A connection that waits holds little memory for what is not there.
fn give_back(bytes: &mut BytesMut) {
    if bytes.is_empty() && bytes.capacity() > KEPT_BYTES {
        *bytes = BytesMut::new();
    }
}

async fn read(reader: &mut ReadHalf<Transport>, input: &mut BytesMut) -> io::Result<usize> {
    input.reserve(READ_BYTES);
    reader.read_buf(input).await
}
