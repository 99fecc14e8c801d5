//! Event streams end when the session does that opened them (WS-07, AT-WS-11): an application checks the identity once,
//! when the stream begins, and would go on sending events to somebody who has signed out.
//!
//! The end is a proper one, so that the browser's `EventSource` asks again
//! ([HTML section 9.2.3](https://html.spec.whatwg.org/multipage/server-sent-events.html#server-sent-events)), and gets 401.

use futures_util::StreamExt as _;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body_util::{BodyStream, StreamBody};

use crate::body::Body;

/// Whether an answer is a stream of events. Only what is still coming can be one.
pub(super) fn is_event_stream(answer: &Response<Body>) -> bool {
    matches!(answer.body(), Body::Stream(_))
        && answer.headers().get(CONTENT_TYPE).is_some_and(|value| {
            let media = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
        })
}

/// Ends an answer's body when `over` is done. An HTTP/1.1 connection is closed as well, so that every client notices.
pub(super) fn end_with(answer: &mut Response<Body>, over: impl Future<Output = ()> + Send + 'static, over_http2: bool) {
    if !over_http2 {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    // The length is not known any more.
    answer.headers_mut().remove(CONTENT_LENGTH);
    // The end is looked at first, for a busy stream has an event at each poll. Dropping the body closes the application's connection.
    let events = BodyStream::new(std::mem::take(answer.body_mut())).take_until(over);
    *answer.body_mut() = Body::stream(StreamBody::new(events));
}
