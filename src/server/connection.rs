//! One connection on its worker: the handshake, HTTP/1.1 or HTTP/2, the limits, the wait between requests, and its end.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::{Service, service_fn};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::server::TlsStream;

use crate::body::{Body, BodyError};
use crate::flood::{Counted, Told};
use crate::request::raw_target::RawTarget;
use crate::request::{Downstream, TlsFacts};
use crate::server::listener::{Accepted, AcceptedStream};
use crate::server::places::Place;
use crate::server::pulse::{BodyWatch, Felt, OpenRequest, Order, Pulse};
use crate::server::refused;
use crate::server::roster::Enrolled;
use crate::server::settings::Limits;
use crate::server::tls::Certificates;
use crate::telemetry::metrics::Metrics;

/// What all connections of a worker share.
pub(super) struct Site<S> {
    service: S,
    http1: http1::Builder,
    /// The same, but that the capitals of fields' names are noted.
    http1_noting: http1::Builder,
    notes_capitals: Arc<AtomicBool>,
    http2: http2::Builder<Local>,
    tls: Option<Arc<Certificates>>,
    limits: Limits,
    metrics: Arc<Metrics>,
    /// When a flood was last written about.
    flood_told: Cell<Option<Instant>>,
}

impl<S> Site<S> {
    pub(super) fn new(
        service: S,
        tls: Option<Arc<Certificates>>,
        limits: Limits,
        metrics: Arc<Metrics>,
        notes_capitals: Arc<AtomicBool>,
    ) -> Self {
        let (http1, http2) = (http1_as_spoken(&limits), http2_as_spoken(&limits));
        let mut http1_noting = http1.clone();
        http1_noting.preserve_header_case(true);
        Self { service, http1, http1_noting, notes_capitals, http2, tls, limits, metrics, flood_told: Cell::new(None) }
    }

