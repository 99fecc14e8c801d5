//! What is no request: hyper refuses a head that it cannot read by itself, with a status and nothing else. Its answer is caught on
//! the way out ([`ObservedStream`]); ours takes its place, with a page and a line in the log.

use std::rc::Rc;

use http::{Method, Request, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;

use crate::body::{Body, BodyError};
use crate::request::{BadRequest, Downstream, Unread};
use crate::server::context::WorkerContext;
use crate::server::phase::Event;
use crate::server::stream::ObservedStream;

/// Answers in hyper's place, and ends the connection.
pub(super) async fn answer(
    context: &WorkerContext,
    mut stream: ObservedStream,
    downstream: &Rc<Downstream>,
    status: StatusCode,
) -> Result<(), BodyError> {
    let mut request = Request::new(Body::Empty);
    // Nothing of it is known.
    (*request.method_mut(), *request.uri_mut()) = (Method::GET, Uri::from_static("*"));
    request.extensions_mut().insert(Unread(fault(status)));
    let (head, body) = (context.service)(request, Rc::clone(downstream)).await.into_parts();
    let body = body.collect().await?.to_bytes();
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in &head.headers {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    if !head.headers.contains_key(http::header::CONTENT_LENGTH) {
        bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    stream.activity.note(Event::Reply);
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(stream.shutdown().await?)
}

/// What hyper means by a status that it answers by itself.
fn fault(status: StatusCode) -> BadRequest {
    match status {
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => BadRequest::HeadTooLarge,
        StatusCode::URI_TOO_LONG => BadRequest::TargetTooLong,
        _ => BadRequest::HeadMalformed,
    }
}
