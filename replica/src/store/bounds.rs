//! Ranges of keys, by byte order, are from a lowest key up to, and without, a bound.

use bytes::Bytes;

/// Keys are UTF-8, which has no such byte.
pub(crate) const ABOVE_EVERY_KEY: &[u8] = &[0xff];

/// The lowest key above another.
pub(crate) fn lowest_above(key: &[u8]) -> Bytes {
    Bytes::from([key, &[0]].concat())
}

/// The bound of the keys that begin so.
pub(crate) fn above_prefix(prefix: &[u8]) -> Bytes {
    Bytes::from([prefix, ABOVE_EVERY_KEY].concat())
}
