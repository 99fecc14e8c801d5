//! Bytes as hex digits, in lower case.

/// Two digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| pair(*byte)).map(char::from).collect()
}

/// The two digits of a byte.
pub fn pair(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 0xf].map(|digit| b'0' + digit + u8::from(digit > 9) * (b'a' - b'9' - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_written_as_the_standard_library_writes_it() {
        for byte in 0..=u8::MAX {
            assert_eq!(encode(&[byte, 0]), format!("{byte:02x}00"));
        }
    }
}
