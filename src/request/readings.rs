//! Every way in which programs read one path: each step that is known, applied to the result of every other until nothing changes.

use std::borrow::Cow;

use super::steps::{self, QUERY_MARK};

/// More readings than this, and the path is not worth the argument.
const MOST_READINGS: usize = 128;
/// How many bytes all steps together may read: what one request can make us do, whatever it sends (AT-PM-20).
const MOST_WORK: usize = 48 * 1024;

/// Whether something holds for every reading of a path. False also when there are too many of them to tell.
///
/// The first reading is the path itself, so that what holds for nothing is found out at once. Texts that still hold a
/// [`QUERY_MARK`] are read on but not asked about.
pub(super) fn all(path: &[u8], mut holds: impl FnMut(&str) -> bool) -> bool {
    let mut known = Known::default();
    let mut asks = |text: &[u8]| memchr::memchr(QUERY_MARK, text).is_some() || holds(&to_text(text));
    if !asks(path) || !known.insert(path) {
        return false;
    }
    let (mut text, mut next) = (Vec::with_capacity(path.len()), Vec::with_capacity(path.len()));
    let mut work = 0;
    let mut at = 0;
    while known.copy(at, &mut text) {
        at += 1;
        for step in steps::steps(steps::open_in(&text)) {
            work += text.len();
            next.clear();
            step(&text, &mut next);
            if known.contains(&next) {
                continue;
            }
            if work > MOST_WORK || !asks(&next) || !known.insert(&next) {
                return false;
            }
        }
    }
    true
}

/// The texts that were found, one behind the other.
#[derive(Default)]
struct Known {
    bytes: Vec<u8>,
    texts: Vec<Text>,
}

struct Text {
    start: usize,
    end: usize,
    hash: u64,
}

impl Known {
    /// Remembers a text; false when there is no room for it.
    fn insert(&mut self, text: &[u8]) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        self.texts.push(Text { start, end: self.bytes.len(), hash: hash(text) });
        self.texts.len() <= MOST_READINGS
    }

    fn contains(&self, text: &[u8]) -> bool {
        let hash = hash(text);
        self.texts.iter().any(|known| known.hash == hash && self.bytes.get(known.start..known.end) == Some(text))
    }

    /// Copies one of them; false when there is none at that place.
    fn copy(&self, at: usize, text: &mut Vec<u8>) -> bool {
        let Some(bytes) = self.texts.get(at).and_then(|known| self.bytes.get(known.start..known.end)) else {
            return false;
        };
        text.clear();
        text.extend_from_slice(bytes);
        true
    }
}

/// Saves comparisons; two texts are the same only when their bytes are.
fn hash(text: &[u8]) -> u64 {
    let (words, rest) = text.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let mix = |hash: u64, word: &[u8; 8]| {
        (hash.rotate_left(5) ^ u64::from_le_bytes(*word)).wrapping_mul(0x517c_c1b7_2722_0a95)
    };
    mix(words.iter().fold(text.len() as u64, mix), &last)
}

/// Bytes that are not UTF-8 stay escapes.
pub(super) fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    Cow::Owned(text)
}
