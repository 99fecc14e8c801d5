//! What is no request: hyper refuses a head that it cannot read by itself, with a status and nothing else. Its answer is caught on
//! the way out ([`Felt`]), and another takes its place that says something, and of which a line in the log tells.

use std::rc::Rc;

use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use crate::body::{Body, BodyError};
use crate::request::{BadRequest, Downstream, Unread};
use crate::server::pulse::Felt;

/// Answers in hyper's place, and ends the connection.
pub(super) async fn answer<S, F, T>(
    service: &S,
    mut stream: Felt<T>,
    downstream: &Rc<Downstream>,
    status: StatusCode,
) -> Result<(), BodyError>
where
    S: Fn(Request<Body>, Rc<Downstream>) -> F,
    F: Future<Output = Response<Body>>,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = Request::new(Body::Empty);
    // Nothing of it is known.
    (*request.method_mut(), *request.uri_mut()) = (Method::GET, Uri::from_static("*"));
    request.extensions_mut().insert(Unread(fault(status)));
    let (head, body) = service(request, Rc::clone(downstream)).await.into_parts();
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
    stream.pulse.refused_answered();
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
