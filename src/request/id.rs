//! The identifier that one request carries through logs, pages and the application.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};

use http::HeaderValue;

use crate::hex;

/// A request's identifier: letters, digits, `.`, `_` and `-`, at most 64 of them, so that it is safe in logs, headers and pages.
#[derive(Clone, Eq, PartialEq)]
pub struct RequestId(IdText);

/// Our own are kept in place: most are read once for the application and once for the log.
#[derive(Clone, Eq, PartialEq)]
enum IdText {
    Own([[u8; 2]; 12]),
    Believed(HeaderValue),
}

impl RequestId {
    /// What a trusted proxy called this request, if that is harmless text (FW-12).
    pub fn believed(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let harmless = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        ((1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(harmless))
            .then(|| Self(IdText::Believed(value.clone())))
    }

    /// A new identifier: unlike every other, but no secret.
    pub fn generate() -> Self {
        let id = SEQUENCE.with(|(key, thread, next)| {
            let count = next.get();
            next.set(count.wrapping_add(1));
            (u128::from(*thread) << 64) | u128::from(key.hash_one(count))
        });
        let [_, _, _, _, bytes @ ..] = id.to_be_bytes();
        Self(IdText::Own(bytes.map(hex::pair)))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            IdText::Own(text) => str::from_utf8(text.as_flattened()).unwrap_or_default(),
            IdText::Believed(value) => value.to_str().unwrap_or_default(),
        }
    }

    /// The identifier as a field value, for `X-Request-Id`.
    pub fn to_header(&self) -> HeaderValue {
        match &self.0 {
            // Hex digits are always a valid value; the other arm cannot be reached, and would be only a duller name.
            IdText::Own(text) => HeaderValue::from_bytes(text.as_flattened()).unwrap_or(HeaderValue::from_static("0")),
            IdText::Believed(value) => value.clone(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

thread_local! {
    /// Each thread hashes its own counter under its own random key, behind a random number of its own: no lock, no system call, and
    /// no count that outsiders could read off.
    static SEQUENCE: (RandomState, u32, Cell<u64>) =
        (RandomState::new(), RandomState::new().hash_one(0) as u32, Cell::new(0));
}

/// Characters of an identifier that is believed.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn generated_ids_differ_and_are_safe() {
        let ids: HashSet<String> = (0..10_000).map(|_| RequestId::generate().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit())));
        let elsewhere = std::thread::spawn(|| RequestId::generate().as_str().to_owned()).join().unwrap();
        assert!(!ids.contains(&elsewhere));
    }

    #[test]
    fn only_harmless_short_text_is_taken_over() {
        // FW-12
        for good in ["a", "3f2c-91.x_Y", &"a".repeat(64)] {
            assert_eq!(RequestId::believed(&HeaderValue::from_str(good).unwrap()).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\"b", "<b>", "a\tb", "a;b", &"a".repeat(65)] {
            assert_eq!(RequestId::believed(&HeaderValue::from_str(bad).unwrap()), None, "{bad:?}");
        }
        assert_eq!(RequestId::believed(&HeaderValue::from_bytes(b"\xff").unwrap()), None);
    }
}
