//! The path that rules are matched on, and whether another reader could see a different one.
//!
//! Rules are matched on the text with every percent-escape read once; the application gets the bytes as they were sent (PX-41).
//! Where programs are known to differ (encoded or repeated slashes, backslashes, dot segments, `;` parameters) the path is
//! *ambiguous*: [`CanonicalPath::readings`] then gives every way to read it, and the gateway refuses the request unless its rules
//! say the same about all of them. What no honest client sends (control characters, broken or overlong escapes) is no path at all.

use std::borrow::Cow;
use std::collections::HashSet;

use http::uri::PathAndQuery;

use super::reading::{self, Choices, Unit};

/// A request's path. Nothing is allocated where nothing is encoded.
#[derive(Clone, Debug)]
pub struct CanonicalPath {
    target: PathAndQuery,
    decoded: Option<String>,
    ambiguous: bool,
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
    /// Bytes that old decoders take for an ASCII character: `%c0%ae` for a dot (RFC 3629 section 10).
    #[error("the path holds an overlong UTF-8 sequence")]
    Overlong,
    /// Ambiguous, and too long to go through all of its readings.
    #[error("the path is ambiguous and too long")]
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
        if is_plain(path.as_bytes()) {
            return Ok(Self { target, decoded: None, ambiguous: false });
        }
        let units = reading::units(path.as_bytes())?;
        let open = Choices::open_in(&units);
        let ambiguous = open.any();
        if ambiguous && (path.len() > LONGEST_AMBIGUOUS || path.len() * open.each().count() > MOST_READ) {
            return Err(PathError::TooLong);
        }
        let decoded = Some(reading::read(&units, Choices::default()));
        Ok(Self { target, decoded, ambiguous })
    }

    /// The path as rules see it: every escape read once, except that an encoded slash stays `%2F`. Without the query.
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

    /// Whether some program could find a segment here that leads upwards (`..`), however it is written.
    pub fn leads_upwards(&self) -> bool {
        self.ambiguous && reading::units(self.raw().as_bytes()).is_ok_and(|units| reading::leads_upwards(&units))
    }

    /// Every way in which a program could read this path, each once; just `as_str` where it is not ambiguous.
    pub fn readings(&self) -> impl Iterator<Item = String> + use<> {
        let units = reading::units(self.raw().as_bytes()).unwrap_or_default();
        let mut seen = HashSet::new();
        Choices::open_in(&units)
            .each()
            .map(move |choices| reading::read(&units, choices))
            .filter(move |text| seen.insert(text.clone()))
    }
}

/// A path in lower case (ASCII), for readers that do not tell `/ADMIN` from `/admin`.
pub fn folded(path: &str) -> Cow<'_, str> {
    let folds = path.bytes().any(|b| b.is_ascii_uppercase());
    if folds { Cow::Owned(path.to_ascii_lowercase()) } else { Cow::Borrowed(path) }
}

// One pass that says that there is nothing to decode and nothing to argue about: nearly every request.
fn is_plain(path: &[u8]) -> bool {
    let mut segment = 0_usize; // bytes since the last slash
    let mut dots = 0_usize;
    for &byte in path.get(1..).unwrap_or_default() {
        match byte {
            b'/' if segment == 0 || is_dot_segment(segment, dots) => return false,
            b'/' => (segment, dots) = (0, 0),
            b'.' => (segment, dots) = (segment + 1, dots + 1),
            b'%' | b'\\' | b';' | 0..=0x1f | 0x7f => return false,
            _ => segment += 1,
        }
    }
    !is_dot_segment(segment, dots)
}

fn is_dot_segment(length: usize, dots: usize) -> bool {
    length == dots && (1..=2).contains(&dots)
}

/// A percent-escape's value, `None` when the two bytes are not hex digits.
pub(super) fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

/// Whether a decoded unit may stand in a path at all.
pub(super) fn check(units: &[Unit]) -> Result<(), PathError> {
    if units.iter().any(|unit| unit.byte().is_ascii_control()) {
        return Err(PathError::ControlCharacter);
    }
    let overlong = |pair: &[Unit]| match pair {
        [lead, next] => {
            matches!((lead.byte(), next.byte()), (0xc0 | 0xc1, 0x80..=0xbf) | (0xe0, 0x80..=0x9f) | (0xf0, 0x80..=0x8f))
        }
        _ => false,
    };
    if units.windows(2).any(overlong) { Err(PathError::Overlong) } else { Ok(()) }
}

