//! The path that rules are matched on, and whether another reader could see a different one.
//!
//! Rules are matched on the text with every percent-escape decoded once; the application gets the bytes as they were sent
//! (PX-41). Where programs are known to differ (escapes of what needs none, empty segments, backslashes, dot segments, `;`
//! parameters, and more) the path is *ambiguous*, and the gateway refuses the request unless its rules say the same about
//! [every reading](CanonicalPath::holds_for_every_reading). What no honest client sends (control characters, broken or overlong
//! escapes) is no path at all.

use std::borrow::Cow;

use http::uri::PathAndQuery;

use super::query;
use super::readings::{self, to_text};
use super::steps::{self, QUERY_MARK, hex};

/// The longest path that is read in every way, in bytes: each reading costs a copy (AT-PM-20).
const LONGEST: usize = 4 * 1024;

/// A request's path. Nothing is allocated where nothing is encoded.
#[derive(Clone, Debug)]
pub struct CanonicalPath {
    target: PathAndQuery,
    decoded: Option<String>,
    ambiguous: bool,
    query_climbs: bool,
}

/// Why something is not a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PathError {
    /// It does not start with a slash: `*`, or no path at all.
    #[error("the path does not start with a slash")]
    NotAbsolute,
    /// NUL, a line break or another control character, plain or encoded.
    #[error("the path holds a control character")]
    ControlCharacter,
    /// A percent sign without two hex digits.
    #[error("the path holds a percent sign that is not followed by two hex digits")]
    BrokenEscape,
    /// Bytes that old decoders take for an ASCII character: `%c0%ae` for a dot
    /// ([RFC 3629 section 10](https://www.rfc-editor.org/rfc/rfc3629#section-10)).
    #[error("the path holds an overlong UTF-8 sequence")]
    Overlong,
    /// Encoded or ambiguous, and too long to go through its readings.
    #[error("the path is encoded or ambiguous, and longer than {LONGEST} bytes")]
    TooLong,
}

impl CanonicalPath {
    /// Reads the path of a request target.
    ///
    /// # Errors
    /// When no reader should be bothered with it.
    pub fn new(target: &PathAndQuery) -> Result<Self, PathError> {
        let path = target.path();
        if !path.starts_with('/') {
            return Err(PathError::NotAbsolute);
        }
        let target = target.clone();
        let query_climbs = target.query().is_some_and(|query| query::climbs(query.as_bytes()));
        let bytes = path.as_bytes();
        if steps::open_in(bytes) == 0 {
            return Ok(Self { target, decoded: None, ambiguous: false, query_climbs });
        }
        if path.len() > LONGEST {
            return Err(PathError::TooLong);
        }
        check(bytes)?;
        let ambiguous = steps::open_in(&necessary(bytes)) != 0;
        let decoded = path.contains('%').then(|| {
            let mut decoded = Vec::with_capacity(bytes.len());
            steps::decode_but_slash(bytes, &mut decoded);
            to_text(&decoded).into_owned()
        });
        Ok(Self { target, decoded, ambiguous, query_climbs })
    }

    /// The path as rules see it: every escape decoded once, except that an encoded slash stays `%2F`. Without the query.
    pub fn as_str(&self) -> &str {
        self.decoded.as_deref().unwrap_or_else(|| self.raw())
    }

    /// The path byte for byte as it was sent.
    pub fn raw(&self) -> &str {
        self.target.path()
    }

    /// The query byte for byte as it was sent, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// Path and query byte for byte as they were sent.
    pub fn path_and_query(&self) -> &PathAndQuery {
        &self.target
    }

    /// Whether another program could read another path than [`as_str`](Self::as_str).
    pub fn is_ambiguous(&self) -> bool {
        self.ambiguous
    }

    /// Whether something holds for every path that a program could read here; that is just `as_str` where the path is not
    /// ambiguous. Also false when there are too many to go through: time and memory are bounded, whatever was sent (AT-PM-20).
    pub fn holds_for_every_reading(&self, mut holds: impl FnMut(&str) -> bool) -> bool {
        if self.ambiguous { readings::all(&necessary(self.raw().as_bytes()), holds) } else { holds(self.as_str()) }
    }

    /// The same for programs that resolve dot segments before they take the query off (`path.join(root, req.url)`): to them
    /// `/public?/../admin` is `/admin`. True where the query holds nothing that leads out of it.
    pub fn holds_past_the_query(&self, holds: impl FnMut(&str) -> bool) -> bool {
        let Some(query) = self.query().filter(|_| self.query_climbs) else { return true };
        let mut text = necessary(self.raw().as_bytes()).into_owned();
        text.push(QUERY_MARK);
        text.extend_from_slice(&necessary(query.as_bytes()));
        readings::all(&text, holds)
    }

    /// Whether some program could find a segment here that leads upwards (`..`), however it is written.
    pub fn leads_upwards(&self) -> bool {
        self.query_climbs || !self.holds_for_every_reading(|reading| reading.split('/').all(|segment| segment != ".."))
    }
}

/// Whether a path, written without escapes, is read alike by every program.
pub fn is_read_alike(path: &str) -> bool {
    readings::all(path.as_bytes(), |reading| reading == path)
}

/// A path without upper case, for programs that take `/ADMIN` for `/admin`.
pub fn folded(path: &str) -> Cow<'_, str> {
    if path.is_ascii() && has_case(path) {
        Cow::Owned(path.to_ascii_lowercase())
    } else if has_case(path) {
        // There and back: some letters have one capital in common (`s` and `\u{17f}`).
        Cow::Owned(path.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect())
    } else {
        Cow::Borrowed(path)
    }
}

/// Whether [`folded`] could make a difference.
pub fn has_case(path: &str) -> bool {
    path.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii())
}

/// The path with only those escapes decoded that are necessary.
fn necessary(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let mut decoded = Vec::with_capacity(path.len());
    steps::decode_necessary(path, &mut decoded);
    Cow::Owned(decoded)
}

/// Whether what is meant by the bytes of a path may stand in a path at all.
fn check(path: &[u8]) -> Result<(), PathError> {
    let mut bytes = path.iter().copied();
    let mut before = 0;
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let (high, low) = bytes.next().zip(bytes.next()).ok_or(PathError::BrokenEscape)?;
            hex(high, low).ok_or(PathError::BrokenEscape)?
        } else {
            byte
        };
        if byte.is_ascii_control() {
            return Err(PathError::ControlCharacter);
        }
        if matches!((before, byte), (0xc0 | 0xc1, 0x80..=0xbf) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f)) {
            return Err(PathError::Overlong);
        }
        before = byte;
    }
    Ok(())
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
