//! One connection on its worker: the handshake, the wait for a first byte and between requests, and its end. What is spoken in
//! between is HTTP/1.1 (`http1.rs`) or HTTP/2 (`http2.rs`); [`Phase`](crate::server::phase::Phase) draws where it stands.

use std::future::{Future, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use crate::body::BodyError;
use crate::byte_stream::ByteStream;
use crate::request::{Downstream, Peer, TlsFacts};
use crate::server::activity::{Activity, Order};
use crate::server::context::WorkerContext;
use crate::server::listener::Accepted;
use crate::server::permits::ConnectionPermit;
use crate::server::roster::Enrolled;
use crate::server::stream::ObservedStream;
use crate::server::tls::Certificates;
use crate::server::{http1, http2};

/// Serves one connection to its end.
pub(super) async fn serve(context: Rc<WorkerContext>, accepted: Accepted, enrolled: Enrolled) {
    let Accepted { stream, peer, local_port, permit, .. } = accepted;
    let mut downstream = Downstream::new(peer, local_port, None);
    let mut stream = match stream.adopt() {
        Ok(stream) => stream,
        Err(cause) => return tracing::warn!(code = "connection_lost", %cause, "could not adopt a connection"),
    };
    if let (Peer::Ip(_), Some(certificates)) = (peer, &context.tls) {
        // Boxed, because a plain connection would have room for a handshake otherwise.
        let handshake = encrypted(certificates, stream, context.limits.handshake_time, &enrolled.activity);
        let Some(encrypted) = Box::pin(handshake).await else { return };
        let server_name = encrypted.get_ref().1.server_name().map(|name| Arc::from(name.to_ascii_lowercase()));
        downstream.tls = Some(TlsFacts { server_name });
        stream = encrypted;
    }
    if let Err(cause) = Box::pin(speak(&context, stream, downstream, &enrolled, permit)).await {
        // Whatever the client did (noise, resets, plain text to TLS), it is answered by hyper where an answer is possible.
        tracing::debug!(code = "connection_broken", %cause, "a connection ended early");
    }
}

/// The handshake.
async fn encrypted(
    certificates: &Certificates,
    stream: Box<dyn ByteStream>,
    limit: Duration,
    activity: &Activity,
) -> Option<Box<TlsStream<Box<dyn ByteStream>>>> {
    let mut handshake = pin!(timeout(limit, certificates.acceptor().accept(stream)));
    let outcome = poll_fn(|cx| {
        activity.wake_by(cx);
        if activity.order() == Order::Drop { Poll::Ready(None) } else { handshake.as_mut().poll(cx).map(Some) }
    });
    match outcome.await? {
        Ok(Ok(stream)) => return Some(Box::new(stream)),
        Ok(Err(cause)) => tracing::debug!(code = "tls_handshake_failed", %cause, "no TLS session"),
        Err(_) => tracing::debug!(code = "tls_handshake_timeout", "a TLS handshake took too long"),
    }
    None
}

/// One connection from its first byte, or from a byte after it was parked, to its end.
pub(super) async fn speak(
    context: &WorkerContext,
    stream: Box<dyn ByteStream>,
    downstream: Downstream,
    enrolled: &Enrolled,
    permit: ConnectionPermit,
) -> Result<(), BodyError> {
    let downstream = Rc::new(downstream);
    // The permit goes with the stream, so that an upgraded connection keeps it.
    let mut stream = ObservedStream::new(stream, Arc::clone(&enrolled.activity), permit);
    let mut fresh = true;
    loop {
        // Both protocols are boxed: a connection that waits here has room for neither.
        match next_byte(&mut stream, fresh).await? {
            Next::Http1 => match Box::pin(http1::serve(context, stream, &downstream, enrolled)).await? {
                Some(parked) => stream = parked,
                None => return Ok(()),
            },
            Next::Http2 => return Box::pin(http2::serve(context, stream, &downstream, enrolled)).await,
            Next::Close => return Ok(close(&mut stream).await?),
            Next::Drop => return Ok(()),
        }
        fresh = false;
    }
}

/// What comes next on a connection that waits.
enum Next {
    Http1,
    Http2,
    /// The other side closed its half, or the worker finishes.
    Close,
    /// To be dropped at once.
    Drop,
}

/// Waits for bytes, which [`ObservedStream::again`] has afterwards. A fresh connection speaks the protocol that they begin.
async fn next_byte(stream: &mut ObservedStream, fresh: bool) -> io::Result<Next> {
    if !stream.again.is_empty() {
        return Ok(Next::Http1);
    }
    let mut begun = Vec::new();
    let next = poll_fn(|cx| {
        loop {
            stream.activity.wake_by(cx);
            match stream.activity.order() {
                Order::Serve => {}
                Order::Finish => return Poll::Ready(Ok(Next::Close)),
                Order::Drop => return Poll::Ready(Ok(Next::Drop)),
            }
            // On the stack, and large enough for most heads: hyper then needs not read at all before it answers.
            let mut room = [const { MaybeUninit::uninit() }; FIRST_READ];
            let mut read = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(Next::Close));
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
    stream.again = begun.into();
    next
}

/// Closes our side, which on TLS is a message of its own.
async fn close(stream: &mut ObservedStream) -> io::Result<()> {
    poll_fn(|cx| {
        stream.activity.wake_by(cx);
        if stream.activity.order() == Order::Drop {
            Poll::Ready(Ok(()))
        } else {
            Pin::new(&mut *stream).poll_shutdown(cx)
        }
    })
    .await
}

/// How an HTTP/2 connection begins ([RFC 9113 section 3.4](https://www.rfc-editor.org/rfc/rfc9113#section-3.4)).
const H2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read at most before it is known what speaks.
const FIRST_READ: usize = 8192;
