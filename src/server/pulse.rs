//! What a connection notes of itself, in uncontended atomics: that bytes or requests went by, and what it waits for. Its worker
//! looks at that from time to time (roster.rs).

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::request::raw_target::RawTarget;
use crate::server::places::Place;

/// Everything about one connection that its worker wants to know. Only the worker's thread writes, so that plain loads and
/// stores do; it is atomic because hyper asks that a stream that can be upgraded be `Send`.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    order: AtomicU8,
    waker: AtomicWaker,
    /// There is a task to wake. Waking takes it away.
    known: AtomicBool,
    /// Requests begun, wrapping.
    requests: AtomicU32,
    /// Requests not yet answered to the last byte.
    open: AtomicU32,
    /// Bytes came that belong to no request yet.
    pub(super) head_begun: AtomicBool,
    h2: AtomicBool,
    /// Bytes that the client took; on HTTP/2 those of DATA.
    written: AtomicU64,
    /// Bytes of bodies that came.
    read: AtomicU64,
    /// Bodies of which somebody waits for the next byte.
    awaited: AtomicU32,
    /// Answers that come over time, such as event streams.
    leisurely: AtomicU32,
    pub(super) write_blocked: AtomicBool,
    /// Answers of which a piece was taken and the next not yet asked for: the reader's window is full.
    owed: AtomicU32,
    /// The last request has a body, of which more may come, also after its answer.
    body_begun: AtomicBool,
    /// hyper keeps an upgrade ready that was asked for once, and would take its own end for it.
    never_parks: AtomicBool,
    /// The last answer said that there will be no other.
    closing: AtomicBool,
    /// See parking.rs: on the list of those that may soon be parked, asked to, about to, and parked.
    pub(super) resting: AtomicBool,
    to_park: AtomicBool,
    parking: AtomicBool,
    pub(super) parked: AtomicBool,
    /// Something is owed to the client: a request was begun since the last flush.
    unflushed: AtomicBool,
    /// The status with which hyper refused a head that is no request; what it answered did not go out.
    refused: AtomicU16,
    has_raw_target: AtomicBool,
    raw_target: Mutex<Option<RawTarget>>,
}

impl Pulse {
    /// Notes that a request head is complete; the request lasts until what this returns is dropped.
    pub(super) fn begin_request(self: &Arc<Self>, version: http::Version, has_body: bool) -> OpenRequest {
        if version == http::Version::HTTP_2 {
            self.h2.store(true, Relaxed);
        }
        self.unflushed.store(true, Relaxed);
        self.body_begun.store(has_body, Relaxed);
        self.requests.store(self.requests.load(Relaxed).wrapping_add(1), Relaxed);
        self.open.store(self.open.load(Relaxed).wrapping_add(1), Relaxed);
        OpenRequest { pulse: Arc::clone(self), owed: false, leisurely: false }
    }

    /// Whether a request is being answered.
    pub(super) fn is_answering(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    /// What the worker wants of this connection.
    pub(super) fn order(&self) -> Order {
        match self.order.load(Relaxed) {
            0 => Order::Serve,
            1 => Order::Finish,
            _ => Order::Drop,
        }
    }

    /// The task to wake when something is wanted of it. To be called before it is looked what that is, each time.
    pub(super) fn wake_by(&self, cx: &Context<'_>) {
        if !self.known.load(Relaxed) {
            self.known.store(true, Relaxed);
            self.waker.register(cx.waker());
        }
    }

    /// Whether all requests were read and answered to the end and no other has begun, so that nothing but the socket need be
    /// kept.
    pub(super) fn rests(&self) -> bool {
        self.requests() > 0
            && self.open.load(Relaxed) == 0
            && self.owed.load(Relaxed) == 0
            && ![&self.head_begun, &self.h2, &self.write_blocked, &self.body_begun, &self.never_parks, &self.closing]
                .into_iter()
                .any(|not| not.load(Relaxed))
    }

    /// From here on the connection keeps what it has while it waits.
    pub(super) fn never_park(&self) {
        self.never_parks.store(true, Relaxed);
    }

    /// Requests begun, wrapping.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Between these two calls, hyper's shutdown of the stream does nothing: the socket outlives hyper's connection.
    pub(super) fn park(&self, parking: bool) {
        self.parking.store(parking, Relaxed);
    }

    /// Has the connection's task look at what is wanted of it.
    fn wake(&self) {
        self.known.store(false, Relaxed);
        self.waker.wake();
    }

    /// Asks the connection to park.
    pub(super) fn ask_to_park(&self) {
        self.to_park.store(true, Relaxed);
        self.wake();
    }

    /// Whether to park now: asked to since the last call, and nothing has begun meanwhile.
    pub(super) fn takes_parking(&self) -> bool {
        self.to_park.load(Relaxed) && {
            self.to_park.store(false, Relaxed);
            self.rests()
        }
    }

    /// Whether the next byte is the first of a request's head.
    fn awaits_head(&self) -> bool {
        self.open.load(Relaxed) == 0
            && ![&self.head_begun, &self.body_begun, &self.h2].into_iter().any(|not| not.load(Relaxed))
    }

    fn keep_raw_target(&self, target: RawTarget) {
        *self.raw_target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
        self.has_raw_target.store(true, Relaxed);
    }

    /// The target of the request that was read last, if signs had to stand in for some of it.
    pub(super) fn take_raw_target(&self) -> Option<RawTarget> {
        if !self.has_raw_target.load(Relaxed) {
            return None;
        }
        self.has_raw_target.store(false, Relaxed);
        self.raw_target.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes an answer that belongs to no request: hyper's own, to a head that it could not read.
    fn refuses(&self, answer: &[u8]) -> bool {
        let untold = self.open.load(Relaxed) == 0
            && ![&self.unflushed, &self.never_parks, &self.h2].into_iter().any(|not| not.load(Relaxed));
        if !untold || self.refused.load(Relaxed) == ANSWERED {
            return false;
        }
        let status = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "));
        let status = status.and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse::<u16>().ok());
        if let Some(status) = status {
            self.refused.store(status, Relaxed);
        }
        status.is_some()
    }

    /// The status with which hyper refused what came last.
    pub(super) fn refused(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.refused.load(Relaxed)).ok()
    }

