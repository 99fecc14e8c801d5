//! Request targets with signs that no URI has and that clients send all the same: `"`, `<`, `>`, a backtick, bytes that are not UTF-8.
//!
//! Our types of URIs do not hold them. Such a target is judged percent-encoded, which means the same to whoever decodes it, and sent
//! to an HTTP/1.1 application byte for byte as it came. While it passes a parser, a harmless sign stands in place of each of them:
//! of the same length, so that the framing of what comes behind it cannot be changed.

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::percent_encode_byte;

use super::mapping::PathMapping;

/// A target in origin form as it was sent, up to a fragment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RawTarget(Bytes);

impl RawTarget {
    /// Looks at the request line at the beginning of `head`. If its target is one of these, every such sign is replaced in place,
    /// and the target comes back. A line that is not whole, not a request line, or holds something that is harmful stays as it is.
    pub fn take(head: &mut [u8]) -> Option<Self> {
        let end = memchr::memchr(b'\n', head)?;
        let line = head.get_mut(..end)?;
        // Most lines have nothing of the kind.
        if !line.iter().fold(false, |odd, byte| odd | matches!(byte, b'"' | b'<' | b'>' | b'`' | 0x80..)) {
            return None;
        }
        let start = memchr::memchr(b' ', line)? + 1;
        let line = line.get_mut(start..)?;
        let length = memchr::memchr(b' ', line)?;
        let (target, version) = line.split_at_mut_checked(length)?;
        if !version.starts_with(b" HTTP/1.") || target.first() != Some(&b'/') {
            return None;
        }
        let end = memchr::memchr(b'#', target).unwrap_or(target.len());
        let target = target.get_mut(..end)?;
        let stand_in = stand_in(target)?;
        let raw = Bytes::copy_from_slice(target);
        target.copy_from_slice(&stand_in);
        Some(Self(raw))
    }

    /// What is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What an application gets in its place.
    pub fn mapped(&self, mapping: &PathMapping) -> Option<Self> {
        if mapping.is_identity() {
            Some(self.clone())
        } else {
            mapping.bytes_to_application(&self.0).map(|to| Self(to.into()))
        }
    }

    /// What stands for it where it cannot stand itself, sign by sign.
    pub fn stand_in(&self) -> Option<PathAndQuery> {
        PathAndQuery::from_maybe_shared(Bytes::from(stand_in(&self.0)?)).ok()
    }

    /// What is judged: percent-encoded.
    pub fn encoded(&self) -> Option<PathAndQuery> {
        let odd = Odd::of(&self.0);
        let mut text = String::with_capacity(self.0.len() + 16);
        for (byte, is_odd) in odd.bytes(&self.0) {
            if is_odd || !byte.is_ascii() {
                text.push_str(percent_encode_byte(byte));
            } else {
                text.push(char::from(byte));
            }
        }
        PathAndQuery::try_from(text).ok()
    }

    /// Whether this is the target that a parser has read, with the signs that stand in.
    pub fn was_read_as(&self, uri: &Uri) -> bool {
        let read = uri.path_and_query().filter(|_| uri.authority().is_none());
        read.is_some_and(|read| self.stand_in().is_some_and(|stand_in| stand_in == *read))
    }
}

/// The target with [`STAND_IN`] in place of each odd sign; nothing if there is none.
fn stand_in(target: &[u8]) -> Option<Vec<u8>> {
    let odd = Odd::of(target);
    let mut found = false;
    let replaced = odd.bytes(target).map(|(byte, is_odd)| {
        found |= is_odd;
        if is_odd { STAND_IN } else { byte }
    });
    let replaced = replaced.collect();
    found.then_some(replaced)
}

/// Which bytes of a target are odd: `http` takes other signs in paths than in queries.
#[derive(Clone, Copy)]
struct Odd {
    query: usize,
    is_utf8: bool,
}

impl Odd {
    /// Looks at a target once.
    fn of(target: &[u8]) -> Self {
        Self {
            query: memchr::memchr(b'?', target).unwrap_or(target.len()),
            is_utf8: std::str::from_utf8(target).is_ok(),
        }
    }

