//! One connection on its worker: the handshake, HTTP/1.1 or HTTP/2, the limits, and its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::body::{Body, BodyError};
use crate::request::{Downstream, TlsFacts};
use crate::server::listener::{Accepted, AcceptedStream, Place};
use crate::server::pulse::{Enrolled, Felt, OpenRequest, Order};
use crate::server::settings::Limits;
use crate::server::tls::Certificates;

/// What all connections of a worker share.
pub(super) struct Site<S> {
    service: S,
    protocol: auto::Builder<Local>,
    tls: Option<Arc<Certificates>>,
    limits: Limits,
}

impl<S> Site<S> {
    pub(super) fn new(service: S, tls: Option<Arc<Certificates>>, limits: Limits) -> Self {
        Self { service, protocol: protocol(&limits), tls, limits }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S, F>(site: Rc<Site<S>>, accepted: Accepted, enrolled: Enrolled)
where
    S: Fn(Request<Incoming>, Rc<Downstream>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    // What follows is boxed by stream: a plain connection has no room for a TLS one.
    let Accepted { stream, peer, local_port, place } = accepted;
    let mut downstream = Downstream::new(peer, local_port, None);
    let outcome = match (stream, &site.tls) {
        (AcceptedStream::Tcp(stream), Some(certificates)) => {
            let Some(stream) = adopt(TcpStream::from_std(stream)) else { return };
            let handshake = certificates.acceptor().accept(stream);
            let stream = match timeout(site.limits.handshake_time, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(cause)) => return tracing::debug!(code = "tls_handshake_failed", %cause, "no TLS session"),
                Err(_) => return tracing::debug!(code = "tls_handshake_timeout", "a TLS handshake took too long"),
            };
            let server_name = stream.get_ref().1.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
            downstream.tls = Some(TlsFacts { server_name });
            Box::pin(speak(&site, stream, downstream, &enrolled, place)).await
        }
        (AcceptedStream::Tcp(stream), None) => {
            let Some(stream) = adopt(TcpStream::from_std(stream)) else { return };
            Box::pin(speak(&site, stream, downstream, &enrolled, place)).await
        }
        (AcceptedStream::Unix(stream), _) => {
            let Some(stream) = adopt(UnixStream::from_std(stream)) else { return };
            Box::pin(speak(&site, stream, downstream, &enrolled, place)).await
        }
    };
    if let Err(cause) = outcome {
        // Whatever the client did (noise, resets, plain text to TLS), it is answered by hyper where an answer is possible.
        tracing::debug!(code = "connection_broken", %cause, "a connection ended early");
    }
}

fn adopt<T>(stream: std::io::Result<T>) -> Option<T> {
    stream.inspect_err(|cause| tracing::warn!(code = "connection_lost", %cause, "could not adopt a connection")).ok()
}

async fn speak<S, F, T>(
    site: &Rc<Site<S>>,
    stream: T,
    downstream: Downstream,
    enrolled: &Enrolled,
    place: Place,
) -> Result<(), BodyError>
where
    S: Fn(Request<Incoming>, Rc<Downstream>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pulse = &enrolled.pulse;
    let downstream = Rc::new(downstream);
    let service = service_fn(|request: Request<Incoming>| {
        let open = pulse.begin_request(request.version());
        // Boxed, because a connection that waits for its next request would have room for all of one otherwise.
        let answer = Box::pin((site.service)(request, Rc::clone(&downstream)));
        answer.map(|answer| Ok::<_, Infallible>(answer.map(|body| Answer { body, open })))
    });
    // The place among the open connections goes with the stream, so that an upgraded connection keeps it.
    let stream = TokioIo::new(Felt { inner: stream, pulse: Arc::clone(pulse), _place: place });
    let mut connection = pin!(site.protocol.serve_connection_with_upgrades(stream, service));
    let mut finishing = false;
    let mut known = false;
    poll_fn(|cx| {
        if !known {
            known = true;
            pulse.wake_by(cx);
        }
        match pulse.order() {
            Order::Serve => {}
            Order::Finish if finishing => {}
            Order::Finish => {
                finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Drop => return Poll::Ready(Ok(())),
        }
        connection.as_mut().poll(cx)
    })
    .await
}

/// HTTP/1.1 and HTTP/2 as we speak them. Head and idle times are not hyper's here: see pulse.rs.
fn protocol(limits: &Limits) -> auto::Builder<Local> {
    let mut protocol = auto::Builder::new(Local);
    protocol
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A client that closes its side before the answer is gone, as everywhere else: its upstream request is given up.
        .half_close(false)
        .max_buf_size(limits.header_bytes.max(H1_SMALLEST_BUFFER));
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        // Told in SETTINGS and enforced after decompression (PX-48, RFC 9113 section 10.5.1); it bounds CONTINUATION, too.
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // Rapid reset (PX-47, CVE-2023-44487), and its mirror that makes us do the resetting (CVE-2025-8671).
        .max_pending_accept_reset_streams(H2_RESETS)
        .max_local_error_reset_streams(H2_RESETS)
        .max_send_buf_size(H2_SEND_BUFFER)
        .keep_alive_interval(limits.idle_time / 2)
        .keep_alive_timeout(limits.idle_time / 2);
    protocol
}

/// Runs the streams of an HTTP/2 connection on the thread of its worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        drop(tokio::task::spawn_local(async move {
            future.await;
        }));
    }
}

/// The body of an answer; the request counts as open until it is gone.
struct Answer {
    body: Body,
    open: OpenRequest,
}

impl HttpBody for Answer {
    type Data = bytes::Bytes;
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

/// hyper does not take a smaller buffer, so a smaller `header_bytes` counts as this.
const H1_SMALLEST_BUFFER: usize = 8192;
/// Streams that a client may reset, or make us reset, before they are reaped; one more is GOAWAY.
const H2_RESETS: usize = 32;
/// Bytes of an answer that one stream may hold while its reader is slow.
const H2_SEND_BUFFER: usize = 64 * 1024;
