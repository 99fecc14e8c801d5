//! What one connection is doing. Its stream, its requests and their bodies note it in uncontended atomics; its worker reads it from
//! time to time (`roster.rs`, `parking.rs`).
//!
//! Where it stands between two requests is one [`Phase`]. What does not fit into that row stands beside it: whether a write is blocked, whether more of the last request's body
//! may come (also after its answer), and whether an upgrade was ever asked for.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use crossbeam_utils::atomic::AtomicCell;
use futures_util::task::AtomicWaker;
use http::StatusCode;

use crate::request::raw_target::RawTarget;
use crate::server::phase::{Event, Phase};

/// Everything about one connection that its worker wants to know. Only the worker's thread writes, so that plain loads and
/// stores do; it is atomic because hyper asks that a stream that can be upgraded be `Send`.
#[derive(Debug, Default)]
pub(super) struct Activity {
    order: AtomicCell<Order>,
    waker: AtomicWaker,
    /// There is a task to wake. Waking takes it away.
    waker_known: AtomicBool,
    phase: AtomicCell<Phase>,
    /// Requests begun, wrapping.
    requests: AtomicU32,
    /// Requests not yet answered to the last byte.
    open: AtomicU32,
    /// Bytes that the client took; on HTTP/2 those of DATA.
    written: AtomicU64,
    /// Bytes of bodies that came.
    read: AtomicU64,
    /// Bodies of which somebody waits for the next byte.
    awaited: AtomicU32,
    /// Answers that come over time, such as event streams.
    leisurely: AtomicU32,
    /// Answers of which a piece was taken and the next not yet asked for: the reader's window is full.
    owed: AtomicU32,
    /// The socket took nothing of the last write.
    write_blocked: AtomicBool,
    /// The last request has a body, of which more may come, also after its answer.
    body_begun: AtomicBool,
    /// hyper keeps an upgrade ready that was asked for once, and would take its own end for it.
    never_parks: AtomicBool,
    /// On the list of connections that may soon be parked (`parking.rs`).
    pub(super) listed: AtomicBool,
    /// The status with which hyper refused a head that is no request.
    refused: AtomicCell<Option<StatusCode>>,
    /// The target of a request that was not passed on yet, of which signs stand in for some.
    raw_target: Mutex<Option<RawTarget>>,
}

impl Activity {
    /// Where the connection stands.
    #[inline]
    pub(super) fn phase(&self) -> Phase {
        self.phase.load()
    }

    /// Notes what happened; the phase that follows.
    #[inline]
    pub(super) fn note(&self, event: Event) -> Phase {
        let before = self.phase();
        let after = before.after(event);
        if before != after {
            self.phase.store(after);
        }
        after
    }

    /// Notes that a request head is complete; the request lasts until what this returns is dropped.
    pub(super) fn begin_request(self: &Arc<Self>, version: http::Version, has_body: bool) -> OpenRequest {
        self.note(if version == http::Version::HTTP_2 { Event::Stream } else { Event::Request });
        self.body_begun.store(has_body, Relaxed);
        self.requests.store(self.requests().wrapping_add(1), Relaxed);
        count(&self.open, true);
        OpenRequest { activity: Arc::clone(self), owed: false, leisurely: false }
    }

