//! Forwarding: a request to an application and its answer back, streamed, with headers made right for the next hop.
//!
//! 1. [`headers::HeaderRules`] takes out what must not reach the application; then the identity is put in: [`identity_headers`].
//! 2. [`Forwarder::forward`] picks an address ([`balance`]), takes a connection of this worker's own pool, sends, and
//!    hands the answer back with its body still streaming.
//! 3. A WebSocket's bytes are carried by [`upgrade`].
//!
//! Nothing is buffered; nothing is sent twice: a request that a connection gave back unsent goes out once more, on a new
//! connection, and another address is tried only where connecting failed.
//!
//! Of informational answers, `100` invites the client to send its body (`request_body`) and `101` starts a tunnel; the others
//! end here, because hyper's server cannot send them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak as WeakRc};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, Sleep, sleep};

use crate::body::Body;
use crate::budget::Budget;
use crate::proxy::error::{UpstreamError, UpstreamFault};
use crate::proxy::pool::{Lease, Pool};
use crate::proxy::request_body::{RequestBody, Upload};
use crate::proxy::settings::UpstreamAddress;

mod answer_head;
mod answer_paths;
pub mod balance;
pub mod basic;
mod connect;
pub mod error;
mod field_text;
mod frame_ends;
pub mod headers;
pub mod identity_headers;
mod pool;
pub mod probe;
mod request_body;
mod response;
mod response_body;
pub mod settings;
mod target;
pub mod tls;
pub mod upgrade;
mod verbatim;

use answer_paths::AskedPath;
use balance::Upstream;
use target::SentTarget;
use upgrade::UpgradeTicket;

/// A worker's forwarding half: its connections to every application. Must be used inside the worker's `LocalSet`.
pub struct Forwarder {
    /// By the address of the [`Upstream`] in memory, which is no other's while the pools hold it weakly.
    pools: RefCell<BTreeMap<*const Upstream, Rc<Pools>>>,
    worker: usize,
    budget: Arc<Budget>,
    /// Whether the task runs that closes idle connections for requests that wait for room.
    gives_room: Cell<bool>,
}

/// The worker's connections to one application, one pool for each address.
struct Pools {
    upstream: Weak<Upstream>,
    by_address: Box<[Rc<Pool>]>,
    turn: Cell<usize>,
}

impl Forwarder {
    /// The forwarder of the worker with this number. All workers' connections together stay within the budget.
    pub fn new(worker: usize, budget: Arc<Budget>) -> Rc<Self> {
        Rc::new(Self { pools: RefCell::default(), worker, budget, gives_room: Cell::new(false) })
    }

    /// Sends a request, which is taken out of its place, to an application and returns its answer, whose body is still
    /// coming. The headers are sent as they are, except what frames the body, and `Host` where the route sets another:
    /// [`headers::HeaderRules`] and [`headers::set_way_here`] must have been applied before.
    ///
    /// `alone`: it is the only request of its connection that is being answered.
    ///
    /// With a ticket the request asks for a WebSocket; a `101` then starts the tunnel, every other answer is an answer.
    ///
    /// # Errors
    /// Before the response head only; later faults are errors of the body. The request is gone in either case.
    pub async fn forward(
        self: &Rc<Self>,
        upstream: &Arc<Upstream>,
        request: &mut Request<Body>,
        upgrade: Option<Box<UpgradeTicket>>,
        alone: bool,
    ) -> Result<Response<Body>, UpstreamError> {
        let pools = self.pools(upstream);
        let asked = AskedPath::of(request, upstream.settings());
        let (mut request, upload) = RequestBody::watch(std::mem::take(request));
        let mut target = SentTarget::default();
        let mut unreachable = None;
        // Round robin, each worker for itself and each beginning elsewhere: nothing shared is written for it.
        let turn = pools.turn.replace(pools.turn.get().wrapping_add(1));
        for (index, address) in upstream.candidates(turn) {
            let Some(pool) = pools.by_address.get(index) else { continue };
            let exchange = Exchange {
                upstream,
                address,
                pool,
                upload: upload.as_deref(),
                ticket: upgrade.is_some(),
                alone,
                whole: Cell::new(false),
            };
            match exchange.run(&mut request, &mut target).await {
                Ok(response) => {
                    upstream.succeeded(index);
                    let mut response = exchange.finish(response, upgrade);
                    if let Some(asked) = asked {
                        asked.map_back(address, upstream.settings(), response.headers_mut());
                    }
                    return Ok(response);
                }
                Err(ExchangeFailure::Unreachable(error)) => {
                    if !error.is_upstream_fault() {
                        return Err(error);
                    }
                    upstream.failed(index);
                    unreachable = Some(error);
                }
                Err(ExchangeFailure::Final(error)) => {
                    if error.is_upstream_fault() {
                        upstream.failed(index);
                    }
                    return Err(error);
                }
            }
        }
        // There is at least one address, and every address has a pool.
        Err(unreachable.unwrap_or_else(UpstreamError::without_address))
    }