    /// Each byte, and whether it is odd.
    fn bytes(self, target: &[u8]) -> impl Iterator<Item = (u8, bool)> {
        target.iter().enumerate().map(move |(at, byte)| {
            let is_odd = match byte {
                b'<' | b'>' => true,
                b'`' => at < self.query,
                b'"' => at > self.query,
                0x80.. => !self.is_utf8,
                _ => false,
            };
            (*byte, is_odd)
        })
    }
}

/// The sign that stands for each odd one.
const STAND_IN: u8 = b'_';

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &[u8]) -> (Vec<u8>, Option<RawTarget>) {
        let mut head = line.to_vec();
        let target = RawTarget::take(&mut head);
        (head, target)
    }

    #[test]
    fn odd_signs_stand_aside_and_come_back() {
        for (target, stand_in, encoded) in [
            (&b"/q?query=up{job=\"a\"}"[..], "/q?query=up{job=_a_}", "/q?query=up{job=%22a%22}"),
            (b"/q?a=<b>", "/q?a=_b_", "/q?a=%3Cb%3E"),
            (b"/a`b", "/a_b", "/a%60b"),
            (b"/<a>/\"b\"?`c`#\"d\"", "/_a_/\"b\"?`c`", "/%3Ca%3E/\"b\"?`c`"),
            (b"/caf\xe9?\xe9", "/caf_?_", "/caf%E9?%E9"),
            ("/é<".as_bytes(), "/é_", "/%C3%A9%3C"),
        ] {
            let line = [b"GET ", target, b" HTTP/1.1\r\nHost: \"<a>\"\r\n\r\n"].concat();
            let (head, raw) = taken(&line);
            let raw = raw.unwrap();
            assert_eq!(raw.as_bytes(), target.split(|byte| *byte == b'#').next().unwrap());
            assert_eq!(raw.stand_in().unwrap().as_str(), stand_in);
            assert_eq!(raw.encoded().unwrap().as_str(), encoded);
            assert_eq!(head.len(), line.len());
            assert!(head.starts_with(format!("GET {stand_in}").as_bytes()) && head.ends_with(b"Host: \"<a>\"\r\n\r\n"));
            assert!(raw.was_read_as(&stand_in.parse().unwrap()) && !raw.was_read_as(&"/other".parse().unwrap()));
            let based = raw.mapped(&PathMapping::new("", "/base")).unwrap();
            assert_eq!(based.stand_in().unwrap(), *format!("/base{stand_in}"));
        }
    }

    #[test]
    fn what_is_no_such_line_is_left_alone() {
        for line in [
            &b"GET /a?b HTTP/1.1\r\nX: \"<`\r\n\r\n"[..],
            b"GET /\"a\"?`b`#\"<\" HTTP/1.1\r\n\r\n",
            "GET /é HTTP/1.1\r\n\r\n".as_bytes(),
            b"GET /\"<\" HTTP/1.1",
            b"GET /\"<\"\r\n\r\n",
            b"GET /\"<\" HTTP/2.0\r\n\r\n",
            b"GET http://a/\"<\" HTTP/1.1\r\n\r\n",
            b"\"<\"",
            b"",
        ] {
            assert_eq!(taken(line), (line.to_vec(), None), "{line:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_but_the_target_changes_and_what_is_judged_is_what_is_sent(target in "/[a-z\"<>`?/%&=é]{0,12}", rest in ".{0,20}") {
            let line = format!("GET {target} HTTP/1.1\r\n{rest}");
            let (head, raw) = taken(line.as_bytes());
            proptest::prop_assert_eq!(head.len(), line.len());
            let Some(raw) = raw else { return Ok(()) };
            proptest::prop_assert_eq!(raw.as_bytes(), target.as_bytes());
            let head = String::from_utf8(head).unwrap();
            let back: Vec<u8> = head.bytes().enumerate().map(|(at, byte)| {
                if at >= 4 && at < 4 + target.len() { target.as_bytes()[at - 4] } else { byte }
            }).collect();
            proptest::prop_assert_eq!(back, line.as_bytes());
            let encoded = raw.encoded().unwrap();
            let decode = |text: &[u8]| {
                let mut out = Vec::new();
                crate::request::steps::decode_all(text, &mut out);
                out
            };
            proptest::prop_assert_eq!(decode(encoded.as_str().as_bytes()), decode(target.as_bytes()));
        }
    }
}