    /// Whether a request is being answered.
    pub(super) fn is_answering(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    /// What the worker wants of this connection.
    pub(super) fn order(&self) -> Order {
        self.order.load()
    }

    /// The task to wake when something is wanted of it. To be called before it is looked what that is, each time.
    pub(super) fn wake_by(&self, cx: &Context<'_>) {
        if !self.waker_known.load(Relaxed) {
            self.waker_known.store(true, Relaxed);
            self.waker.register(cx.waker());
        }
    }

    /// Has the connection's task do this.
    pub(super) fn give(&self, order: Order) {
        self.order.store(order);
        self.wake();
    }

    /// Has the task look at what is wanted of it.
    fn wake(&self) {
        self.waker_known.store(false, Relaxed);
        self.waker.wake();
    }

    /// Whether all requests were read and answered to the end and no other has begun, so that nothing but the socket need be
    /// kept.
    pub(super) fn rests(&self) -> bool {
        self.phase() == Phase::Idle && !self.body_begun.load(Relaxed) && !self.never_parks.load(Relaxed)
    }

    /// From here on the connection keeps what it has while it waits.
    pub(super) fn never_park(&self) {
        self.never_parks.store(true, Relaxed);
    }

    /// Asks the connection to park.
    pub(super) fn ask_to_park(&self) {
        self.note(Event::AskToPark);
        self.wake();
    }

    /// Whether to park now: asked to, and nothing has come since.
    pub(super) fn parks(&self) -> bool {
        self.phase() == Phase::Asked && self.note(Event::Park) == Phase::Parking
    }

    /// Requests begun, wrapping.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Whether the next byte is the first of a request's head.
    pub(super) fn awaits_head(&self) -> bool {
        let phase = self.phase();
        (phase.is_between_requests() && phase != Phase::Head || phase == Phase::Answered)
            && !self.body_begun.load(Relaxed)
    }

    /// Keeps the target of the request that comes, of which signs stand in for some.
    pub(super) fn keep_raw_target(&self, target: RawTarget) {
        *self.raw_target.lock().unwrap_or_else(PoisonError::into_inner) = Some(target);
    }

    /// The target of the request that was read last, if signs had to stand in for some of it.
    pub(super) fn take_raw_target(&self) -> Option<RawTarget> {
        self.raw_target.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes an answer that belongs to no request: hyper's own, to a head that it could not read.
    pub(super) fn refuses(&self, answer: &[u8]) -> bool {
        if !self.phase().is_between_requests() || self.never_parks.load(Relaxed) {
            return false;
        }
        let status = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "));
        let status = status.and_then(|rest| StatusCode::from_bytes(rest.get(..3)?).ok());
        if status.is_some() {
            self.refused.store(status);
            self.note(Event::Refuse);
        }
        status.is_some()
    }

    /// The status with which hyper refused what came last, until our own answer takes its place.
    pub(super) fn refused(&self) -> Option<StatusCode> {
        self.refused.load().filter(|_| self.phase() == Phase::Refused)
    }

    /// Notes whether the socket takes nothing at the moment.
    pub(super) fn note_blocked(&self, blocked: bool) {
        self.write_blocked.store(blocked, Relaxed);
    }

    /// Notes that the client took so many bytes.
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

    /// What holds the connection up.
    pub(super) fn waiting(&self) -> WaitingFor {
        let requests = self.requests();
        if self.write_blocked.load(Relaxed) || self.owed.load(Relaxed) > 0 {
            WaitingFor::Reader
        } else if self.awaited.load(Relaxed) > 0 {
            WaitingFor::Body
        } else if self.is_answering() {
            WaitingFor::Us
        } else if requests == 0 || matches!(self.phase(), Phase::Head | Phase::Ahead | Phase::Refused | Phase::Replying)
        {
            WaitingFor::Head { requests }
        } else {
            // On HTTP/2 bytes without a request are settings and pings: they do not keep a connection (AT-SM-17).
            WaitingFor::Request { requests }
        }
    }
}

/// One more, or one less. Only one thread counts.
fn count(number: &AtomicU32, more: bool) -> u32 {
    let before = number.load(Relaxed);
    let after = if more { before.wrapping_add(1) } else { before.saturating_sub(1) };
    number.store(after, Relaxed);
    after
}

/// What a worker wants of a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Order {
    /// Go on.
    #[default]
    Serve,
    /// End what is open, begin nothing.
    Finish,
    /// End now.
    Drop,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct OpenRequest {
    activity: Arc<Activity>,
    /// A piece of the answer was taken, and the next not yet asked for.
    owed: bool,
    /// The answer comes over time.
    leisurely: bool,
}

impl OpenRequest {
    /// Notes that a piece of the answer was taken (`true`), or that the application has none at the moment (`false`). An
    /// HTTP/2 client that gives no window is distinguished from a slow application by this only: its socket takes all we write.
    pub(super) fn note_piece(&mut self, taken: bool) {
        if self.owed != taken {
            self.owed = taken;
            count(&self.activity.owed, taken);
        }
    }

    /// The answer comes over time: a client that gets little of it is not slow.
    pub(super) fn take_time(&mut self) {
        if !std::mem::replace(&mut self.leisurely, true) {
            count(&self.activity.leisurely, true);
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.note_piece(false);
        if self.leisurely {
            count(&self.activity.leisurely, false);
        }
        if count(&self.activity.open, false) == 0 {
            self.activity.note(Event::Answered);
        }
    }
}

/// Tells the connection how the body of one request goes; it travels among the request's extensions, and is used as a copy.
#[derive(Clone, Debug)]
pub(super) struct BodyWatch {
    activity: Arc<Activity>,
    /// Which one, by the number of requests begun.
    request: u32,
    /// Somebody waits for the next byte.
    awaited: bool,
}

impl Drop for BodyWatch {
    fn drop(&mut self) {
        self.note_awaited(false);
    }
}

impl BodyWatch {
    /// The body of the last request.
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        Self { activity: Arc::clone(activity), request: activity.requests(), awaited: false }
    }

    /// Whether the answer is one that comes over time, such as an event stream, so that its request may, too.
    pub(super) fn is_leisurely(&self) -> bool {
        self.activity.is_leisurely()
    }

    /// Somebody waits for the next byte, or does not any more.
    pub(super) fn note_awaited(&mut self, awaited: bool) {
        if self.awaited != awaited {
            self.awaited = awaited;
            count(&self.activity.awaited, awaited);
        }
    }

    /// So many bytes came.
    pub(super) fn note_read(&self, bytes: u64) {
        self.activity.read.store(self.activity.read.load(Relaxed).wrapping_add(bytes), Relaxed);
    }

    /// Of no account once another request has begun: its body is another one.
    pub(super) fn ended(self) {
        if self.activity.requests() == self.request {
            self.activity.body_begun.store(false, Relaxed);
        }
    }
}

/// What holds a connection up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WaitingFor {
    /// For the gateway or the application; their time limits are theirs.
    Us,
    /// For the rest of a request head, or the first byte of a new connection. Dripping bytes are no progress: the wait is the
    /// same until a request has begun.
    Head { requests: u32 },
    /// For the client to send more of a body, which has a limit of its own (`request_body.rs`).
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
        let (activity, waker) = (Activity::default(), waker(Arc::clone(&count)));
        for (times, order) in [(1, Order::Finish), (2, Order::Drop)] {
            activity.wake_by(&Context::from_waker(&waker));
            activity.wake_by(&Context::from_waker(&waker));
            activity.give(order);
            assert_eq!(count.0.load(Relaxed), times);
        }
    }

    #[test]
    fn only_what_belongs_to_no_request_is_taken_for_a_refusal() {
        let refusal = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        let activity = Arc::<Activity>::default();
        activity.note(Event::Bytes);
        let open = activity.begin_request(http::Version::HTTP_11, false);
        assert!(!activity.refuses(refusal));
        drop(open);
        assert!(!activity.refuses(refusal), "the answer is not on the wire yet");
        activity.note(Event::Bytes);
        assert!(!activity.refuses(refusal), "nor is it when more has come");
        activity.note(Event::Flushed);
        assert!(!activity.refuses(b"anything else"));
        assert!(activity.refuses(refusal));
        assert_eq!(activity.refused(), Some(StatusCode::BAD_REQUEST));
        assert_eq!(activity.note(Event::Shutdown), Phase::Refused, "hyper's end is not the socket's");
        activity.note(Event::Reply);
        assert!(!activity.refuses(refusal), "from here on it is our own");
        assert_eq!(activity.refused(), None);
        assert_eq!(activity.note(Event::Shutdown), Phase::Closing);
    }
}
