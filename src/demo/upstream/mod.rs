//! The sample application: it knows nothing of OAuth, greets by name from identity headers, and shows what it was sent.
//!
//! It works at any path, because only the last segment of a path means something to it:
//! `socket` and `stream` are pages, `echo` is the WebSocket, `ticks` the event stream, `headers.json` what arrived.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use serde_json::json;

use crate::body::{Body, BodyError};

mod page;
mod socket;

/// Answers one request.
pub(super) fn answer(request: Request<Incoming>) -> Response<Body> {
    let last = request.uri().path().rsplit('/').next().unwrap_or_default();
    match last {
        "socket" => page::socket(),
        "stream" => page::stream(),
        "echo" => socket::echo(request),
        "ticks" => ticks(),
        "headers.json" => headers_json(request.headers()),
        "style.css" => typed("text/css", page::STYLE),
        "sample.js" => typed("text/javascript", page::SCRIPT),
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
    let mut response = Response::new(Body::stream(StreamBody::new(events)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Every header field that arrived, in order, as `[["name", "value"], …]`.
fn headers_json(headers: &HeaderMap) -> Response<Body> {
    let fields: Vec<_> = headers.iter().map(|(name, value)| json!([name.as_str(), page::text(value)])).collect();
    typed("application/json", json!(fields).to_string())
}

fn typed(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response
}

const TICK: Duration = Duration::from_secs(1);
