//! The service of a connection: it notes when requests begin and when their answers end.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper::upgrade::OnUpgrade;

use crate::body::{Body, BodyError};
use crate::request::Downstream;
use crate::request::raw_target::RawTarget;
use crate::server::activity::{Activity, BodyWatch, OpenRequest};
use crate::server::context::WorkerContext;

/// The service of one connection, which notes when requests begin and end.
pub(super) fn answering(
    context: &WorkerContext,
    downstream: &Rc<Downstream>,
    activity: &Arc<Activity>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<AnswerBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<AnswerBody>, Infallible>> + 'static + use<>,
> {
    service_fn(move |mut request: Request<Incoming>| {
        let has_body = !request.body().is_end_stream();
        downstream.alone.set(!activity.is_answering());
        let mut open = activity.begin_request(request.version(), has_body);
        if has_body {
            request.extensions_mut().insert(BodyWatch::new(activity));
        }
        if request.extensions().get::<OnUpgrade>().is_some() {
            activity.never_park();
        }
        let mut request = request.map(Body::Incoming);
        if let Some(raw) = activity.take_raw_target() {
            restore_target(&mut request, raw);
        }
        let answer = (context.service)(request, Rc::clone(downstream));
        async move {
            let answer = answer.await;
            if matches!(answer.body(), Body::Stream(_)) && comes_over_time(answer.headers()) {
                open.take_time();
            }
            Ok(answer.map(|body| AnswerBody { body, open }))
        }
    })
}

/// Puts the target that is judged in place of the one that passed the parser for it.
fn restore_target(request: &mut Request<Body>, raw: RawTarget) {
    let judged = raw.encoded().filter(|_| raw.was_read_as(request.uri()));
    if let Some(judged) = judged {
        *request.uri_mut() = Uri::from(judged);
        request.extensions_mut().insert(raw);
    } else {
        // Another request than the one that the target came with: what was asked for is unknown.
        *request.uri_mut() = Uri::from_static("*");
    }
}

/// Event streams and gRPC: a peer that sends or reads little of them is not slow.
fn comes_over_time(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let begins = |with: &[u8]| kind.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins(b"text/event-stream") || begins(b"application/grpc")
}

/// The body of an answer; the request counts as open until it is gone.
pub(super) struct AnswerBody {
    body: Body,
    open: OpenRequest,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        self.open.note_piece(matches!(frame, Poll::Ready(Some(Ok(_)))));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