    /// The worker's connections to this application.
    fn pools(self: &Rc<Self>, upstream: &Arc<Upstream>) -> Rc<Pools> {
        if let Some(pools) = self.pools.borrow().get(&Arc::as_ptr(upstream)) {
            return Rc::clone(pools);
        }
        let mut all = self.pools.borrow_mut();
        // A reload has made new applications: the connections to the old ones are closed.
        all.retain(|_, pools| pools.upstream.strong_count() > 0);
        let settings = upstream.settings();
        let pool = |address: &UpstreamAddress| {
            Pool::new(settings.pool_idle, address.protocol, settings.keeps_capitals, Arc::clone(&self.budget))
        };
        let pools = Rc::new(Pools {
            upstream: Arc::downgrade(upstream),
            by_address: settings.addresses.iter().map(pool).collect(),
            turn: Cell::new(self.worker),
        });
        all.insert(Arc::as_ptr(upstream), Rc::clone(&pools));
        if !self.gives_room.replace(true) {
            tokio::task::spawn_local(give_room(Rc::downgrade(self), Arc::clone(&self.budget)));
        }
        pools
    }

    /// Closes all idle connections.
    fn close_idle(&self) {
        for pools in self.pools.borrow().values() {
            pools.by_address.iter().for_each(|pool| pool.close_idle());
        }
    }
}

/// Closes idle connections when a request, on whichever worker, waits for room.
async fn give_room(forwarder: WeakRc<Forwarder>, budget: Arc<Budget>) {
    loop {
        budget.wanted().await;
        let Some(forwarder) = forwarder.upgrade() else { return };
        forwarder.close_idle();
    }
}

/// One request at one address.
struct Exchange<'a> {
    upstream: &'a Arc<Upstream>,
    address: &'a UpstreamAddress,
    pool: &'a Rc<Pool>,
    upload: Option<&'a Upload>,
    ticket: bool,
    alone: bool,
    /// Whether the answer's body has come with its head, all of it.
    whole: Cell<bool>,
}

/// Why an exchange gave no answer.
enum ExchangeFailure {
    /// No connection: the request is whole and may go to another address.
    Unreachable(UpstreamError),
    /// The request may have been seen.
    Final(UpstreamError),
}