// Each reading costs a copy of the path; this bounds what one request can make us do (AT-PM-20).
const LONGEST_AMBIGUOUS: usize = 2048;
// What could be read in every way at once has hundreds of readings, and anybody may send it: the bytes of all of them together.
const MOST_READ: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(text: &str) -> CanonicalPath {
        CanonicalPath::new(&text.parse().unwrap()).unwrap()
    }

    fn error(text: &str) -> PathError {
        CanonicalPath::new(&text.parse().unwrap()).unwrap_err()
    }

    fn readings(text: &str) -> Vec<String> {
        path(text).readings().collect()
    }

    #[test]
    fn plain_paths_are_borrowed_and_not_ambiguous() {
        for text in ["/", "/admin", "/admin/", "/a/b.c/..d/.well-known/...", "/a,b:c@d!$&'()*+=~", "/é"] {
            let path = path(text);
            assert_eq!((path.as_str(), path.is_ambiguous(), path.decoded.is_none()), (text, false, true), "{text}");
            assert_eq!(path.readings().collect::<Vec<_>>(), [text]);
        }
    }

    #[test]
    fn escapes_are_read_once() {
        // PX-41, AT-PM-05
        for (sent, read) in [
            ("/%61dmin", "/admin"),
            ("/%252e%252e/admin", "/%2e%2e/admin"),
            ("/public/%252e%252e/admin", "/public/%2e%2e/admin"),
            ("/caf%C3%A9%20x", "/café x"),
            ("/%E9t%E9", "/%E9t%E9"),
            ("/%e9", "/%E9"),
        ] {
            let path = path(sent);
            assert_eq!((path.as_str(), path.raw(), path.is_ambiguous()), (read, sent, false), "{sent}");
        }
    }

    #[test]
    fn query_and_fragment_are_no_part_of_the_path() {
        let path = path("/admin?.png/../x;%zz"); // AT-PM-08
        assert_eq!((path.as_str(), path.query(), path.is_ambiguous()), ("/admin", Some(".png/../x;%zz"), false));
        assert_eq!(
            "/admin#/public".parse::<PathAndQuery>().map(|t| CanonicalPath::new(&t).unwrap().raw().to_owned()).unwrap(),
            "/admin"
        );
    }

    #[test]
    fn what_nobody_honest_sends_is_refused() {
        assert_eq!(error("/%00"), PathError::ControlCharacter);
        assert_eq!(error("/a%0d%0aSet-Cookie:x"), PathError::ControlCharacter); // AT-SM-20
        assert_eq!(error("/a%7fb"), PathError::ControlCharacter);
        assert_eq!(error("/100%"), PathError::BrokenEscape);
        assert_eq!(error("/%u002e"), PathError::BrokenEscape);
        assert_eq!(error("/%2"), PathError::BrokenEscape);
        assert_eq!(error("/%c0%ae%c0%ae/admin"), PathError::Overlong);
        assert_eq!(error("/%e0%80%af"), PathError::Overlong);
        assert_eq!(error("*"), PathError::NotAbsolute); // AT-PM-12
    }

    #[test]
    fn every_trick_has_a_reading_that_shows_where_it_leads() {
        // AT-PM-02, AT-PM-03, AT-PM-09, and the rest of their class
        for (trick, target) in [
            ("//admin", "/admin"),
            ("///admin", "/admin"),
            ("/public//../admin", "/admin"),
            ("/public/../admin", "/admin"),
            ("/public/./../admin", "/admin"),
            ("/public/%2e%2e/admin", "/admin"),
            ("/public/.%2E/admin", "/admin"),
            ("/public%2f..%2fadmin", "/admin"),
            ("/public%2F%2e%2e%2Fadmin", "/admin"),
            ("/public/..%2fadmin", "/admin"),
            ("/public/..%5cadmin", "/admin"),
            ("/public/%2e%2e%5cadmin", "/admin"),
            ("/public%5c..%5cadmin", "/admin"),
            ("/admin%5c", "/admin/"),
            ("/public/..;/admin", "/admin"),
            ("/public/..;x=1/admin", "/admin"),
            ("/public/..%3b/admin", "/admin"),
            ("/public/;/../admin", "/admin"),
            ("/admin;x", "/admin"),
            ("/admin;x/secret", "/admin/secret"),
            ("/;/admin", "/admin"),
            ("/./admin", "/admin"),
            ("/../admin", "/admin"),
            ("/public/../../../admin", "/admin"),
            ("/oauth/callback/../admin", "/oauth/admin"),
            ("//oauth/callback", "/oauth/callback"),
            ("/oauth/callback%2fx", "/oauth/callback/x"),
            ("/public//..//admin", "/public//admin"),
            ("/admin/..", "/"),
            ("/admin%3fx", "/admin"),
            ("/admin%23/public", "/admin"),
            ("/public/..%2fadmin%3F", "/admin"),
        ] {
            assert!(path(trick).is_ambiguous(), "{trick}");
            let readings = readings(trick);
            assert!(readings.iter().any(|r| r == target), "{trick}: {readings:?}");
            assert!(readings.len() > 1, "{trick}: {readings:?}");
        }
    }

    #[test]
    fn raw_backslashes_are_slashes_in_some_reading() {
        // AT-PM-03; the http crate takes them or not, the tokens do either way
        if let Ok(target) = "/public/..\\admin".parse::<PathAndQuery>() {
            let path = CanonicalPath::new(&target).unwrap();
            assert!(path.is_ambiguous() && path.readings().any(|r| r == "/admin"));
        }
        let units = reading::units(b"/public\\..\\admin").unwrap();
        assert!(Choices::open_in(&units).each().any(|c| reading::read(&units, c) == "/admin"));
    }

    #[test]
    fn readings_hold_the_text_that_rules_see() {
        for text in ["/a%2fb", "//x", "/a;b/c", "/a/../b"] {
            assert!(readings(text).contains(&path(text).as_str().to_owned()), "{text}");
        }
    }

    #[test]
    fn long_ambiguous_paths_are_refused_in_bounded_time() {
        let nested = format!("/{}", "%2e%2e%2f%5c//;".repeat(2000)); // AT-PM-20
        assert_eq!(error(&nested), PathError::TooLong);
        assert!(!path(&format!("/{}", "segment/".repeat(2000))).is_ambiguous());
        let everything = |times: usize| format!("/{}", ".%2e/%2f\\;%5c%3f".repeat(times));
        assert!(readings(&everything(1)).len() < 500);
        assert_eq!(error(&everything(20)), PathError::TooLong);
        assert!(path(&format!("/x%2f{}", "y".repeat(2000))).is_ambiguous());
    }

    #[test]
    fn folding_costs_nothing_without_upper_case() {
        assert_eq!(folded(path("/Admin").as_str()), "/admin"); // AT-PM-06
        assert_eq!(folded(path("/%41dmin").as_str()), "/admin");
        assert!(matches!(folded(path("/admin").as_str()), Cow::Borrowed("/admin")));
    }

    proptest! {
        // Differential (PX-41): however a simple program decodes, splits and resolves, its result is among the readings.
        #[test]
        fn a_normalising_reader_is_among_the_readings(
            text in "(/|%2[fF]|%5[cC]|\\.|%2[eE]|;|%3[bB]|a|b){0,12}", slashes: bool, backslashes: bool, merge: bool, params: bool, resolve: bool,
        ) {
            let sent = format!("/{text}");
            let mut decoded = sent.replace("%2e", ".").replace("%2E", ".");
            if slashes { decoded = decoded.replace("%2f", "/").replace("%2F", "/"); } else { decoded = decoded.replace("%2f", "%2F"); }
            decoded = decoded.replace("%5c", "\\").replace("%5C", "\\");
            if backslashes { decoded = decoded.replace('\\', "/"); }
            decoded = decoded.replace("%3b", ";").replace("%3B", ";");
            let mut segments: Vec<&str> = decoded.split('/').skip(1).collect();
            if params { segments = segments.into_iter().map(|s| s.split(';').next().unwrap()).collect(); }
            if merge {
                let last = segments.len() - 1;
                segments = segments.into_iter().enumerate().filter(|(i, s)| !s.is_empty() || *i == last).map(|(_, s)| s).collect();
            }
            if resolve {
                let last = segments.len() - 1;
                let mut kept = Vec::new();
                for (i, segment) in segments.into_iter().enumerate() {
                    match segment {
                        "." | ".." => {
                            if segment == ".." { kept.pop(); }
                            if i == last { kept.push(""); }
                        }
                        _ => kept.push(segment),
                    }
                }
                segments = kept;
            }
            let theirs = format!("/{}", segments.join("/"));
            let readings = readings(&sent);
            prop_assert!(readings.contains(&theirs), "{} is not among {:?}", theirs, readings);
        }

        #[test]
        fn what_is_not_ambiguous_has_one_reading(text in "/[a-z./%0-9;\\\\]{0,20}") {
            if let Ok(Ok(path)) = text.parse().map(|t: PathAndQuery| CanonicalPath::new(&t)) {
                let readings: Vec<String> = path.readings().collect();
                prop_assert!(readings.contains(&path.as_str().to_owned()));
                prop_assert!(path.is_ambiguous() || readings.len() == 1);
            }
        }
    }
}
