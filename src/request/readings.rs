//! Every way in which programs read one path: each step that is known, applied to the result of every other until nothing changes.

use std::borrow::Cow;

use percent_encoding::percent_encode_byte;

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
    let mut asks = |text: &[u8]| memchr::memchr(QUERY_MARK, text).is_some() || holds(&to_text(text));
    if !asks(path) {
        return false;
    }
    let mut known = vec![path.to_vec()];
    let (mut next, mut work, mut at) = (Vec::with_capacity(path.len()), 0, 0);
    while let Some(text) = known.get(at).cloned() {
        at += 1;
        for step in steps::steps(steps::open_in(&text)) {
            work += text.len();
            next.clear();
            step(&text, &mut next);
            if known.contains(&next) {
                continue;
            }
            if work > MOST_WORK || known.len() >= MOST_READINGS || !asks(&next) {
                return false;
            }
            known.push(next.clone());
        }
    }
    true
}

/// Bytes that are not UTF-8 stay escapes.
pub(super) fn to_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| percent_encode_byte(*byte)));
    }
    Cow::Owned(text)
}
