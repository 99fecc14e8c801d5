//! The stream of an HTTP/1.1 connection to an application: how much may come before the head of the final answer is there, and
//! how much is read at once.
//!
//! hyper reads one informational answer after the other for as long as they come, within one turn of its task, so that an
//! application that sends nothing else keeps a worker busy and everybody else on it waiting (PX-15, AT-SM-19). Its stream
//! therefore counts while a head is awaited, and fails when that is too long.
//!
//! hyper also doubles what it asks for each time that it gets it all, and keeps a buffer of twice that: for a slow reader, several
//! times. What it gets is therefore a byte less than would have it double.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

use crate::budget::Slot;
use crate::byte_stream::ByteStream;
use crate::proxy::verbatim::{Line, Verbatim};

/// What the request and the connection know of each other: the bytes that may still come before the head is whole. Only the
/// worker's thread writes; it is atomic because hyper asks that a stream that can be upgraded be `Send`.
#[derive(Clone, Debug)]
pub(super) struct Awaited(Arc<HeadState>);

/// The two of them.
#[derive(Debug)]
struct HeadState {
    /// `usize::MAX` where no head is awaited.
    left: AtomicUsize,
    /// The line of the request, where it goes out other than hyper writes it.
    line: Line,
}

impl Awaited {
    /// A request is about to be sent.
    pub(super) fn begin(&self, target: Option<Verbatim>) {
        self.0.line.set(target);
        self.0.left.store(MOST, Relaxed);
    }

    /// The final head has come.
    pub(super) fn end(&self) {
        self.0.left.store(usize::MAX, Relaxed);
    }

    /// Whether so many bytes more may come.
    fn takes(&self, bytes: usize) -> bool {
        match self.0.left.load(Relaxed) {
            usize::MAX => true,
            left => {
                self.0.left.store(left.saturating_sub(bytes), Relaxed);
                left >= bytes
            }
        }
    }
}

/// The stream of an HTTP/1.1 connection.
pub(super) struct Awaiting {
    inner: Take<Box<dyn ByteStream>>,
    awaited: Awaited,
    /// Goes with the stream, so that a tunnel keeps it.
    _slot: Slot,
}

impl Awaiting {
    /// The stream for hyper, and its other end for the requests.
    pub(super) fn new(inner: Box<dyn ByteStream>, slot: Slot) -> (Self, Awaited) {
        let awaited = Awaited(Arc::new(HeadState { left: AtomicUsize::new(usize::MAX), line: Line::default() }));
        (Self { inner: inner.take(PIECE), awaited: awaited.clone(), _slot: slot }, awaited)
    }
}

/// The head of the final answer did not come among the first [`MOST`] bytes.
#[derive(Debug, thiserror::Error)]
#[error("no final answer within {MOST} bytes")]
pub(super) struct Endless;

impl AsyncRead for Awaiting {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        this.inner.set_limit(PIECE);
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        if !this.awaited.takes(buf.filled().len().saturating_sub(before)) {
            return Poll::Ready(Err(io::Error::other(Endless)));
        }
        outcome
    }
}

impl AsyncWrite for Awaiting {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let stream = Pin::new(this.inner.get_mut());
        this.awaited.0.line.write(buf, |buf| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().inner.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().inner.get_mut()).poll_shutdown(cx)
    }
}

/// Informational answers and the final head together. One head has at most 64 KiB (pool.rs), and two pieces of its body may be read
/// before the request learns of it.
const MOST: usize = 256 * 1024;
/// What is read at once, at most.
const PIECE: u64 = 32 * 1024 - 1;
