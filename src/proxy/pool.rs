//! A worker's own connections to one address: no lock, no other thread, no timer that would end idle connections one by one.
//!
//! An HTTP/1.1 connection is lent to one request and comes back when its answer has been read to the end; the one used last
//! is lent first, so that a quiet pool shrinks. An HTTP/2 connection is shared by all requests of the worker.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::TokioIo;
use tokio::time::{Sleep, sleep};

use crate::budget::Budget;
use crate::flood::{Counted, FrameReport};
use crate::local_executor::LocalExecutor;
use crate::proxy::answer_head::{Awaited, Awaiting};
use crate::proxy::balance::Upstream;
use crate::proxy::connect::{Connected, connect};
use crate::proxy::error::{UpstreamError, UpstreamFault};
use crate::proxy::request_body::RequestBody;
use crate::proxy::response::MOST_FIELDS;
use crate::proxy::settings::{UpstreamAddress, UpstreamProtocol};
use crate::proxy::verbatim::Verbatim;
use crate::single_flight::SingleFlight;

/// Connections of one worker to one address.
pub(super) struct Pool {
    /// The one used last at the end.
    idle: RefCell<VecDeque<Idle>>,
    /// The shared connection, and the age at which it was used last.
    shared: RefCell<Option<(Http2, u32)>>,
    /// Held while the shared connection is made, so that a burst makes one.
    connecting: SingleFlight,
    /// What this address spoke last, where ALPN decides.
    speaks_http2: Cell<bool>,
    age: Cell<u32>,
    /// Whether the task runs that closes what lies unused.
    reaping: Cell<bool>,
    /// How long an unused connection is kept.
    keep: Duration,
    budget: Arc<Budget>,
    keeps_capitals: bool,
}

/// A connection for one request.
pub(super) enum Lease {
    Http1(Http1),
    Http2(Http2),
}

/// An HTTP/1.1 connection, and how its stream learns that a head is awaited.
pub(super) struct Http1 {
    sender: http1::SendRequest<RequestBody>,
    awaited: Awaited,
    /// For the wait for a head. Setting it to a later time does not touch the runtime's list of timers, where a timer of its own for
    /// each request has to be entered and removed.
    pub(super) timer: Pin<Box<Sleep>>,
}

/// A shared HTTP/2 connection.
pub(super) type Http2 = http2::SendRequest<RequestBody>;

/// A connection that waits for a request.
struct Idle {
    sender: Http1,
    /// The age of the pool when it came back.
    since: u32,
}

impl Http1 {
    /// To be followed by [`head_came`](Self::head_came) when the answer is there.
    pub(super) fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        self.awaited.begin(request.extensions_mut().remove::<Verbatim>());
        self.sender.try_send_request(request)
    }

    /// The head of the answer is there.
    pub(super) fn head_came(&self) {
        self.awaited.end();
    }
}

impl Lease {
    /// Whether others use the connection at the same time.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }
}

impl Pool {
    pub(super) fn new(
        keep: Duration,
        protocol: UpstreamProtocol,
        keeps_capitals: bool,
        budget: Arc<Budget>,
    ) -> Rc<Self> {
        Rc::new(Self {
            idle: RefCell::default(),
            shared: RefCell::default(),
            connecting: SingleFlight::default(),
            speaks_http2: Cell::new(protocol == UpstreamProtocol::H2c),
            age: Cell::new(0),
            reaping: Cell::new(false),
            keep,
            budget,
            keeps_capitals,
        })
    }

