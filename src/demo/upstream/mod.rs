//! The sample application: it knows nothing of OAuth, greets by name from identity headers, and shows what it was sent.
//!
//! It works at any path, because only the last segment of a path means something to it:
//! `socket` and `stream` are pages, `echo` is the WebSocket, `ticks` the event stream, `headers.json` what arrived.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use serde_json::json;

use crate::body::{Body, BodyError};
use crate::demo::answer::answer;

mod page;
mod socket;

/// Answers one request.
pub(super) fn respond(request: Request<Incoming>) -> Response<Body> {
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    match last {
        "socket" => page::socket(),
        "stream" => page::stream(),
        "echo" => socket::echo(request),
        "ticks" => ticks(),
        "headers.json" => headers_json(request.headers()),
        "style.css" => answer(StatusCode::OK, "text/css", page::STYLE),
        "sample.js" => answer(StatusCode::OK, "text/javascript", page::SCRIPT),
        "favicon.ico" => empty(StatusCode::NO_CONTENT),
        _ => page::home(&request),
    }
}

/// One event a second, until the browser goes away.
fn ticks() -> Response<Body> {
    let events = stream::unfold(1_u64, |count| async move {
        if count > 1 {
            tokio::time::sleep(TICK).await;
        }
        let event = Bytes::from(format!("id: {count}\ndata: tick {count}\n\n"));
        Some((Ok::<_, BodyError>(Frame::data(event)), count + 1))
    });
    let mut response = answer(StatusCode::OK, "text/event-stream", "");
    *response.body_mut() = Body::stream(StreamBody::new(events));
    response
}

/// Every header field that arrived, in order, as `[["name", "value"], …]`.
fn headers_json(headers: &HeaderMap) -> Response<Body> {
    let fields: Vec<_> = headers.iter().map(|(name, value)| json!([name.as_str(), page::text(value)])).collect();
    answer(StatusCode::OK, "application/json", json!(fields).to_string())
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

/// The time from one event to the next.
const TICK: Duration = Duration::from_secs(1);
