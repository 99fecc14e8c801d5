//! Which answers caches in front may keep.

use http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, HeaderValue};

/// Keeps an answer that carries a session out of every cache: one that kept it would hand the session to the next person (CK-20).
/// Fields that some cache has more regard for than for `Cache-Control` are taken out, whoever set them.
pub fn forbid_caching(headers: &mut HeaderMap) {
    let others: Vec<HeaderName> = headers.keys().filter(|name| is_for_caches(name)).cloned().collect();
    for name in others {
        headers.remove(name);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
}

/// Whether a value lets a cache that many people share keep the answer: it does unless it says otherwise
/// ([RFC 9111 section 3](https://www.rfc-editor.org/rfc/rfc9111#section-3); a cookie does not keep a cache from storing).
pub fn is_shareable(name: &HeaderName, value: &HeaderValue) -> bool {
    if *name == EXPIRES || !is_for_caches(name) {
        return false;
    }
    let directives = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let names = directives.map(|directive| directive.split(|byte| *byte == b'=').next().unwrap_or_default());
    let forbids = |name: &[u8]| FORBIDDING.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()));
    // `X-Accel-Expires: 0` and `off`.
    !names.into_iter().any(forbids)
}

/// Whether a field tells caches what to keep: `Cache-Control`, `Expires`, and what takes precedence over them.
fn is_for_caches(name: &HeaderName) -> bool {
    let name = name.as_str();
    // RFC 9213 section 2.2: targeted fields end so, such as `CDN-Cache-Control`.
    name.ends_with("cache-control")
        || ["edge-control", "expires", "surrogate-control", "x-accel-expires"].contains(&name)
}

/// Directives with which no shared cache answers the next person from what it keeps.
const FORBIDDING: [&str; 5] = ["no-cache", "no-store", "private", "0", "off"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cache_keeps_an_answer_that_carries_a_session() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("cache-control", "public, max-age=31536000"),
            ("cache-control", "immutable"),
            ("cdn-cache-control", "max-age=60"),
            ("cloudflare-cdn-cache-control", "max-age=60"),
            ("surrogate-control", "max-age=60"),
            ("edge-control", "cache-maxage=1h"),
            ("x-accel-expires", "3600"),
            ("expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("etag", "\"e\""),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        forbid_caching(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("cache-control", "no-store"), ("etag", "\"e\"")]);
    }

    #[test]
    fn a_value_is_shareable_unless_it_says_otherwise() {
        for (name, value, yes) in [
            ("cache-control", "public", true),
            ("cache-control", "max-age=60", true),
            ("cache-control", "s-maxage=60, must-revalidate", true),
            ("cache-control", "private, max-age=60", false),
            ("cache-control", "max-age=60,NO-STORE", false),
            ("cache-control", "no-cache=\"x\"", false),
            ("cache-control", "no-store-it, privately", true),
            ("cdn-cache-control", "max-age=60", true),
            ("surrogate-control", "no-store", false),
            ("x-accel-expires", "60", true),
            ("x-accel-expires", "0", false),
            ("expires", "0", false),
            ("vary", "public", false),
        ] {
            let is = is_shareable(&HeaderName::from_static(name), &HeaderValue::from_static(value));
            assert_eq!(is, yes, "{name}: {value}");
        }
    }
}
