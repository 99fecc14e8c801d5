//! Trailers: fields after the body, which must not change what the head has settled
//! ([RFC 9110 section 6.5.1](https://www.rfc-editor.org/rfc/rfc9110#section-6.5.1); AT-HS-07).

use http::HeaderName;
use http::header::{HeaderMap, HeaderValue, TRAILER};

/// Whether a field may never stand in a trailer: it frames or routes the message, is hop-by-hop, or decides about access,
/// caching or cookies.
pub(in crate::proxy) fn is_forbidden(name: &HeaderName) -> bool {
    FORBIDDEN.split_ascii_whitespace().any(|forbidden| forbidden == name.as_str())
}

/// Takes forbidden names, and those that are `ours`, out of the `Trailer` lists: only announced trailers are forwarded, so
/// that what is not on the list is dropped when it comes.
pub(super) fn clean_list(headers: &mut HeaderMap, ours: impl Fn(&str) -> bool) {
    let mut kept = Vec::new();
    for list in headers.get_all(TRAILER) {
        let names = list.as_bytes().split(|byte| *byte == b',');
        let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
        kept.extend(names.filter(|name| !is_forbidden(name) && !ours(name.as_str())));
    }
    headers.remove(TRAILER);
    let names: Vec<&str> = kept.iter().map(HeaderName::as_str).collect();
    if !names.is_empty()
        && let Ok(list) = HeaderValue::from_str(&names.join(", "))
    {
        headers.insert(TRAILER, list);
    }
}

/// Names in lower case.
const FORBIDDEN: &str = "age authorization cache-control connection content-encoding content-length content-range content-type \
    cookie date expect expires host keep-alive location max-forwards proxy-authenticate proxy-authorization range retry-after \
    set-cookie te trailer transfer-encoding upgrade vary www-authenticate";
