//! Every decoder that reads bytes from the network or from a disk, as a function of
//! bytes.
//!
//! Whoever can reach a port, and any disk that goes bad, hands these bytes to a service.
//! Each function here decodes them by the product's own code and checks more than that it
//! comes back:
//!
//! - what decodes is encoded and decoded again, and is the same; the encoding is never
//!   longer than what came in, and a canonical one is the same bytes;
//! - where there is a checksum, what was changed is never taken for something else that
//!   was written;
//! - what is refused is refused in bounded words.
//!
//! That memory stays in proportion to the input is measured around these functions: by
//! `tests/decoders`, which feeds them the committed corpus and what proptest makes of it,
//! in every test run; and by libFuzzer's limits on allocation in `fuzz/`, which has a
//! target for each of them and runs as long as one likes. A new decoder is added in
//! [`ALL`], and its target and corpus are then missed by a test.
//!
//! Not here: HTTP/1.1 itself with its chunks (hyper's), what SQLite's own code does with
//! a damaged file beyond what comes out of it, the two queries that axum reads (`from`,
//! `limit`, `wait_ms` of acceptors and coordinators), and command lines and environment
//! (an operator's, not the network's).

mod access;
mod answers;
mod database;
mod edits;
mod execution;
mod folder;
mod headers;
mod identity;
mod jwt;
mod messages;
mod mux;
mod paths;
mod queries;
mod segment;
mod texts;
mod values;
mod voter;

use std::fmt::Display;

/// A decoder under test.
#[derive(Clone, Copy, Debug)]
pub struct Decoder {
    /// Of its fuzz target and its corpus, too.
    pub name: &'static str,
    /// Decodes, and panics where what came of it is not as it should be.
    pub decode: fn(&[u8]),
    /// Valid encodings, to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What its input is.
    pub input: Input,
}

/// What a decoder makes of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// It is what is decoded, with little before it: memory is in proportion to it.
    Bytes,
    /// It says what is made, damaged and then decoded.
    Recipe,
    /// It becomes files that are written and synced, as they are or by a recipe:
    /// milliseconds.
    Files,
}

/// All of them.
pub const ALL: [Decoder; 19] = [
    bytes("message", messages::decode, messages::seeds),
    bytes("value", values::value, values::value_seeds),
    bytes("commands", values::commands, values::commands_seeds),
    bytes("execution", execution::decode, execution::seeds),
    bytes("voter", voter::decode, voter::seeds),
    bytes("frame", segment::frame, segment::frame_seeds),
    recipe("segment", segment::decode, segment::seeds),
    files("folder", folder::decode, folder::seeds),
    files("database", database::decode, database::seeds),
    files("identity", identity::decode, identity::seeds),
    bytes("path", paths::decode, paths::seeds),
    bytes("query", queries::query, queries::query_seeds),
    bytes("cursor", queries::cursor, queries::cursor_seeds),
    bytes("headers", headers::decode, headers::seeds),
    bytes("access", access::decode, access::seeds),
    bytes("jwt", jwt::decode, jwt::seeds),
    bytes("mux", mux::decode, mux::seeds),
    bytes("answer", answers::decode, answers::seeds),
    bytes("text", texts::decode, texts::seeds),
];

const fn bytes(name: &'static str, decode: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Decoder {
    Decoder { name, decode, seeds, input: Input::Bytes }
}

const fn recipe(name: &'static str, decode: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Decoder {
    Decoder { name, decode, seeds, input: Input::Recipe }
}

const fn files(name: &'static str, decode: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Decoder {
    Decoder { name, decode, seeds, input: Input::Files }
}

/// The decoder of that name, for its fuzz target.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn named(name: &str) -> Decoder {
    let found = ALL.iter().find(|decoder| decoder.name == name);
    *found.unwrap_or_else(|| panic!("there is no decoder {name:?}"))
}

/// Inputs of the decoder `segment` that change each byte of a segment of an acceptor's
/// log once.
pub fn each_byte_of_a_segment_changed() -> impl Iterator<Item = Vec<u8>> {
    segment::each_byte_changed()
}

/// The longest text of an error, in bytes: whoever sends nonsense is not sent it back
/// whole, and no log fills up with it.
const ERROR_BYTES: usize = 4 << 10;

fn short(error: &impl Display) {
    let text = error.to_string();
    assert!(
        text.len() <= ERROR_BYTES,
        "an error of {} bytes: {:?}…",
        text.len(),
        text.chars().take(200).collect::<String>()
    );
}

/// The first byte, which says what the others are.
fn choose(bytes: &[u8]) -> Option<(usize, &[u8])> {
    bytes.split_first().map(|(&choice, rest)| (usize::from(choice), rest))
}

/// A seed for a function that begins with [`choose`].
fn chosen(choice: u8, rest: impl AsRef<[u8]>) -> Vec<u8> {
    [&[choice], rest.as_ref()].concat()
}
