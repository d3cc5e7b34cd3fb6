//! Inputs: random bytes, and valid ones that were flipped, cut, spliced or blown up.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tests::decoders::Decoder;

use crate::corpus;

/// Numbers that stand for lengths which nothing has: as the encodings here have them
/// (varints, little-endian, digits).
const LENGTHS: [&[u8]; 5] = [
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x80\x80\x80\x80\x10",
    b"\xff\xff\xff\xff",
    b"\xff\xff\x03",
    b"99999999999",
];

/// Anything but an input that is known to be good.
pub(crate) fn damaged(decoder: &Decoder) -> impl Strategy<Value = Vec<u8>> + use<> {
    let mut known = (decoder.seeds)();
    known.extend(corpus::of(decoder));
    let known = select(known);
    let flips = vec((any::<Index>(), 1..=u8::MAX), 1..6);
    let flipped = (known.clone(), flips).prop_map(|(mut bytes, flips)| {
        for (at, flip) in flips.into_iter().filter(|_| !bytes.is_empty()).collect::<Vec<_>>() {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        bytes
    });
    let cut = (known.clone(), any::<Index>()).prop_map(|(mut bytes, at)| {
        bytes.truncate(at.index(bytes.len() + 1));
        bytes
    });
    let spliced = (known.clone(), known.clone(), any::<Index>(), any::<Index>()).prop_map(
        |(head, tail, end, start)| {
            [&head[..end.index(head.len() + 1)], &tail[start.index(tail.len() + 1)..]].concat()
        },
    );
    let blown_up =
        (known, any::<Index>(), select(LENGTHS.to_vec())).prop_map(|(bytes, at, length)| {
            let at = at.index(bytes.len() + 1);
            [&bytes[..at], length, &bytes[(at + 1).min(bytes.len())..]].concat()
        });
    prop_oneof![1 => vec(any::<u8>(), 0..300), 4 => flipped, 2 => cut, 2 => spliced, 2 => blown_up]
}

/// Long inputs of one short piece, behind each first byte that could choose a kind, what
/// could stand before a list, and a length that they then fill.
pub(crate) fn monotonous(decoder: &Decoder) -> impl Iterator<Item = Vec<u8>> + use<> {
    const LENGTH: usize = 128 << 10;
    // Among them the shortest command, and the shortest elements of lists in JSON.
    const PIECES: [&[u8]; 6] = [b"\0", b"\x01", b"\x02\0\0", b"\0\x01a", b"[", b"\"0\","];
    // Nothing, the rest of a few numbers, or a roster of one and a ballot.
    const HEADS: [&[u8]; 5] = [b"", b"\0", b"\0\0", b"\0\0\0\0\0", b"\x01\x01\0\0"];
    const ANNOUNCED: [&[u8]; 2] = [b"", b"\x80\x80\x04"];
    let choices = if decoder.name == "message" { 26_u8 } else { 4 };
    let cases = (0..choices).flat_map(|choice| PIECES.map(|piece| (choice, piece)));
    let cases = cases.flat_map(|(choice, piece)| HEADS.map(|head| (choice, piece, head)));
    let cases = cases.flat_map(|(choice, piece, head)| {
        ANNOUNCED.map(|announced| (choice, piece, head, announced))
    });
    cases.map(|(choice, piece, head, announced)| {
        [&[choice], head, announced, &piece.repeat(LENGTH / piece.len())].concat()
    })
}
