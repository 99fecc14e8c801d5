//! What an application answered, before it is passed on: faults that could deceive the browser or the next request are
//! refused here (AT-SM-19), and a `101` starts its tunnel.

use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::body::Body;
use crate::proxy::response_body::ResponseBody;
use crate::proxy::upgrade::{self, UpgradeTicket};

/// What is wrong with an answer's head, if anything; `asked`: the request asked for a WebSocket.
pub(super) fn fault(response: &Response<Incoming>, asked: bool) -> Option<&'static str> {
    let (status, headers) = (response.status(), response.headers());
    if headers.len() > MOST_FIELDS {
        Some(TOO_MANY_FIELDS)
    } else if status.as_u16() > LAST_STATUS {
        Some("its status is not a status")
    } else if status == StatusCode::SWITCHING_PROTOCOLS && !(asked && upgrade::is_websocket(headers)) {
        // RFC 9110 section 15.2.2; PX-14
        Some("it switches to a protocol that was not asked for")
    } else if headers.contains_key(TRANSFER_ENCODING) {
        coding_fault(status, headers)
    } else {
        None
    }
}

/// Turns the application's answer into ours; `idle` is the longest silence of a body that has not come yet.
pub(super) fn finish(
    idle: Option<Duration>,
    mut response: Response<Incoming>,
    ticket: Option<Box<UpgradeTicket>>,
) -> Response<Body> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(ticket) = ticket
    {
        let application = hyper::upgrade::on(&mut response);
        tokio::task::spawn_local(upgrade::tunnel(*ticket, application));
        return response.map(|_| Body::Empty);
    }
    // An application may speak HTTP/1.0; the version towards the browser is our own.
    if response.version() != Version::HTTP_2 {
        *response.version_mut() = Version::HTTP_11;
    }
    // A body of known length has no trailers, and one that is here cannot fall silent: nothing to watch.
    let plain = idle.is_none() && response.headers().contains_key(CONTENT_LENGTH);
    let idle = idle.unwrap_or(Duration::MAX);
    response.map(|body| match body {
        body if body.is_end_stream() => Body::Empty,
        body if plain => Body::Incoming(body),
        body => Body::stream(ResponseBody::new(body, idle)),
    })
}

/// `Transfer-Encoding` is ours to take off, so it must be the one that we can: chunked, once, and alone (RFC 9112 sections
/// 6.1 and 6.3).
fn coding_fault(status: StatusCode, headers: &HeaderMap) -> Option<&'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = codings.next().is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    if !chunked || codings.next().is_some() {
        return Some("its transfer coding is not chunked");
    }
    if headers.contains_key(CONTENT_LENGTH) && status != StatusCode::NOT_MODIFIED {
        return Some("it has both a length and a transfer coding");
    }
    None
}

/// The last status that there is ([RFC 9110 section 15](https://www.rfc-editor.org/rfc/rfc9110#section-15)).
const LAST_STATUS: u16 = 599;
/// Header fields of an application's answer, over HTTP/1.1 and HTTP/2. hyper's own limit for HTTP/1.1 is 100, which a page with
/// many `Link` fields or cookies goes beyond.
pub(super) const MOST_FIELDS: usize = 256;
/// What is wrong with more than [`MOST_FIELDS`].
const TOO_MANY_FIELDS: &str = "its header has more than 256 fields";
/// hyper does not distinguish the two.
pub(super) const HEADER_TOO_LARGE: &str = "its header has more than 256 fields, or more than 64 KiB"; // pool.rs, BUFFER