    /// From here on what is written is our own answer.
    pub(super) fn refused_answered(&self) {
        self.refused.store(ANSWERED, Relaxed);
    }

    pub(super) fn note_written(&self, bytes: usize) {
        self.written.store(self.written.load(Relaxed).wrapping_add(bytes as u64), Relaxed);
    }

    /// Bytes of bodies that came, and bytes that the client took.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.read.load(Relaxed), self.written.load(Relaxed))
    }

    /// Whether an answer is under way that comes over time: an event stream, gRPC.
    pub(super) fn is_leisurely(&self) -> bool {
        self.leisurely.load(Relaxed) > 0
    }

    pub(super) fn give(&self, order: Order) {
        self.order.store(order as u8, Relaxed);
        self.wake();
    }

    /// What holds the connection up.
    pub(super) fn waiting(&self) -> WaitingFor {
        let requests = self.requests.load(Relaxed);
        if self.write_blocked.load(Relaxed) || self.owed.load(Relaxed) > 0 {
            WaitingFor::Reader
        } else if self.awaited.load(Relaxed) > 0 {
            WaitingFor::Body
        } else if self.open.load(Relaxed) > 0 {
            WaitingFor::Us
        } else if requests == 0 || self.head_begun.load(Relaxed) && !self.h2.load(Relaxed) {
            WaitingFor::Head { requests }
        } else {
            // On HTTP/2 bytes without a request are settings and pings: they do not keep a connection (AT-SM-17).
            WaitingFor::Request { requests }
        }
    }
}

/// What a worker wants of a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// Go on.
    Serve = 0,
    /// End what is open, begin nothing.
    Finish = 1,
    /// End now.
    Drop = 2,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct OpenRequest {
    pulse: Arc<Pulse>,
    owed: bool,
    leisurely: bool,
}

impl OpenRequest {
    /// Notes that a piece of the answer was taken (`true`), or that the application has none at the moment (`false`). An
    /// HTTP/2 client that gives no window is told apart from a slow application by this only: its socket takes all we write.
    pub(super) fn note_piece(&mut self, taken: bool) {
        if self.owed != taken {
            self.owed = taken;
            let owed = self.pulse.owed.load(Relaxed);
            self.pulse.owed.store(if taken { owed.wrapping_add(1) } else { owed.saturating_sub(1) }, Relaxed);
        }
    }
}

