//! Who watches: clients that are told of every change of some keys, as it is executed.
//!
//! ```text
//! driver ──revision──▶ feed ──▶ ring ──▶ watchers that keep up
//!                        │        ▲
//!                        ▼        │ met
//!                      store ─────┴────▶ watchers that come from behind
//! ```
//!
//! While anybody watches, one task (`hub`) follows the executed revision, reads what
//! changed out of the state, a page for all that was executed meanwhile, renders it, and
//! puts it into a bounded `ring` that all watchers share. A watcher that begins further
//! back reads pages of its own until it meets the ring. One that was in the ring and is
//! overtaken by its end is too slow for this buffer, and is cut off.
//!
//! Whatever a watcher reads, it knows by its `Position` what comes next. So there is one
//! rule against gaps and repeats: what is given is what lies after the position, and moves
//! it.
//!
//! Deliberately absent: a buffer for each watcher, because all would hold the same; the
//! report of what executing changed, because it has neither values nor the keys of a
//! deleted prefix, which the state has.

mod event;
mod hub;
mod ring;
mod selection;

pub(crate) use event::{Event, EventKind};
pub(crate) use hub::{Hub, Limits, PIECE, TooManyWatches, Watch};
pub(crate) use ring::Found;
pub(crate) use selection::{KeyRange, Selection};