impl Exchange<'_> {
    /// Sends on a pooled connection, else on a new one. A request that a dying pooled connection hands back was never sent and
    /// goes out once more ([RFC 9112 section 9.3.1](https://www.rfc-editor.org/rfc/rfc9112#section-9.3.1); PX-33).
    ///
    /// The request is lent, and taken out where it is sent: each of these futures would have room for it otherwise.
    async fn run(
        &self,
        request: &mut Request<RequestBody>,
        target: &mut SentTarget,
    ) -> Result<Response<Incoming>, ExchangeFailure> {
        if let Some(lease) = self.pool.take(self.ticket) {
            self.aim(request, target, &lease)?;
            match self.send(lease, request).await {
                Err(mut error) => match error.take_message() {
                    Some(unsent) if unsent.body().is_untouched() => *request = unsent,
                    _ => return Err(ExchangeFailure::Final(self.exchange_error(error))),
                },
                Ok(outcome) => return outcome.map_err(ExchangeFailure::Final),
            }
        }
        // Boxed, because every request's future would have room for a handshake otherwise.
        let lease = match Box::pin(self.pool.connect(self.upstream, self.address, self.ticket, self.alone)).await {
            Ok(lease) => lease,
            Err(error) => return Err(ExchangeFailure::Unreachable(error)),
        };
        self.aim(request, target, &lease)?;
        match self.send(lease, request).await {
            Ok(outcome) => outcome.map_err(ExchangeFailure::Final),
            Err(error) => Err(ExchangeFailure::Final(self.exchange_error(error))),
        }
    }

    /// Points the request at the address, as the connection speaks.
    fn aim(
        &self,
        request: &mut Request<RequestBody>,
        target: &mut SentTarget,
        lease: &Lease,
    ) -> Result<(), ExchangeFailure> {
        let host = &self.upstream.settings().host;
        target.aim(request, self.address, host, lease.is_http2()).map_err(ExchangeFailure::Final)
    }

    /// Sends the request and waits for the head of the answer.
    async fn send(&self, lease: Lease, request: &mut Request<RequestBody>) -> Sent {
        let request = std::mem::take(request);
        let (answer, sender) = match lease {
            Lease::Http1(mut sender) => {
                let answer = pin!(sender.send(request));
                let answer = self.await_head(answer, sender.timer.as_mut()).await?;
                sender.head_came();
                (answer, Some(sender))
            }
            Lease::Http2(mut sender) => {
                let answer = pin!(sender.try_send_request(request));
                (self.await_head(answer, pin!(sleep(Duration::ZERO))).await?, None)
            }
        };
        let response = match answer {
            Ok(response) => response,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(fault) = response::fault(&response, self.ticket) {
            // The connection is closed: where this answer ends and the next begins is unknown.
            return Ok(Err(UpstreamError::at(self.address, UpstreamFault::BadResponse(fault))));
        }
        if let Some(sender) = sender.filter(|_| response.status() != StatusCode::SWITCHING_PROTOCOLS) {
            self.whole.set(self.pool.give_back(sender));
        }
        Ok(Ok(response))
    }

    /// Waits for the head of the answer: while the body goes out, for as long as it comes on. The timer is set here.
    async fn await_head(
        &self,
        mut answer: Pin<&mut impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>>,
        mut timer: Pin<&mut Sleep>,
    ) -> Sent {
        let settings = self.upstream.settings();
        let (idle, first_byte) = (settings.idle_timeout, settings.first_byte_timeout);
        let mut limit = if self.upload.is_some() { idle.min(first_byte) } else { first_byte };
        loop {
            timer.as_mut().reset(Instant::now() + limit);
            tokio::select! {
                biased;
                answer = answer.as_mut() => return answer.map(Ok),
                () = timer.as_mut() => {}
            }
            match self.upload.and_then(|upload| upload.time_left(idle, first_byte)) {
                Some(more) => limit = more,
                None => break,
            }
        }
        let waits_for_client = self.upload.is_some_and(Upload::waits_for_client);
        let fault = if waits_for_client {
            UpstreamFault::RequestBodyTimeout(idle)
        } else {
            UpstreamFault::FirstByteTimeout(first_byte)
        };
        Ok(Err(UpstreamError::at(self.address, fault)))
    }

    /// What hyper reports of this exchange.
    fn exchange_error(&self, error: TrySendError<Request<RequestBody>>) -> UpstreamError {
        UpstreamError::from_exchange(self.address, error.into_error())
    }

    /// The answer, whose body is still coming.
    fn finish(&self, response: Response<Incoming>, upgrade: Option<Box<UpgradeTicket>>) -> Response<Body> {
        if let Some(upload) = self.upload {
            upload.answered();
        }
        let idle = (!self.whole.get()).then_some(self.upstream.settings().idle_timeout);
        response::finish(idle, response, upgrade)
    }
}

/// The answer's head; or an error of ours; or an error of hyper's that may hold the request.
type Sent = Result<Result<Response<Incoming>, UpstreamError>, TrySendError<Request<RequestBody>>>;

#[cfg(test)]
mod tests;