impl OpenRequest {
    /// The answer is one that comes over time: nobody is slow who gets little of it.
    pub(super) fn take_time(&mut self) {
        if !std::mem::replace(&mut self.leisurely, true) {
            self.pulse.leisurely.store(self.pulse.leisurely.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.note_piece(false);
        if self.leisurely {
            self.pulse.leisurely.store(self.pulse.leisurely.load(Relaxed).saturating_sub(1), Relaxed);
        }
        let open = self.pulse.open.load(Relaxed).saturating_sub(1);
        self.pulse.open.store(open, Relaxed);
        if open == 0 {
            self.pulse.head_begun.store(false, Relaxed);
        }
    }
}

/// Tells the connection how the body of one request goes; it travels among the request's extensions.
#[derive(Debug)]
pub(super) struct BodyWatch {
    pulse: Arc<Pulse>,
    request: u32,
    awaited: bool,
}

impl Clone for BodyWatch {
    fn clone(&self) -> Self {
        Self { pulse: Arc::clone(&self.pulse), request: self.request, awaited: false }
    }
}

impl Drop for BodyWatch {
    fn drop(&mut self) {
        self.note_awaited(false);
    }
}

impl BodyWatch {
    /// The body of the last request.
    pub(super) fn new(pulse: &Arc<Pulse>) -> Self {
        Self { pulse: Arc::clone(pulse), request: pulse.requests(), awaited: false }
    }

    /// Whether the answer is one that comes over time, such as an event stream, so that its request may, too.
    pub(super) fn is_leisurely(&self) -> bool {
        self.pulse.is_leisurely()
    }

    /// Somebody waits for the next byte, or does not any more.
    pub(super) fn note_awaited(&mut self, awaited: bool) {
        if self.awaited != awaited {
            self.awaited = awaited;
            let all = self.pulse.awaited.load(Relaxed);
            self.pulse.awaited.store(if awaited { all.wrapping_add(1) } else { all.saturating_sub(1) }, Relaxed);
        }
    }

    /// So many bytes came.
    pub(super) fn note_read(&self, bytes: u64) {
        self.pulse.read.store(self.pulse.read.load(Relaxed).wrapping_add(bytes), Relaxed);
    }

    /// Of no account once another request has begun: its body is another one.
    pub(super) fn ended(self) {
        if self.pulse.requests() == self.request {
            self.pulse.body_begun.store(false, Relaxed);
        }
    }
}

/// A stream that notes on a [`Pulse`] when bytes move, and holds its place among the open connections: also after an upgrade.
#[derive(Debug)]
pub(super) struct Felt<T> {
    pub(super) inner: T,
    pub(super) pulse: Arc<Pulse>,
    /// Bytes that were taken from the stream before anybody knew what to do with them; they are read again, first.
    pub(super) again: Bytes,
    pub(super) _place: Place,
}

impl<T> Felt<T> {
    pub(super) fn new(inner: T, pulse: Arc<Pulse>, place: Place) -> Self {
        Self { inner, pulse, again: Bytes::new(), _place: place }
    }

    fn note_write(&self, outcome: &Poll<std::io::Result<usize>>) {
        self.pulse.write_blocked.store(outcome.is_pending(), Relaxed);
        // On HTTP/2 only content counts (flood): who pings, and gets answers to that, reads nothing by it.
        if let Poll::Ready(Ok(bytes)) = outcome
            && !self.pulse.h2.load(Relaxed)
        {
            self.pulse.note_written(*bytes);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Felt<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let awaits_head = self.pulse.awaits_head();
        let outcome = if self.again.is_empty() {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        } else {
            let count = self.again.len().min(buf.remaining());
            buf.put_slice(&self.again.split_to(count));
            Poll::Ready(Ok(()))
        };
        if buf.filled().len() > before {
            if awaits_head && let Some(target) = buf.filled_mut().get_mut(before..).and_then(RawTarget::take) {
                self.pulse.keep_raw_target(target);
            }
            self.pulse.head_begun.store(true, Relaxed);
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Felt<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.pulse.refuses(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.note_write(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.note_write(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        if outcome.is_pending() {
            self.pulse.write_blocked.store(true, Relaxed);
        } else if self.pulse.open.load(Relaxed) == 0 {
            self.pulse.unflushed.store(false, Relaxed);
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.pulse.parking.load(Relaxed) || self.pulse.refused().is_some() {
            return Poll::Ready(Ok(()));
        }
        self.pulse.closing.store(true, Relaxed);
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// No status: what hyper refused has been answered.
const ANSWERED: u16 = 1;

/// What holds a connection up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WaitingFor {
    /// For the gateway or the application; their time limits are theirs.
    Us,
    /// For the rest of a request head, or the first byte of a new connection. Dripping bytes are no progress: the wait is the
    /// same until a request has begun.
    Head { requests: u32 },
    /// For the client to send more of a body, which has a limit of its own (request_body.rs).
    Body,
    /// For the next request.
    Request { requests: u32 },
    /// For the client to read.
    Reader,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_wakes_the_connection() {
        use futures_util::task::{ArcWake, waker};
        #[derive(Default)]
        struct Count(AtomicU32);
        impl ArcWake for Count {
            fn wake_by_ref(this: &Arc<Self>) {
                this.0.fetch_add(1, Relaxed);
            }
        }
        let count = Arc::<Count>::default();
        let (pulse, waker) = (Pulse::default(), waker(Arc::clone(&count)));
        for (times, order) in [(1, Order::Finish), (2, Order::Drop)] {
            pulse.wake_by(&Context::from_waker(&waker));
            pulse.wake_by(&Context::from_waker(&waker));
            pulse.give(order);
            assert_eq!(count.0.load(Relaxed), times);
        }
    }
}
