//! What a connection is waiting for, and for how long: one sweep per worker instead of timers per request.
//!
//! A timer for every request head would cost more than the rest of the accept path. Here a connection only notes, in
//! uncontended atomics, that bytes or requests went by; the worker looks at all its connections a few times per limit and
//! ends those that stood still for too long. Limits are therefore kept to within a quarter.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::server::listener::Place;
use crate::server::parking::Resting;
use crate::server::settings::Limits;

/// How long each kind of waiting may last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    head: Duration,
    idle: Duration,
}

impl Patience {
    pub(super) fn of(limits: &Limits) -> Self {
        Self { head: limits.header_time, idle: limits.idle_time }
    }

    /// How often to look.
    pub(super) fn tick(self) -> Duration {
        (self.head.min(self.idle) / 4).clamp(Duration::from_millis(5), Duration::from_secs(5))
    }
}

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
    head_begun: AtomicBool,
    h2: AtomicBool,
    /// Writes, and pieces of answers, that got somewhere; wrapping.
    moved: AtomicU32,
    write_blocked: AtomicBool,
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
}

impl Pulse {
    /// Notes that a request head is complete; the request lasts until what this returns is dropped.
    pub(super) fn begin_request(self: &Arc<Self>, version: http::Version, has_body: bool) -> OpenRequest {
        if version == http::Version::HTTP_2 {
            self.h2.store(true, Relaxed);
        }
        self.body_begun.store(has_body, Relaxed);
        self.requests.store(self.requests.load(Relaxed).wrapping_add(1), Relaxed);
        self.open.store(self.open.load(Relaxed).wrapping_add(1), Relaxed);
        OpenRequest { pulse: Arc::clone(self), owed: false }
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

    fn note_progress(&self) {
        self.moved.store(self.moved.load(Relaxed).wrapping_add(1), Relaxed);
    }

    fn give(&self, order: Order) {
        self.order.store(order as u8, Relaxed);
        self.wake();
    }

    fn waiting(&self) -> WaitingFor {
        let requests = self.requests.load(Relaxed);
        if self.write_blocked.load(Relaxed) || self.owed.load(Relaxed) > 0 {
            WaitingFor::Reader { moved: self.moved.load(Relaxed) }
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
}

impl OpenRequest {
    /// Notes that a piece of the answer was taken (`true`), or that the application has none at the moment (`false`). An
    /// HTTP/2 client that gives no window is told apart from a slow application by this only: its socket takes all we write.
    pub(super) fn note_piece(&mut self, taken: bool) {
        if taken {
            self.pulse.note_progress();
        }
        if self.owed != taken {
            self.owed = taken;
            let owed = self.pulse.owed.load(Relaxed);
            self.pulse.owed.store(if taken { owed.wrapping_add(1) } else { owed.saturating_sub(1) }, Relaxed);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.note_piece(false);
        let open = self.pulse.open.load(Relaxed).saturating_sub(1);
        self.pulse.open.store(open, Relaxed);
        if open == 0 {
            self.pulse.head_begun.store(false, Relaxed);
        }
    }
}

/// Tells the connection that the body of one request was read to its end; it travels among the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct BodyWatch {
    pulse: Arc<Pulse>,
    request: u32,
}

impl BodyWatch {
    /// The body of the last request.
    pub(super) fn new(pulse: &Arc<Pulse>) -> Self {
        Self { pulse: Arc::clone(pulse), request: pulse.requests() }
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

    fn note_write<R>(&self, outcome: &Poll<R>) {
        if outcome.is_pending() {
            self.pulse.write_blocked.store(true, Relaxed);
        } else {
            self.pulse.note_progress();
            self.pulse.write_blocked.store(false, Relaxed);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Felt<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        let outcome = if self.again.is_empty() {
            Pin::new(&mut self.inner).poll_read(cx, buf)
        } else {
            let count = self.again.len().min(buf.remaining());
            buf.put_slice(&self.again.split_to(count));
            Poll::Ready(Ok(()))
        };
        if buf.filled().len() > before {
            self.pulse.head_begun.store(true, Relaxed);
        }
        outcome
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Felt<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
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
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.pulse.parking.load(Relaxed) {
            return Poll::Ready(Ok(()));
        }
        self.pulse.closing.store(true, Relaxed);
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// All connections of one worker.
#[derive(Debug)]
pub(super) struct Roster {
    patience: Patience,
    watched: RefCell<HashMap<u64, Watched>>,
    next: Cell<u64>,
    finishing: Cell<bool>,
    pub(super) resting: Resting,
}

impl Roster {
    pub(super) fn new(patience: Patience) -> Rc<Self> {
        Rc::new(Self {
            patience,
            watched: RefCell::default(),
            next: Cell::new(0),
            finishing: Cell::new(false),
            resting: Resting::default(),
        })
    }

    /// Puts a new connection on the list, for as long as what this returns lives.
    pub(super) fn enrol(self: &Rc<Self>) -> Enrolled {
        let pulse = Arc::<Pulse>::default();
        if self.finishing.get() {
            pulse.give(Order::Finish);
        }
        let number = self.next.replace(self.next.get().wrapping_add(1));
        let watched = Watched { pulse: Arc::clone(&pulse), waiting: pulse.waiting(), since: Instant::now() };
        self.watched.borrow_mut().insert(number, watched);
        Enrolled { roster: Rc::clone(self), number, pulse }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watched.borrow().is_empty()
    }

    /// Ends what has waited for too long.
    pub(super) fn sweep(&self, now: Instant) {
        for watched in self.watched.borrow_mut().values_mut() {
            let waiting = watched.pulse.waiting();
            if waiting != watched.waiting {
                (watched.waiting, watched.since) = (waiting, now);
                continue;
            }
            let waited = now.saturating_duration_since(watched.since);
            match waiting {
                WaitingFor::Us => {}
                WaitingFor::Head { .. } if waited >= self.patience.head => watched.pulse.give(Order::Drop),
                WaitingFor::Reader { .. } if waited >= self.patience.idle => watched.pulse.give(Order::Drop),
                WaitingFor::Request { .. } if waited >= self.patience.idle => match watched.pulse.order() {
                    // A farewell first (GOAWAY); whoever does not leave by the next look is shown out.
                    Order::Serve => watched.pulse.give(Order::Finish),
                    Order::Finish | Order::Drop => watched.pulse.give(Order::Drop),
                },
                WaitingFor::Head { .. } | WaitingFor::Reader { .. } | WaitingFor::Request { .. } => {}
            }
        }
    }

    /// Every connection, and every later one, ends what is open and begins nothing.
    pub(super) fn finish_all(&self) {
        self.finishing.set(true);
        for watched in self.watched.borrow().values() {
            watched.pulse.give(Order::Finish);
        }
    }
}

/// A place on the [`Roster`].
#[derive(Debug)]
pub(super) struct Enrolled {
    pub(super) roster: Rc<Roster>,
    number: u64,
    pub(super) pulse: Arc<Pulse>,
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.roster.watched.borrow_mut().remove(&self.number);
    }
}

#[derive(Debug)]
struct Watched {
    pulse: Arc<Pulse>,
    waiting: WaitingFor,
    since: Instant,
}

/// What holds a connection up. Two looks that see the same value saw the same wait: the numbers change with progress.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum WaitingFor {
    /// For the gateway or the application; their time limits are theirs.
    Us,
    /// For the rest of a request head, or the first byte of a new connection. Dripping bytes are no progress.
    Head { requests: u32 },
    /// For the next request.
    Request { requests: u32 },
    /// For the client to read.
    Reader { moved: u32 },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Rc<Roster> {
        Roster::new(Patience { head: Duration::from_secs(10), idle: Duration::from_secs(60) })
    }

    fn after(secs: u64) -> Instant {
        Instant::now() + Duration::from_secs(secs)
    }

    #[test]
    fn a_connection_without_a_first_request_is_dropped_however_it_drips() {
        // AT-SM-22
        let roster = roster();
        let place = roster.enrol();
        place.pulse.head_begun.store(true, Relaxed);
        roster.sweep(after(9));
        assert_eq!(place.pulse.order(), Order::Serve);
        roster.sweep(after(11));
        assert_eq!(place.pulse.order(), Order::Drop);
    }

    #[test]
    fn an_idle_connection_is_finished_and_then_dropped() {
        // AT-SM-22: idle keep-alive
        let roster = roster();
        let place = roster.enrol();
        drop(place.pulse.begin_request(http::Version::HTTP_11, false));
        roster.sweep(after(1));
        roster.sweep(after(50));
        assert_eq!(place.pulse.order(), Order::Serve);
        roster.sweep(after(62));
        assert_eq!(place.pulse.order(), Order::Finish);
        roster.sweep(after(67));
        assert_eq!(place.pulse.order(), Order::Drop);
    }

    #[test]
    fn a_slow_application_is_not_the_clients_fault() {
        let roster = roster();
        let place = roster.enrol();
        let open = place.pulse.begin_request(http::Version::HTTP_11, false);
        roster.sweep(after(1));
        roster.sweep(after(10_000));
        assert_eq!(place.pulse.order(), Order::Serve);
        drop(open);
    }

    #[test]
    fn a_client_that_reads_nothing_is_dropped_and_one_that_reads_slowly_is_not() {
        // AT-SM-23
        let roster = roster();
        let place = roster.enrol();
        let _open = place.pulse.begin_request(http::Version::HTTP_11, false);
        place.pulse.write_blocked.store(true, Relaxed);
        roster.sweep(after(1));
        place.pulse.note_progress();
        roster.sweep(after(62));
        assert_eq!(place.pulse.order(), Order::Serve);
        roster.sweep(after(130));
        assert_eq!(place.pulse.order(), Order::Drop);
    }

    #[test]
    fn a_stream_without_window_is_not_taken_for_a_slow_application() {
        // AT-SM-17, PX-47: windows of zero stall answers while the socket takes everything
        let roster = roster();
        let place = roster.enrol();
        let mut open = place.pulse.begin_request(http::Version::HTTP_2, false);
        open.note_piece(true);
        open.note_piece(false);
        roster.sweep(after(1));
        roster.sweep(after(10_000));
        assert_eq!(place.pulse.order(), Order::Serve);
        open.note_piece(true);
        roster.sweep(after(10_001));
        roster.sweep(after(10_062));
        assert_eq!(place.pulse.order(), Order::Drop);
    }

    #[test]
    fn pings_do_not_keep_an_http2_connection() {
        // AT-SM-17, PX-47
        let roster = roster();
        let place = roster.enrol();
        drop(place.pulse.begin_request(http::Version::HTTP_2, false));
        roster.sweep(after(1));
        place.pulse.head_begun.store(true, Relaxed);
        roster.sweep(after(30));
        assert_eq!(place.pulse.order(), Order::Serve);
        roster.sweep(after(62));
        assert_eq!(place.pulse.order(), Order::Finish);
    }

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

    #[test]
    fn late_connections_of_a_draining_worker_finish_too() {
        let roster = roster();
        roster.finish_all();
        assert_eq!(roster.enrol().pulse.order(), Order::Finish);
        assert!(roster.is_empty());
    }
}
