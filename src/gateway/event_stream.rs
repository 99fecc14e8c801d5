//! Event streams end when the session does that opened them (WS-07, AT-WS-11): an application checks the identity once,
//! when the stream begins, and would go on sending events to somebody who has signed out.
//!
//! The end is a proper one, so that the browser's `EventSource` asks again
//! ([HTML section 9.2.3](https://html.spec.whatwg.org/multipage/server-sent-events.html#server-sent-events)), and gets 401.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError};

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
    let events = std::mem::take(answer.body_mut());
    *answer.body_mut() = Body::stream(EndingStream { events, over: Box::pin(over) });
}

struct EndingStream {
    events: Body,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl HttpBody for EndingStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // The end first: a busy stream has an event at each poll.
        if !self.events.is_end_stream() && self.over.as_mut().poll(cx).is_ready() {
            // Dropping the body closes the application's connection.
            self.events = Body::Empty;
            self.over = Box::pin(std::future::pending());
        }
        Pin::new(&mut self.events).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.events.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // How much comes is not known: the session may end.
        SizeHint::default()
    }
}
