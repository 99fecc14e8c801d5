//! W3C Trace Context: a valid `traceparent` goes on under a parent id of our own, an invalid one starts anew (FW-09).

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

use crate::hex;

/// Renews the trace of a request that has one: exactly one `traceparent` leaves (Trace Context sections 3.2 and 4.3), and
/// `tracestate` only beside one that was valid.
pub(super) fn renew(headers: &mut HeaderMap, random: fn() -> [u8; 24]) {
    let mut parents = headers.get_all(&TRACEPARENT).iter();
    let only = parents.next().filter(|_| parents.next().is_none());
    let valid =
        only.and_then(|value| parse(value.to_str().ok()?)).map(|(trace, flags)| (trace.to_owned(), flags.to_owned()));
    if valid.is_none() {
        headers.remove(&TRACESTATE);
        if !headers.contains_key(&TRACEPARENT) {
            return;
        }
    }
    let ids = hex::encode(&random());
    let Some((fresh_trace, parent)) = ids.split_at_checked(32) else { return };
    let (trace, flags) = valid.as_ref().map_or((fresh_trace, "00"), |(trace, flags)| (trace, flags));
    if let Ok(value) = HeaderValue::from_str(&format!("00-{trace}-{parent}-{flags}")) {
        headers.insert(TRACEPARENT, value);
    }
}

/// Trace id and flags of `version-traceid-parentid-flags`. Of a later version than 00 more may follow, behind a dash.
fn parse(text: &str) -> Option<(&str, &str)> {
    let (version, rest) = text.split_once('-')?;
    let (trace, rest) = rest.split_once('-')?;
    let (parent, rest) = rest.split_once('-')?;
    let flags = if version == "00" { rest } else { rest.split('-').next()? };
    let is_id = |id: &str, length| is_hex(id, length) && id.bytes().any(|byte| byte != b'0');
    let valid = is_hex(version, 2) && version != "ff" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2);
    valid.then_some((trace, flags))
}

/// So many hex digits in lower case.
fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The trace and the parent.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems add to it.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