    /// A client was cut off for a flood of such frames. All are counted; who comes back with another flood, and another, shall
    /// not flood the log with it.
    fn flooded(&self, client: IpAddr, frames: &'static str) {
        self.metrics.flooded(frames);
        let now = Instant::now();
        if self.flood_told.get().is_none_or(|told| now.saturating_duration_since(told) >= FLOOD_SILENCE) {
            self.flood_told.set(Some(now));
            tracing::warn!(code = "http2_flood", %client, frames, "cut off a client that floods an HTTP/2 connection");
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S, F>(site: Rc<Site<S>>, accepted: Accepted, enrolled: Enrolled)
where
    S: Fn(Request<Body>, Rc<Downstream>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    // What follows is boxed by stream: a plain connection has no room for a TLS one.
    let Accepted { stream, peer, local_port, place } = accepted;
    let mut downstream = Downstream::new(peer, local_port, None);
    let outcome = match (stream, &site.tls) {
        (AcceptedStream::Tcp(stream), Some(certificates)) => {
            let Some(stream) = adopt(TcpStream::from_std(stream)) else { return };
            let handshake = encrypted(certificates, stream, site.limits.handshake_time, &enrolled.pulse);
            let Some(stream) = Box::pin(handshake).await else { return };
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

/// The handshake. Its outcome is boxed, because it is large and goes from hand to hand when the connection is parked.
async fn encrypted(
    certificates: &Certificates,
    stream: TcpStream,
    patience: Duration,
    pulse: &Pulse,
) -> Option<Box<TlsStream<TcpStream>>> {
    let mut handshake = pin!(timeout(patience, certificates.acceptor().accept(stream)));
    let outcome = poll_fn(|cx| {
        pulse.wake_by(cx);
        if pulse.order() == Order::Drop { Poll::Ready(None) } else { handshake.as_mut().poll(cx).map(Some) }
    });
    match outcome.await? {
        Ok(Ok(stream)) => return Some(Box::new(stream)),
        Ok(Err(cause)) => tracing::debug!(code = "tls_handshake_failed", %cause, "no TLS session"),
        Err(_) => tracing::debug!(code = "tls_handshake_timeout", "a TLS handshake took too long"),
    }
    None
}

fn adopt<T>(stream: io::Result<T>) -> Option<T> {
    stream.inspect_err(|cause| tracing::warn!(code = "connection_lost", %cause, "could not adopt a connection")).ok()
}

/// One connection from its first byte, or from a byte after it was parked, to its end.
pub(super) async fn speak<S, F, T>(
    site: &Rc<Site<S>>,
    stream: T,
    downstream: Downstream,
    enrolled: &Enrolled,
    place: Place,
) -> Result<(), BodyError>
where
    S: Fn(Request<Body>, Rc<Downstream>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let downstream = Rc::new(downstream);
    // The place among the open connections goes with the stream, so that an upgraded connection keeps it.
    let mut stream = Felt::new(stream, Arc::clone(&enrolled.pulse), place);
    let mut fresh = true;
    loop {
        // Both protocols are boxed: a connection that waits here has room for neither.
        match next_byte(&mut stream, fresh).await? {
            Next::Http1 => match Box::pin(http1(site, stream, &downstream, enrolled)).await? {
                Some(parked) => stream = parked,
                None => return Ok(()),
            },
            Next::Http2 => return Box::pin(http2(site, stream, &downstream, enrolled)).await,
            Next::Farewell => return Ok(farewell(&mut stream).await?),
            Next::Gone => return Ok(()),
        }
        fresh = false;
    }
}

/// What comes next on a connection that nobody speaks on.
enum Next {
    Http1,
    Http2,
    /// The other side closed its half, or we are to finish.
    Farewell,
    /// There is no time for a farewell.
    Gone,
}

/// Waits for bytes, which [`Felt::again`] has afterwards. A fresh connection speaks the protocol that they begin.
async fn next_byte<T: AsyncRead + Unpin>(stream: &mut Felt<T>, fresh: bool) -> io::Result<Next> {
    if !stream.again.is_empty() {
        return Ok(Next::Http1);
    }
    let mut begun = Vec::new();
    stream.pulse.parked.store(true, Relaxed);
    let next = poll_fn(|cx| {
        loop {
            stream.pulse.wake_by(cx);
            match stream.pulse.order() {
                Order::Serve => {}
                Order::Finish => return Poll::Ready(Ok(Next::Farewell)),
                Order::Drop => return Poll::Ready(Ok(Next::Gone)),
            }
            // On the stack, and large enough for most heads: hyper then needs not read at all before it answers.
            let mut room = [const { MaybeUninit::uninit() }; FIRST_READ];
            let mut read = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(Next::Farewell));
            }
            begun.extend_from_slice(read.filled());
            if !fresh || !H2_PREFACE.starts_with(begun.get(..H2_PREFACE.len()).unwrap_or(&begun)) {
                return Poll::Ready(Ok(Next::Http1));
            } else if begun.len() >= H2_PREFACE.len() {
                return Poll::Ready(Ok(Next::Http2));
            }
        }
    })
    .await;
    stream.pulse.parked.store(false, Relaxed);
    stream.again = begun.into();
    next
}

/// Closes our side, which on TLS is a message of its own.
async fn farewell<T: AsyncWrite + Unpin>(stream: &mut Felt<T>) -> io::Result<()> {
    poll_fn(|cx| {
        stream.pulse.wake_by(cx);
        if stream.pulse.order() == Order::Drop { Poll::Ready(Ok(())) } else { Pin::new(&mut *stream).poll_shutdown(cx) }
    })
    .await
}

/// HTTP/1.1 until the connection ends, or is parked: then the stream comes back.
async fn http1<S, F, T>(
    site: &Rc<Site<S>>,
    stream: Felt<T>,
    downstream: &Rc<Downstream>,
    enrolled: &Enrolled,
) -> Result<Option<Felt<T>>, BodyError>
where
    S: Fn(Request<Body>, Rc<Downstream>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pulse = &enrolled.pulse;
    let service = answering(site, downstream, pulse);
    let protocol = if site.notes_capitals.load(Relaxed) { &site.http1_noting } else { &site.http1 };
    let mut connection = protocol.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut finishing = false;
    let outcome = poll_fn(|cx| {
        pulse.wake_by(cx);
        let order = pulse.order();
        if order == Order::Drop {
            return Poll::Ready(Ok(false));
        }
        // Only hyper knows for certain that it has nothing in its hands. Told to finish, it ends at once if that is so, except
        // that the stream stays open; if not, this was the last request: no harm, but it does not happen.
        let park = order == Order::Serve && !finishing && pulse.takes_parking();
        if (park || order == Order::Finish) && !finishing {
            finishing = true;
            pulse.park(park);
            Pin::new(&mut connection).graceful_shutdown();
        }
        let outcome = Pin::new(&mut connection).poll(cx);
        pulse.park(false);
        if outcome.is_pending() {
            enrolled.roster.resting.note(pulse);
        }
        outcome.map_ok(|()| park)
    })
    .await;
    if let Some(status) = pulse.refused() {
        let Some(parts) = connection.into_parts() else { return Ok(None) };
        let stream = parts.io.into_inner();
        // What is rare is boxed.
        let answered =
            Box::pin(timeout(site.limits.header_time, refused::answer(&site.service, stream, downstream, status)));
        return answered.await?.map(|()| None);
    }
    let parked = outcome?;
    let parts = if parked { connection.into_parts() } else { None };
    Ok(parts.map(|parts| {
        let mut stream = parts.io.into_inner();
        // The beginning of a request that came together with the one before. An empty buffer would keep its memory.
        stream.again = if parts.read_buf.is_empty() { Bytes::new() } else { parts.read_buf };
        stream
    }))
}

async fn http2<S, F, T>(
    site: &Rc<Site<S>>,
    stream: Felt<T>,
    downstream: &Rc<Downstream>,
    enrolled: &Enrolled,
) -> Result<(), BodyError>
where
    S: Fn(Request<Body>, Rc<Downstream>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pulse = &enrolled.pulse;
    let service = answering(site, downstream, pulse);
    let stream = Counted::accepted(stream, |told| match told {
        Told::Flood(frames) => site.flooded(downstream.peer.address(), frames),
        Told::Content(bytes) => pulse.note_written(bytes),
    });
    let mut connection = pin!(site.http2.serve_connection(TokioIo::new(stream), service));
    let mut finishing = false;
    poll_fn(|cx| {
        pulse.wake_by(cx);
        match pulse.order() {
            Order::Finish if !finishing => {
                finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Serve | Order::Finish => {}
            Order::Drop => return Poll::Ready(Ok(())),
        }
        connection.as_mut().poll(cx).map_err(Into::into)
    })
    .await
}

/// The service of one connection, which notes when requests begin and end.
fn answering<S, F>(
    site: &Rc<Site<S>>,
    downstream: &Rc<Downstream>,
    pulse: &Arc<Pulse>,
) -> impl Service<Request<Incoming>, Response = Response<Answer>, Error = Infallible, Future = Answering<F>>
where
    S: Fn(Request<Body>, Rc<Downstream>) -> F + 'static,
    F: Future<Output = Response<Body>> + 'static,
{
    service_fn(move |mut request: Request<Incoming>| {
        let has_body = !request.body().is_end_stream();
        downstream.note_begun(pulse.is_answering());
        let open = pulse.begin_request(request.version(), has_body);
        if has_body {
            request.extensions_mut().insert(BodyWatch::new(pulse));
        }
        if request.extensions().get::<OnUpgrade>().is_some() {
            pulse.never_park();
        }
        let mut request = request.map(Body::Incoming);
        if let Some(raw) = pulse.take_raw_target() {
            aim(&mut request, raw);
        }
        // Boxed, because a connection that waits for its next request would have room for all of one otherwise.
        Answering { answer: Box::pin((site.service)(request, Rc::clone(downstream))), open: Some(open) }
    })
}

/// Puts what is judged in place of what stood in for it on the way through the parser.
fn aim(request: &mut Request<Body>, raw: RawTarget) {
    let judged = raw.encoded().filter(|_| raw.was_read_as(request.uri()));
    if let Some(judged) = judged {
        *request.uri_mut() = Uri::from(judged);
        request.extensions_mut().insert(raw);
    } else {
        // Another request than the one that the target came with: nobody knows what was asked for.
        *request.uri_mut() = Uri::from_static("*");
    }
}

/// A request that is being answered, until the head of the answer is there.
struct Answering<F> {
    answer: Pin<Box<F>>,
    open: Option<OpenRequest>,
}

impl<F: Future<Output = Response<Body>>> Future for Answering<F> {
    type Output = Result<Response<Answer>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.answer.as_mut().poll(cx));
        let mut open = self.open.take();
        if let (Body::Stream(_), Some(open)) = (answer.body(), &mut open)
            && comes_over_time(answer.headers())
        {
            open.take_time();
        }
        Poll::Ready(Ok(answer.map(|body| Answer { body, open })))
    }
}

/// Event streams and gRPC: nobody is slow who sends or reads little of them.
fn comes_over_time(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let begins = |with: &[u8]| kind.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins(b"text/event-stream") || begins(b"application/grpc")
}

/// HTTP/1.1 as we speak it. Head and idle times are not hyper's here: see pulse.rs.
fn http1_as_spoken(limits: &Limits) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        // A client that closes its side before the answer is gone, as everywhere else: its upstream request is given up.
        .half_close(false)
        // A head and a small body leave in one plain write. The copy of a large body costs less than the bookkeeping of pieces.
        .writev(false)
        .max_buf_size(limits.header_bytes.max(H1_SMALLEST_BUFFER));
    protocol
}

fn http2_as_spoken(limits: &Limits) -> http2::Builder<Local> {
    let mut protocol = http2::Builder::new(Local);
    protocol
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.h2_streams)
        // Told in SETTINGS and enforced after decompression (PX-48, RFC 9113 section 10.5.1); it bounds CONTINUATION, too.
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        // Rapid reset (PX-47, CVE-2023-44487), and its mirror that makes us do the resetting (CVE-2025-8671).
        .max_pending_accept_reset_streams(H2_RESETS)
        .max_local_error_reset_streams(H2_RESETS)
        .max_send_buf_size(H2_SEND_BUFFER)
        .initial_stream_window_size(H2_UPLOAD)
        .initial_connection_window_size(H2_UPLOADS)
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
    open: Option<OpenRequest>,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if let Some(open) = &mut self.open {
            open.note_piece(matches!(frame, Poll::Ready(Some(Ok(_)))));
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How an HTTP/2 connection begins (RFC 9113 section 3.4).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read at most before it is known what speaks.
const FIRST_READ: usize = 8192;
/// hyper does not take a smaller buffer, so a smaller `header_bytes` counts as this.
const H1_SMALLEST_BUFFER: usize = 8192;
/// Floods within this time after one that was written to the log are only counted, on each worker.
const FLOOD_SILENCE: Duration = Duration::from_secs(1);
/// Streams that a client may reset, or make us reset, before they are reaped; one more is GOAWAY.
const H2_RESETS: usize = 32;
/// Bytes of an answer that one stream may hold while its reader is slow.
const H2_SEND_BUFFER: usize = 64 * 1024;
/// Bytes of one request's body that wait for a slow application, and of all on a connection. hyper's own is 1 MiB for each. An upload
/// over a way of 20 ms there and back still has 6 MiB a second.
const H2_UPLOAD: u32 = 128 * 1024;
const H2_UPLOADS: u32 = 2 * H2_UPLOAD;
