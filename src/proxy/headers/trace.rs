//! W3C Trace Context: a valid `traceparent` goes on under a parent id of our own, an invalid one starts anew (FW-09).

use http::HeaderMap;
use http::header::HeaderName;

use crate::trace::TraceParent;

/// Renews the trace of a request that has one: exactly one `traceparent` leaves (Trace Context sections 3.2 and 4.3), and
/// `tracestate` only beside one that was valid.
pub(super) fn renew(headers: &mut HeaderMap, random: fn() -> [u8; 24]) {
    let valid = TraceParent::of(headers);
    if valid.is_none() {
        headers.remove(&TRACESTATE);
        if !headers.contains_key(&TRACEPARENT) {
            return;
        }
    }
    let drawn = TraceParent::drawn(random());
    TraceParent { span: drawn.span, ..valid.unwrap_or(drawn) }.write(headers);
}

/// The trace and the parent.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What tracing systems add to it.
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