    /// A connection that is open and free right now.
    pub(super) fn take(&self, http1_only: bool) -> Option<Lease> {
        if !http1_only && let Some(sender) = self.take_shared() {
            return Some(Lease::Http2(sender));
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, .. }) = idle.pop_back() {
            if sender.sender.is_ready() {
                return Some(Lease::Http1(sender));
            }
        }
        None
    }

    /// A new connection, or the shared one that another request has just made.
    pub(super) async fn connect(
        self: &Rc<Self>,
        upstream: &Upstream,
        address: &UpstreamAddress,
        http1_only: bool,
        alone: bool,
    ) -> Result<Lease, UpstreamError> {
        let after = upstream.settings().connect_timeout;
        let _turn = if self.speaks_http2.get() && !http1_only {
            // Whoever waits for another's attempt gives up when it has taken as long as one's own may.
            let turn = tokio::time::timeout(after, self.connecting.turn(())).await;
            let turn = turn.map_err(|_| UpstreamError::at(address, UpstreamFault::ConnectTimeout(after)))?;
            if let Some(sender) = self.take_shared() {
                return Ok(Lease::Http2(sender));
            }
            Some(turn)
        } else {
            None
        };
        let slot = self.budget.slot(alone, after).await;
        let slot = slot.ok_or_else(|| UpstreamError::at(address, UpstreamFault::NoRoom(after)))?;
        let Connected { stream, http2 } = connect(upstream, address, http1_only).await?;
        if !http1_only {
            self.speaks_http2.set(http2);
        }
        let closed = |error| UpstreamError::from_exchange(address, error);
        if http2 {
            let authority = address.place();
            let stream = Counted::opened(stream, move |report| {
                if let FrameReport::Flood(frames) = report {
                    tracing::warn!(code = "http2_flood", %authority, frames, "cut off an application that floods an HTTP/2 connection");
                }
            });
            let (sender, connection) = http2_protocol().handshake(TokioIo::new(stream)).await.map_err(closed)?;
            tokio::task::spawn_local(async move {
                let _slot = slot;
                connection.await
            });
            *self.shared.borrow_mut() = Some((sender.clone(), self.age.get()));
            self.reap();
            Ok(Lease::Http2(sender))
        } else {
            let (stream, awaited) = Awaiting::new(stream, slot);
            let (sender, connection) =
                http1_protocol(self.keeps_capitals).handshake(TokioIo::new(stream)).await.map_err(closed)?;
            tokio::task::spawn_local(connection.with_upgrades());
            Ok(Lease::Http1(Http1 { sender, awaited, timer: Box::pin(sleep(Duration::ZERO)) }))
        }
    }

    /// Takes a connection back: at once when its answer has been read, which is so for every answer that came in one piece,
    /// else when it has been. True when it has.
    pub(super) fn give_back(self: &Rc<Self>, mut sender: Http1) -> bool {
        if sender.sender.is_ready() {
            self.keep(sender);
            return true;
        }
        if !sender.sender.is_closed() {
            let pool = Rc::downgrade(self);
            tokio::task::spawn_local(async move {
                if sender.sender.ready().await.is_ok()
                    && let Some(pool) = pool.upgrade()
                {
                    pool.keep(sender);
                }
            });
        }
        false
    }

    /// How many connections lie idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// The shared connection, if it is open.
    fn take_shared(&self) -> Option<Http2> {
        let mut shared = self.shared.borrow_mut();
        let (sender, used) = shared.as_mut()?;
        if sender.is_closed() {
            *shared = None;
            return None;
        }
        *used = self.age.get();
        Some(sender.clone())
    }

    /// Closes idle connections.
    pub(super) fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }

    /// Puts a connection among the idle ones.
    fn keep(self: &Rc<Self>, sender: Http1) {
        // Other requests wait for room, or soon will.
        if self.budget.is_tight() {
            return;
        }
        self.idle.borrow_mut().push_back(Idle { sender, since: self.age.get() });
        self.reap();
    }

    /// Starts the task that closes what lies unused, unless it runs.
    fn reap(self: &Rc<Self>) {
        if !self.reaping.replace(true) {
            tokio::task::spawn_local(reap(Rc::downgrade(self), self.keep / AGES));
        }
    }

    /// One step of ageing; whether anything is left to watch.
    fn grow_older(&self) -> bool {
        let age = self.age.get().wrapping_add(1);
        self.age.set(age);
        let mut idle = self.idle.borrow_mut();
        while idle.front().is_some_and(|idle| age.wrapping_sub(idle.since) >= AGES || idle.sender.sender.is_closed()) {
            idle.pop_front();
        }
        let mut shared = self.shared.borrow_mut();
        shared.take_if(|(sender, used)| age.wrapping_sub(*used) >= AGES || sender.is_closed());
        !idle.is_empty() || shared.is_some()
    }
}

/// Closes what lies unused, until nothing is left to watch.
async fn reap(pool: Weak<Pool>, step: Duration) {
    loop {
        sleep(step.max(Duration::from_millis(1))).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.grow_older() {
            pool.reaping.set(false);
            return;
        }
    }
}

/// HTTP/1.1 towards applications.
fn http1_protocol(keeps_capitals: bool) -> http1::Builder {
    let mut protocol = http1::Builder::new();
    protocol.writev(false).max_buf_size(BUFFER).max_headers(MOST_FIELDS).preserve_header_case(keeps_capitals);
    protocol
}

/// HTTP/2 towards applications. What one slow reader holds up stays within its own stream: the connection has room for all.
fn http2_protocol() -> http2::Builder<LocalExecutor> {
    let mut protocol = http2::Builder::new(LocalExecutor);
    let stream = u32::try_from(BUFFER).unwrap_or(u32::MAX);
    protocol
        .initial_stream_window_size(stream)
        .initial_connection_window_size(stream.saturating_mul(STREAMS))
        .max_send_buf_size(BUFFER)
        // Each field counts 32 bytes more than it has (RFC 9113 section 6.5.2); hyper's own limit is 16 KiB.
        .max_header_list_size(stream.saturating_add(u32::try_from(32 * MOST_FIELDS).unwrap_or_default()));
    protocol
}

/// Bytes of one head, or of one body over HTTP/2, that may wait here in each direction. hyper's own limit is 408 KiB for HTTP/1.1
/// and 2 MiB for HTTP/2, which a slow reader fills. (Of bodies over HTTP/1.1 less is read at once: answer_head.rs.)
const BUFFER: usize = 64 * 1024;
/// Streams that may wait with a full window before the connection's window is full.
const STREAMS: u32 = 256;
/// Steps in the life of an unused connection: it is closed between three and four quarters of the configured time, so that
/// it is never older than that.
const AGES: u32 = 4;
