//! Hexadecimal digits, without taking memory.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes bytes as digits, two each.
pub(super) fn write(bytes: &[u8], digits: &mut [u8]) {
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]);
    }
}

/// Reads bytes of two digits each; says whether all of them are digits, and small ones.
pub(super) fn read(digits: &[u8], bytes: &mut [u8]) -> bool {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    digits.len() == 2 * bytes.len()
        && digits.chunks_exact(2).zip(bytes).all(|(pair, byte)| {
            let read = value(pair[0]).zip(value(pair[1])).map(|(high, low)| high << 4 | low);
            *byte = read.unwrap_or_default();
            read.is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_read_as_it_was_written() {
        for byte in 0..=255 {
            let (mut digits, mut found) = ([0; 2], [0]);
            write(&[byte], &mut digits);
            assert_eq!(digits, format!("{byte:02x}").as_bytes());
            assert!(read(&digits, &mut found) && found == [byte]);
        }
        for bad in [&b"0G"[..], b"0A", b"0", b"000", b"+1"] {
            assert!(!read(bad, &mut [0]), "{bad:?}");
        }
    }
}
