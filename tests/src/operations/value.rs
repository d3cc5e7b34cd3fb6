//! Values that tell which write they stem from.

use bytes::Bytes;

/// A value: its number, different for each write, and how long it is. The bytes are the
/// number in hexadecimal and padding, so that what is cut short, padded or changed is
/// another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    number: u64,
    bytes: usize,
}

/// Digits of the number.
const DIGITS: usize = 16;
const PADDING: u8 = b'x';
/// Numbers of writes are below.
const STRANGE: u64 = 1 << 63;

impl Value {
    /// The value of no write.
    pub const NOBODYS: Self = Self { number: 0, bytes: 0 };

    /// The value of this number, of so many bytes, but at least those of the number.
    #[must_use]
    pub fn new(number: u64, bytes: usize) -> Self {
        Self { number, bytes: bytes.max(DIGITS) }
    }

    /// Another value for the same write, which has several: this many bytes longer.
    #[must_use]
    pub fn longer(self, by: usize) -> Self {
        Self { bytes: self.bytes + by, ..self }
    }

    /// Its bytes, which are text.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let mut encoded = format!("{:0DIGITS$x}", self.number).into_bytes();
        encoded.resize(self.bytes.max(DIGITS), PADDING);
        Bytes::from(encoded)
    }

    /// The value that these are the bytes of. What nobody wrote is a value, too: one that
    /// is equal to none that somebody did.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let number = Self::number(bytes).unwrap_or_else(|| {
            let digest = blake3::hash(bytes);
            let head = digest.as_bytes().first_chunk().expect("a digest has 32 bytes");
            u64::from_le_bytes(*head) | STRANGE
        });
        Self { number, bytes: bytes.len() }
    }

    fn number(bytes: &[u8]) -> Option<u64> {
        let (digits, padding) = bytes.split_at_checked(DIGITS)?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_whole = digits.iter().all(is_digit) && padding.iter().all(|byte| *byte == PADDING);
        let number = u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?;
        (is_whole && number < STRANGE).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_back_and_one_that_was_changed_is_another() {
        for bytes in [0, DIGITS, 100] {
            let value = Value::new(0x7f, bytes);
            let encoded = value.encode();
            assert_eq!(Value::decode(&encoded), value);
            assert_ne!(Value::decode(&encoded[..encoded.len() - 1]), value);
            assert_ne!(Value::decode(&[&encoded[..], b"x"].concat()), value);
            for changed in 0..encoded.len() {
                let mut other = encoded.to_vec();
                other[changed] ^= 1;
                assert_ne!(Value::decode(&other), value);
            }
        }
        assert_ne!(Value::decode(b""), Value::decode(b"another"));
        assert_ne!(Value::decode(b""), Value::NOBODYS);
    }
}
