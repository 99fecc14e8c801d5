//! Fields that belong to one connection, and the fields that count hops
//! ([RFC 9110 section 7.6](https://www.rfc-editor.org/rfc/rfc9110#section-7.6)).

use http::header::{
    CONNECTION, EXPECT, HeaderMap, HeaderName, HeaderValue, MAX_FORWARDS, TRANSFER_ENCODING, UPGRADE, VIA,
};

use crate::proxy::headers::HeaderRefusal;

/// Removes `Connection` and what it nominates. Some fields are meant for every recipient: a client that nominates those
/// wants them to be lost (PX-03), and they stay. Nothing that the gateway sets can be lost: it is set afterwards (PX-02).
pub(super) fn remove_nominated(headers: &mut HeaderMap) {
    let lists = headers.get_all(CONNECTION).iter();
    let tokens = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let plain = |token: &&[u8]| {
        let token = token.trim_ascii();
        !token.is_empty() && !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive")
    };
    let names = tokens.filter(plain).filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok());
    let is_for_everybody = |name: &HeaderName| FOR_EVERYBODY.split(' ').any(|known| known == name.as_str());
    let nominated: Vec<_> = names.filter(|name| !is_for_everybody(name)).collect();
    headers.remove(CONNECTION);
    for name in nominated {
        headers.remove(name);
    }
}

/// Removes the fields that are hop-by-hop whether or not they are nominated (PX-01).
pub(super) fn remove_known(headers: &mut HeaderMap) {
    headers.remove(TRANSFER_ENCODING);
    headers.remove(UPGRADE);
    for name in ["keep-alive", "proxy-connection", "http2-settings"] {
        headers.remove(name);
    }
}

/// Whether `Via` already has our pseudonym.
pub(super) fn passed(headers: &HeaderMap, pseudonym: &str) -> bool {
    let entries = headers.get_all(VIA).iter().flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    let mut by = entries.filter_map(|entry| {
        let mut words = entry.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        words.nth(1)
    });
    by.any(|by| by.eq_ignore_ascii_case(pseudonym.as_bytes()))
}

/// Counts one forward off `Max-Forwards`; a value that is no number is dropped.
pub(super) fn count_forward(headers: &mut HeaderMap) -> Result<(), HeaderRefusal> {
    let left = headers
        .get(MAX_FORWARDS)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse::<u32>().ok());
    match left.map(|left| left.checked_sub(1)) {
        Some(Some(left)) => {
            headers.insert(MAX_FORWARDS, HeaderValue::from(left));
            Ok(())
        }
        Some(None) => Err(HeaderRefusal::LastHop),
        None => {
            headers.remove(MAX_FORWARDS);
            Ok(())
        }
    }
}

/// `100-continue` is the only expectation there is.
pub(super) fn expectation_is_known(headers: &HeaderMap) -> bool {
    headers.get_all(EXPECT).iter().all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Fields that no `Connection` can take away: what frames or routes the message, what says who may see it.
const FOR_EVERYBODY: &str = "authorization cache-control content-encoding content-length content-range content-security-policy \
    content-type cookie date host origin set-cookie strict-transport-security via";
