//! `X-Forwarded-Prefix`: what proxies took off the beginning of the path. No specification has it; frameworks put it before every
//! link that they make, so that what stands there must not be more than a path.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What an application is told that has `own` taken off its paths. Where the peer is a trusted proxy, what that one took off stands
/// before it, in one value: Spring puts the entries of a list together in this order, but others take only one of them.
pub fn told(headers: &HeaderMap, peer_trusted: bool, own: &str) -> Option<HeaderValue> {
    let before = if peer_trusted { stated(headers).unwrap_or_default() } else { String::new() };
    HeaderValue::try_from(format!("{before}{own}")).ok()
}

/// What a trusted proxy says was taken off before. Nothing where any entry is not a plain path: a proxy may have let it through.
fn stated(headers: &HeaderMap) -> Option<String> {
    let mut before = String::new();
    for field in headers.get_all(&X_FORWARDED_PREFIX) {
        for entry in field.to_str().ok()?.split(',').map(str::trim) {
            let entry = entry.strip_suffix('/').unwrap_or(entry);
            if !entry.is_empty() && !is_plain(entry) {
                return None;
            }
            before.push_str(entry);
        }
    }
    (before.len() <= LONGEST).then_some(before)
}

/// Whether this is a path of unreserved characters ([RFC 3986 section 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3)) that
/// nobody can read as anything else: no authority, no dot segments.
fn is_plain(path: &str) -> bool {
    let is_segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~'))
    };
    path.strip_prefix('/').is_some_and(|path| path.split('/').all(is_segment))
}

/// The name of the field.
pub static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// Bytes of all entries together.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(fields: &[&str], peer_trusted: bool) -> String {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(&X_FORWARDED_PREFIX, HeaderValue::from_bytes(field.as_bytes()).unwrap());
        }
        told(&headers, peer_trusted, "/wiki").unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn what_a_trusted_proxy_took_off_stands_before_our_own() {
        for (fields, told) in [
            (&[][..], "/wiki"),
            (&["/outer"], "/outer/wiki"),
            (&["/outer/"], "/outer/wiki"),
            (&["/a/b-c.d_e~1"], "/a/b-c.d_e~1/wiki"),
            (&["/one, /two"], "/one/two/wiki"),
            (&["/one", "/two"], "/one/two/wiki"),
            (&["/"], "/wiki"),
            (&[""], "/wiki"),
        ] {
            assert_eq!(told_of(fields, true), told, "{fields:?}");
            assert_eq!(told_of(fields, false), "/wiki", "{fields:?}");
        }
    }

    #[test]
    fn what_is_more_than_a_path_is_not_passed_on() {
        let long = format!("/{}", "a".repeat(LONGEST));
        for wrong in [
            "//evil.example",
            "https://evil.example",
            "evil",
            "/a//b",
            "/../x",
            "/a/.",
            "/a\\b",
            "/%2fevil",
            "/a b",
            "/a?b",
            "/a#b",
            "/a;b",
            "/é",
            "/\"><script>",
            &long,
        ] {
            assert_eq!(told_of(&[wrong], true), "/wiki", "{wrong}");
            assert_eq!(told_of(&["/outer", wrong], true), "/wiki", "{wrong}");
        }
    }
}
