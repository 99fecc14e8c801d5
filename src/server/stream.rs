//! The stream of a connection, which notes what goes by.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::byte_stream::ByteStream;
use crate::request::raw_target::RawTarget;
use crate::server::activity::Activity;
use crate::server::permits::ConnectionPermit;
use crate::server::phase::{Event, Phase};

/// A stream that notes in an [`Activity`] when bytes move, and holds its place among the open connections, also after an upgrade.
pub(super) struct ObservedStream {
    inner: Box<dyn ByteStream>,
    pub(super) activity: Arc<Activity>,
    /// Bytes that were taken from the stream before anybody knew what to do with them; they are read again, first.
    pub(super) again: Bytes,
    _permit: ConnectionPermit,
}

impl ObservedStream {
    pub(super) fn new(inner: Box<dyn ByteStream>, activity: Arc<Activity>, permit: ConnectionPermit) -> Self {
        Self { inner, activity, again: Bytes::new(), _permit: permit }
    }

    /// Notes what the socket took of a write.
    fn note_write(&self, outcome: &Poll<io::Result<usize>>) {
        self.activity.note_blocked(outcome.is_pending());
        // On HTTP/2 only content counts (flood): who pings, and gets answers to that, reads nothing by it.
        if let Poll::Ready(Ok(bytes)) = outcome
            && self.activity.phase() != Phase::Http2
        {
            self.activity.note_written(*bytes);
        }
    }
}

impl AsyncRead for ObservedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = if self.again.is_empty() {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        } else {
            let count = self.again.len().min(buf.remaining());
            buf.put_slice(&self.again.split_to(count));
            Poll::Ready(Ok(()))
        };
        if buf.filled().len() > before {
            if self.activity.awaits_head()
                && let Some(target) = buf.filled_mut().get_mut(before..).and_then(RawTarget::take)
            {
                self.activity.keep_raw_target(target);
            }
            self.activity.note(Event::Bytes);
        }
        outcome
    }
}

impl AsyncWrite for ObservedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.activity.refuses(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note_write(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note_write(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.activity.note_blocked(outcome.is_pending());
        if outcome.is_ready() {
            self.activity.note(Event::Flushed);
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.activity.note(Event::Shutdown) {
            Phase::Parking | Phase::Refused => Poll::Ready(Ok(())),
            _ => Pin::new(&mut self.inner).poll_shutdown(cx),
        }
    }
}
